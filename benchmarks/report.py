"""Turn the raw figures of a benchmark into a Markdown table and plots: python -m benchmarks.report RESULT.json

`--sizes RESULT.json…` prints one table of sizes of all of them: a line for each file, a column for each compressor.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

from .peers import family

NOTE = (
    "KB = 1,000 bytes of the original; medians over the runs; peak memory in MB, resident. "
    "lmzip's bytes are the whole archive, its decoder included; *without code* is what `--no-code` writes. "
    "*decoder* is the size of a peer's program file, which its bytes leave out. "
    "*Conditional*: given a prior, whose size is not counted; *seen*: the share of the file's 32-byte strings that "
    "the prior's corpus holds."
)


def medians(result: dict) -> list[dict]:
    """One row per file and compressor: sizes, speeds and memory as medians over the repeats."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for run in result["runs"]:
        groups.setdefault((run["file"], run["compressor"]), []).append(run)
    rows = []
    for (file, compressor), runs in groups.items():
        size = result["files"][file]["bytes"]
        row: dict = {"file": file, "compressor": compressor, "size": size, "runs": len(runs)}
        row["error"] = next((run["error"] for run in runs if run.get("error")), None)
        if row["error"] is None:
            row["bytes"] = median(run["bytes"] for run in runs)
            row["code"] = runs[0]["ledger"]["code"] if runs[0].get("ledger") else 0
            row["decoder"] = runs[0].get("decoder")
            row["seen"] = runs[0].get("seen")
            row["checked"] = all(run["equal"] for run in runs)
            for way in ("encode", "decode"):
                if all(run.get(way) for run in runs):
                    row[way] = {key: median(run[way][key] for run in runs) for key in ("cpu", "wall", "peak")}
        rows.append(row)
    return rows


def _speed(row: dict, way: str, clock: str) -> str:
    seconds = row.get(way, {}).get(clock)
    if not seconds:
        return "–"
    speed = row["size"] / 1000 / seconds
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.3g}"


def _peak(row: dict, way: str, floor: float) -> str:
    if way not in row:
        return "–"
    return f"{row[way]['peak'] / 1e6:,.0f}" if row[way]["peak"] > 1.1 * floor else f"< {1.1 * floor / 1e6:,.0f}"


def _bpb(bytes_: float, row: dict) -> str:
    return f"{8 * bytes_ / row['size']:.3f}" if row["size"] else "–"


def markdown(result: dict) -> str:
    """All files in one table, the best ratio first within each file."""
    lines = [
        "| file | compressor | bytes | bpb | without code | bpb | KB per CPU s, encode | decode "
        "| KB/s wall, encode | decode | MB, encode | decode | decoder |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    order = {name: index for index, name in enumerate(result["files"])}
    for row in sorted(medians(result), key=lambda row: (order[row["file"]], row.get("bytes", 1 << 62))):
        if row["error"]:
            lines.append(f"| {row['file']} | {row['compressor']} | {row['error']} |" + " |" * 10)
            continue
        cells = [row["file"], row["compressor"] + ("" if row["checked"] else " (round trip not run)")]
        if row["seen"] is not None:
            cells[-1] += f", {100 * row['seen']:.2f} % seen"
        cells += [f"{row['bytes']:,.0f}", _bpb(row["bytes"], row)]
        bare = row["bytes"] - row["code"]
        cells += [f"{bare:,.0f}", _bpb(bare, row)] if row["code"] else ["", ""]
        cells += [_speed(row, way, clock) for clock in ("cpu", "wall") for way in ("encode", "decode")]
        cells += [_peak(row, way, result["floor"]) for way in ("encode", "decode")]
        cells.append(f"{row['code'] or row['decoder']:,}" if row["code"] or row["decoder"] else "")
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", NOTE]
    if result.get("start"):
        lines += ["", "| 10 KB, seconds wall | empty kernel cache | warm |", "| --- | ---: | ---: |"]
        lines += [f"| {row['what']} | {row['cold']:.1f} | {row['warm']:.1f} |" for row in result["start"]]
    return "\n".join(lines) + "\n"


def sizes(results: list[dict]) -> str:
    """Files against compressors, lmzip's as transcripts, and how far the first lmzip is below the best peer.

    Of several settings of one compressor each file has its best, which notes under the table name.
    """
    table: dict[str, dict[str, int]] = {}
    digests: dict[str, str] = {}
    for result in results:
        for name, file in result["files"].items():
            if digests.setdefault(name, file["sha256"]) != file["sha256"]:
                raise ValueError(f"{name} is not the same file in all results")
        for run in result["runs"]:
            if not run.get("error"):
                size = run["ledger"]["transcript"] if run.get("ledger") else run["bytes"]
                table.setdefault(run["file"], {})[run["compressor"]] = size
    names = list(dict.fromkeys(name for row in table.values() for name in row))
    ours = [name for name in names if name.startswith("lmzip")]
    table = {file: row for file, row in table.items() if not ours or ours[0] in row}
    families: dict[str, list[str]] = {}
    for name in names:
        if name not in ours and any(name in row for row in table.values()):  # lmzip's files only
            families.setdefault(family(name), []).append(name)
    columns = [settings[0] if len(settings) == 1 else title for title, settings in families.items()]
    lines = ["| file | " + " | ".join([*ours, *columns]) + (" | below the best peer |" if ours else " |")]
    lines.append("| --- |" + " ---: |" * (len(ours) + len(columns) + bool(ours)))
    for file, row in table.items():
        cells = [f"{row[name]:,}" if name in row else "–" for name in ours]
        least = [min((row[name] for name in settings if name in row), default=None) for settings in families.values()]
        cells += ["–" if size is None else f"{size:,}" for size in least]
        best = min((size for size in least if size is not None), default=0)
        if ours:
            cells.append(f"{100 * (1 - row[ours[0]] / best):.1f} %" if best else "–")
        lines.append(f"| {file} | " + " | ".join(cells) + " |")
    notes = [_settings(title, settings, table) for title, settings in families.items() if len(settings) > 1]
    return "\n".join(lines + [line for note in notes for line in ("", note)]) + "\n"


def _settings(title: str, settings: list[str], table: dict[str, dict[str, int]]) -> str:
    """A note: which of its settings a compressor's best sizes are of; the first named of those that are equal."""
    best: dict[str, list[str]] = {}
    for file, row in table.items():
        here = [name for name in settings if name in row]
        if here:
            best.setdefault(min(here, key=row.__getitem__), []).append(file)
    usual = max(best, key=lambda name: len(best[name]))
    others = [f"`{name}` on {', '.join(files)}" for name, files in best.items() if name != usual]
    tried = ", ".join(f"`{name}`" for name in settings if name not in best)
    note = f"{title}: `{usual}`" + "".join(f"; {other}" for other in others)
    return note + (f"; nowhere best: {tried}." if tried else ".")


def plots(result: dict, stem: Path) -> list[Path]:
    """One picture per file: bits per byte against CPU seconds per MB, encode and decode; needs matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        print("no plots: matplotlib is not installed", file=sys.stderr)
        return []
    written = []
    for file in result["files"]:
        rows = [row for row in medians(result) if row["file"] == file and row["error"] is None and row["size"]]
        figure, axes = pyplot.subplots(1, 2, figsize=(12, 5), sharey=True, layout="constrained")
        for way, axis in zip(("encode", "decode"), axes, strict=True):
            points = [
                (row[way]["cpu"] / row["size"] * 1e6, 8 * row["bytes"] / row["size"], row["compressor"])
                for row in rows
                if way in row
            ]
            best = float("inf")
            frontier = []
            for seconds, bpb, _ in sorted(points):
                if bpb < best:
                    best = bpb
                    frontier.append((seconds, bpb))
            if frontier:
                axis.step(*zip(*frontier, strict=True), where="post", color="0.75", zorder=0)
            for seconds, bpb, name in points:
                axis.plot(seconds, bpb, "o", color="tab:red" if name.startswith("lmzip") else "tab:blue")
                axis.annotate(name, (seconds, bpb), fontsize=7, xytext=(4, 4), textcoords="offset points")
            axis.set(xscale="log", xlabel=f"CPU seconds per MB, {way}", title=f"{file}: {way}")
            axis.margins(x=0.25)
        axes[0].set_ylabel("bits per byte, code included")
        path = stem.with_name(f"{stem.name}-{file}.png")
        figure.savefig(path, dpi=110, metadata={"Software": None})
        pyplot.close(figure)
        written.append(path)
    return written


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sizes"]:
        print(sizes([json.loads(Path(name).read_text()) for name in sys.argv[2:]]))
        raise SystemExit
    for name in sys.argv[1:]:
        path = Path(name)
        figures = json.loads(path.read_text())
        path.with_suffix(".md").write_text(markdown(figures))
        plots(figures, path.with_suffix(""))
        print(markdown(figures))
