"""How far off `lmzip plan` is: its sizes and CPU seconds beside those measured.

    python -m benchmarks.plans CORPUS RESULT.json…

RESULT.json are figures of `benchmarks.run` with lmzip's presets; CORPUS is the folder with their files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from pathlib import Path
from statistics import mean, median

from lmzip import plan, presets
from lmzip.session import Session


def compare(path: Path, runs: dict[str, dict]) -> list[dict]:
    """For each preset measured on this file: estimate and figure of bytes and of CPU seconds to encode."""
    length = path.stat().st_size
    with open(path, "rb") as source:
        found = plan.sample(source, length, Session(), time.process_time)
    rows = []
    for preset, run in runs.items():
        one = plan.estimate(preset, presets.header(preset), found)
        row = {"file": path.name, "preset": preset, "bytes": run["bytes"], "planned": one.archive, "error": one.error}
        rows.append(row | {"seconds": run["encode"]["cpu"], "planned seconds": one.seconds})
    return rows


def table(rows: list[dict]) -> str:
    """Markdown: a line for each file and preset, and below how far off all of a preset were."""
    lines = [
        "| file | preset | bytes | planned | off | ± stated | CPU s | planned | off |",
        "| --- | --- |" + " ---: |" * 7,
    ]
    for row in rows:
        lines.append(
            f"| {row['file']} | {row['preset']} | {row['bytes']:,} | {row['planned']:,} | {_off(row, 'bytes'):+.1f} % "
            f"| {100 * row['error'] / row['planned']:.0f} % "
            f"| {row['seconds']:.1f} | {row['planned seconds']:.1f} | {_off(row, 'seconds'):+.0f} % |"
        )
    for preset in dict.fromkeys(row["preset"] for row in rows):
        these = [row for row in rows if row["preset"] == preset]
        sizes, times = ([abs(_off(row, what)) for row in these] for what in ("bytes", "seconds"))
        within = sum(abs(row["planned"] - row["bytes"]) <= row["error"] for row in these)
        near = sum(size <= 5 for size in sizes)
        lines.append(
            f"\n{preset}, {len(these)} files: sizes off by {median(sizes):.1f} % (median), {mean(sizes):.1f} % (mean), "
            f"{max(sizes):.1f} % at most; {near} within 5 %, {within} within the stated error; "
            f"CPU seconds off by {median(times):.0f} % (median), {max(times):.0f} % at most"
        )
    return "\n".join(lines) + "\n"


def _off(row: dict, what: str) -> float:
    planned = row["planned" if what == "bytes" else "planned seconds"]
    return 100 * (planned / row[what] - 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plans", description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT.json")
    arguments = parser.parse_args()
    measured: dict[str, dict[str, dict]] = {}
    for result in (json.loads(path.read_text()) for path in arguments.results):
        for run in result["runs"]:
            path, preset = arguments.corpus / run["file"], run["compressor"].removeprefix("lmzip ")
            if preset in presets.PRESETS and not run.get("error") and path.exists():
                if hashlib.sha256(path.read_bytes()).hexdigest() != result["files"][run["file"]]["sha256"]:
                    parser.error(f"{path} is not the file that was measured")
                measured.setdefault(run["file"], {})[preset] = run
    print(table([row for name, runs in measured.items() for row in compare(arguments.corpus / name, runs)]))


if __name__ == "__main__":
    main()
