"""Transformer, LSTM and n-gram tables in the same exact harness: python -m benchmarks.architectures FILE --bytes N

Codes the beginning of FILE with each language model, mixed with the experts; the model's own code length is kept
beside that of the mix, and is what it would be without the experts, for they don't train it. Models of the width
--profiled then tell, having learnt those N bytes, what the bytes behind them cost by distance from where all context
was forgotten.

Raw figures go to benchmarks/results/NAME.json, run by run (those that are there already are not repeated), figures to
--folder: NAME-size.svg, NAME-context.svg, NAME-reach.svg, NAME-experts.svg, NAME-tables.svg. --draw draws them again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from lmzip.codec.message import NLL_BITS

from . import figures
from .run import about

KINDS = (("transformer", True), ("lstm", True), ("tables", True), ("transformer", False), ("lstm", False))
WIDTHS = (32, 64, 128, 256)
WINDOWS = (16, 256)  # of the transformer, besides 64
POINTS = 64  # of a curve
REACH = 1024  # bytes from a reset
EXPERTS = "experts alone"
FIGURES = ("size", "context", "reach", "experts", "tables")


def curve(state: Any, data: np.ndarray) -> dict:
    """Bits after each of POINTS equal parts: of the mix, of the model alone, of the experts alone."""
    from lmzip.ledger import shares

    encoding, positions, lengths = state.encode(data), [], []
    begin = time.process_time()
    while not encoding.done:
        encoding.advance(1)
        if encoding.position >= len(data) * (len(positions) + 1) / POINTS or encoding.done:
            found = shares(state) or {"model": encoding.nll}
            positions.append(encoding.position)
            lengths.append({name: value / (1 << NLL_BITS) for name, value in found.items()})
    bits = {name: [one[name] for one in lengths] for name in lengths[0]}
    return {"position": positions, "bits": bits, "cpu": time.process_time() - begin}


EDGES = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, REACH]


def profile(state: Any, data: np.ndarray, start: int, pieces: int) -> dict:
    """Bits a byte costs in bins of the distance from a reset, and how many more than with what was before the reset.

    Means over the pieces with standard errors; the second compares the very same bytes.
    """
    from .predictors.architectures import lengths_by_distance

    known, forgotten = (lengths_by_distance(state, data, start, pieces, REACH, reset) for reset in (False, True))
    found: dict = {"edges": EDGES, "pieces": pieces, "known": float(known.mean())}
    for name, lengths in (("", forgotten), ("excess_", forgotten - known)):
        bins = np.stack([lengths[:, first:last].mean(1) for first, last in itertools.pairwise(EDGES)], 1)
        found[f"{name}mean"] = bins.mean(0).tolist()
        found[f"{name}error"] = (bins.std(0, ddof=1) / np.sqrt(pieces)).tolist()
    return found


def plan(widths: tuple[int, ...], profiled: int) -> list[dict]:
    """Settings of every run: sizes and depths with the experts, windows without."""
    runs: list[dict] = [{"kind": EXPERTS}]
    runs += [_settings(kind, tables, profiled) for kind, tables in KINDS if profiled in widths]
    for window in WINDOWS if profiled in widths else ():
        for tables in (True, False):
            runs.append(_settings("transformer", tables, profiled, window=window) | {"alone": True})
    for width in sorted(set(widths) - {profiled}):
        runs += [_settings(kind, tables, width) for kind, tables in KINDS]
    if profiled in widths:
        runs += [_settings(kind, tables, profiled, layers=2) for kind, tables in KINDS if kind != "tables"]
    return runs


def _settings(kind: str, tables: bool, width: int, layers: int = 1, window: int = 64) -> dict:
    return {"kind": kind, "tables": tables, "width": width, "layers": layers, "window": window}


def measure(one: dict, data: np.ndarray, count: int, pieces: int, table_bits: int) -> dict:
    """One run, its settings included."""
    from lmzip import presets
    from lmzip.codec.lockstep import Lockstep

    from .predictors.architectures import Architecture, bench

    fast = presets.header("fast")
    if one["kind"] == EXPERTS:
        return one | curve(Lockstep(fast), data[:count])
    settings = {key: value for key, value in one.items() if key != "alone"}
    architecture = Architecture(**settings, table_bits=table_bits)
    state = bench(architecture, None if one.get("alone") else fast.experts)
    row = one | {"name": architecture.name, "trunk": architecture.trunk, "head": architecture.head}
    row["rate"] = architecture.trunk_rate
    row |= {"table_weights": architecture.table_weights} | curve(state, data[:count])
    return row | ({"profile": profile(state, data, count, pieces)} if pieces else {})


def run(data: np.ndarray, arguments: argparse.Namespace, path: Path, told: dict) -> dict:
    import torch

    torch.set_num_threads(1)
    result: dict = json.loads(path.read_text()) if path.exists() else told | {"runs": []}
    keys = (*_settings("", False, 0), "alone")
    done = [{key: row[key] for key in keys if key in row} for row in result["runs"]]
    pieces = min(arguments.pieces, (len(data) - arguments.bytes) // REACH)
    for one in plan(arguments.widths, arguments.profiled):
        if one in done:
            continue
        wanted = pieces if one.get("width") == arguments.profiled else 0
        row = measure(one, data, arguments.bytes, wanted, arguments.table_bits)
        result["runs"].append(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        whole = {name: f"{bits[-1] / row['position'][-1]:.4f}" for name, bits in row["bits"].items()}
        print(f"{one}: {whole} bpb, {row['cpu']:.0f} CPU s", file=sys.stderr, flush=True)
    return result


# Reading the results


def bpb(row: dict, part: str) -> float:
    """Bits per byte of all that was coded."""
    return row["bits"][part][-1] / row["position"][-1]


def at_sizes(row: dict, part: str) -> list[tuple[int, float]]:
    """(D, bits of the first D bytes) for D = N, N/2, N/4 … N/32."""
    places = [POINTS >> k for k in range(6)][::-1]
    return [
        (row["position"][place - 1], row["bits"][part][place - 1]) for place in places if place <= len(row["position"])
    ]


def gains(with_: list[tuple[int, float]], without: list[tuple[int, float]]) -> list[tuple[int, float, float]]:
    """(D, % saved of the first D bytes, % saved of those after the D before)."""
    rows, last = [], (0.0, 0.0)
    for (count, better), (_, worse) in zip(with_, without, strict=True):
        rows.append((count, 100 * (1 - better / worse), 100 * (1 - (better - last[0]) / (worse - last[1]))))
        last = better, worse
    return rows


def chosen(result: dict, layers: int = 1, **settings: Any) -> list[dict]:
    """Runs with the experts and these settings, narrow models first."""
    rows = [row for row in result["runs"] if "mix" in row["bits"] and row.get("layers") == layers]
    rows = [row for row in rows if all(row[key] == value for key, value in settings.items())]
    return sorted(rows, key=lambda row: row["width"])


def structure(result: dict) -> dict[str, dict[str, list[tuple[int, float, float]]]]:
    """What the experts save on top of each model, and the tables on top of each trunk, by D."""
    found: dict[str, dict] = {"experts": {}, "tables": {}}
    for kind, tables in KINDS:
        for row in chosen(result, kind=kind, tables=tables):
            name = f"{row['name']}, width {row['width']}"
            found["experts"][name] = gains(at_sizes(row, "mix"), at_sizes(row, "model"))
    for kind in ("transformer", "lstm"):
        for row in chosen(result, kind=kind, tables=True):
            for bare in chosen(result, kind=kind, tables=False, width=row["width"]):
                for part, what in (("model", ""), ("mix", ", beside the experts")):
                    name = f"{row['name']}, width {row['width']}{what}"
                    found["tables"][name] = gains(at_sizes(row, part), at_sizes(bare, part))
    return found


def table(result: dict) -> str:
    """Markdown: a line a model."""
    lines = [
        "| model | width | layers | trunk, weights | head and bytes | tables | alone, bpb | with experts | CPU s |",
        "| --- |" + " ---: |" * 8,
    ]
    for kind, tables in KINDS:
        for row in (row for layers in (1, 2) for row in chosen(result, layers, kind=kind, tables=tables)):
            lines.append(
                f"| {row['name']} | {row['width']} | {0 if kind == 'tables' else row['layers']} | {row['trunk']:,} "
                f"| {row['head']:,} | {row['table_weights']:,} "
                f"| {bpb(row, 'model'):.3f} | {bpb(row, 'mix'):.4f} | {row['cpu']:.0f} |"
            )
    for row in result["runs"]:
        if row["kind"] == EXPERTS:
            lines.append(f"| experts alone | | | | | | | {bpb(row, 'mix'):.4f} | {row['cpu']:.0f} |")
    return "\n".join(lines) + "\n"


# Figures


def draw(result: dict, folder: Path, stem: str) -> list[Path]:
    """All that the runs so far allow."""
    names = [row["name"] for kind, tables in KINDS for row in chosen(result, kind=kind, tables=tables)[:1]]
    style = dict(zip(names, figures.STYLES))
    paths = [folder / f"{stem}-{what}.svg" for what in FIGURES]
    if names:
        if len({row["width"] for row in chosen(result)}) > 1:
            _draw_sizes(result, style, paths[0])
        _draw_gains(structure(result), paths[3:])
    _draw_profiles(result, "", "bits per byte", paths[1])
    _draw_profiles(result, "excess_", "bits a byte that older context saves", paths[2])
    return [path for path in paths if path.exists()]


def _draw_sizes(result: dict, style: dict, path: Path) -> None:
    figure, axes = figures.panels(2, 11, 4.6)
    for axis, part, title in zip(
        axes, ("model", "mix"), ("language model alone", "mixed with the experts"), strict=True
    ):
        for kind, tables in KINDS:
            rows = chosen(result, kind=kind, tables=tables)
            if rows:
                weights = [row["trunk"] + row["head"] for row in rows]
                axis.plot(weights, [bpb(row, part) for row in rows], label=rows[0]["name"], **style[rows[0]["name"]])
            for row in chosen(result, 2, kind=kind, tables=tables):
                hollow = style[row["name"]] | {"markerfacecolor": "none", "markersize": 9, "linestyle": ""}
                axis.plot(row["trunk"] + row["head"], bpb(row, part), **hollow)
        text = "weights of trunk, head and byte embedding\n(hollow: two layers)"
        axis.set(title=title, xlabel=text, ylabel="bits per byte")
        figures.ticks(axis, [2e4, 5e4, 1e5, 2e5, 5e5], ["20 K", "50 K", "100 K", "200 K", "500 K"])
    for row in result["runs"]:
        if row["kind"] == EXPERTS:
            axes[1].axhline(bpb(row, "mix"), color="0.4", linewidth=1)
            axes[1].annotate("experts alone", (0.02, bpb(row, "mix")), xycoords=("axes fraction", "data"), va="bottom")
    axes[0].legend(frameon=False, fontsize=9.5)
    figures.save(figure, path)


def _draw_gains(found: dict[str, dict], paths: list[Path]) -> None:
    titles = ("saved by the experts,\n% of bytes D/2 … D", "saved by the hashed tables,\n% of bytes D/2 … D")
    for (what, curves), path, title in zip(found.items(), paths, titles, strict=True):
        groups: dict[str, list] = {}
        for name, rows in curves.items():
            kind, _, rest = name.partition(", width ")
            width, _, beside = rest.partition(", ")
            groups.setdefault(kind + (f", {beside}" if beside else ""), []).append((int(width), rows))
        widths = sorted({width for group in groups.values() for width, _ in group})
        shown = [name for name in groups if what == "tables" or name in ("transformer", "LSTM", "n-gram tables alone")]
        shown += [name for name in groups if name not in shown]
        figure, axes = figures.panels(len(shown), 3.1 * len(shown) + 0.6, 3.9, sharey=what == "experts")
        for axis, group in zip(axes, shown):
            for width, rows in sorted(groups[group], key=lambda one: one[0]):
                style = figures.STYLES[widths.index(width)]
                axis.plot([row[0] for row in rows], [row[2] for row in rows], label=f"width {width}", **style)
            counts = [row[0] for row in groups[group][0][1]]
            axis.set_title(group, fontsize=11)
            axis.set(xlabel="bytes coded so far, D")
            figures.ticks(axis, counts[1::2], [figures.size(count) for count in counts[1::2]])
            axis.axhline(0, color="0.4", linewidth=1)
        axes[0].set_ylabel(title)
        axes[-1].legend(frameon=False, fontsize=9.5)
        figures.save(figure, path)


def _draw_profiles(result: dict, what: str, title: str, path: Path) -> None:
    rows = [row for row in result["runs"] if row.get("profile")]
    if not rows:
        return
    figure, axes = figures.panels(2, 11, 4.8)
    for axis, tables in zip(axes, (True, False), strict=True):
        found = [row for row in rows if row["tables"] == tables]
        order = {"transformer": 0, "lstm": 1, "tables": 2}
        found = [row for row in found if row["layers"] == 1]
        for row, style in zip(sorted(found, key=lambda row: (order[row["kind"]], row["window"])), figures.STYLES):
            edges, name = row["profile"]["edges"], {"lstm": "LSTM", "tables": "n-gram tables alone"}.get(row["kind"])
            middles = [(first + 1 + last) / 2 for first, last in itertools.pairwise(edges)]
            style = style | {"markersize": 4, "capsize": 2, "linewidth": 1.2, "elinewidth": 0.7}
            label = name or f"transformer, window {row['window']}"
            axis.errorbar(middles, row["profile"][f"{what}mean"], row["profile"][f"{what}error"], label=label, **style)
        figures.ticks(axis, [1, 4, 16, 64, 256, 1024])
        axis.set(title="with hashed n-gram tables" if tables else "without tables", xlabel="bytes since the reset")
        axis.legend(frameon=False, fontsize=9.5)
        if what:
            axis.set_yscale("symlog", linthresh=0.001)
            axis.set_ylim(bottom=-0.0005)
        else:
            axis.set_yscale("log")
            axis.set_yticks([2, 3, 4, 6, 8, 12, 16], ["2", "3", "4", "6", "8", "12", "16"])
            axis.minorticks_off()
    axes[0].set_ylabel(title)
    figures.save(figure, path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.architectures", description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--bytes", type=int, default=1_000_000, help="how many to code (default 1000000)")
    text = "widths of the models (default 32,64,128,256)"
    parser.add_argument("--widths", type=lambda text: tuple(map(int, text.split(","))), default=WIDTHS, help=text)
    parser.add_argument(
        "--profiled", type=int, default=128, help="the width of models measured by context (default 128)"
    )
    parser.add_argument("--pieces", type=int, default=192, help=f"pieces of {REACH} bytes for that (default 192)")
    parser.add_argument("--table-bits", type=int, default=17, help="log2 of the rows of a hashed table (default 17)")
    parser.add_argument("--name", default="architectures", help="of the result files (default architectures)")
    figures.add_options(parser)
    arguments = parser.parse_args(argv)
    path = arguments.results / f"{arguments.name}.json"
    if arguments.draw:
        result = json.loads(path.read_text())
    else:
        data = np.frombuffer(arguments.file.read_bytes(), np.uint8)
        told = about(sys.argv[1:] if argv is None else argv, "benchmarks.architectures")
        result = run(data, arguments, path, told)
    print(table(result))
    for drawn in draw(result, arguments.folder, arguments.name):
        print(f"figure: {drawn.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
