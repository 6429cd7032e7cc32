"""How far off `lmzip plan` is: its sizes and CPU seconds beside those measured.

    python -m benchmarks.plans FILE… [--known RESULT.json…] [--name plans-zen3]

FILE may end in [:N]: its first N bytes. A file of at most --most bytes is coded, with `default` one of at most
--modelled bytes; sizes of others are taken from RESULT.json, figures of `benchmarks.run`. CPU seconds are of this
process, which has its kernels loaded: so is what is planned.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import platform
import re
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

from lmzip import pack, plan
from lmzip.codec.message import Header
from lmzip.options import EncodeOptions
from lmzip.progress import Watch
from lmzip.sender import Sender
from lmzip.session import Session

MOST, MODELLED = 1_200_000, 66_000


def read(name: str) -> tuple[str, bytes]:
    """A file's name without its folder, and its bytes: all of them, or the first of `FILE[:N]`."""
    if match := re.fullmatch(r"(.*)\[:(\d+)\]", name):
        return Path(name).name, Path(match[1]).read_bytes()[: int(match[2])]
    return Path(name).name, Path(name).read_bytes()


def known_sizes(results: list[Path]) -> dict[tuple[str, str], int]:
    """Bytes of transcript by digest of the file and preset."""
    sizes = {}
    for result in (json.loads(path.read_text()) for path in results):
        for run in result["runs"]:
            if run["compressor"].startswith("lmzip ") and not run.get("error"):
                digest = result["files"][run["file"]]["sha256"]
                sizes[digest, run["compressor"].removeprefix("lmzip ")] = run["ledger"]["transcript"]
    return sizes


def encode(data: bytes, header: Header, session: Session) -> tuple[int, float]:
    """Bytes of the archive with its decoder, CPU seconds."""
    began, sink = time.process_time(), io.BytesIO()
    Sender(sink, header, pack.code(header), Watch(), session=session).run(io.BytesIO(data))
    return len(sink.getvalue()), time.process_time() - began


def compare(name: str, data: bytes, known: dict[tuple[str, str], int], limits: dict[str, int]) -> list[dict[str, Any]]:
    """For each preset measured on this file: estimate and figure of bytes and of CPU seconds to encode."""
    session, headers = Session(), plan.headers(EncodeOptions())
    began = time.process_time()
    choice = plan.make(io.BytesIO(data), len(data), session, headers, budget=1e9, clock=time.process_time)
    spent, rows = time.process_time() - began, []
    for preset, most in limits.items():
        header, one = headers[preset], choice.estimates[preset]
        transcript = known.get((hashlib.sha256(data).hexdigest(), preset))
        size: int | None = None
        seconds: float | None = None
        if len(data) <= most:
            size, seconds = encode(data, header, session)
        elif transcript is not None:
            frames = -(-len(data) // header.frame_size)
            size = transcript + len(pack.code(header)) + plan.ENDS + frames * plan.FRAME
        else:
            continue
        row = {"file": name, "length": len(data), "preset": preset, "bytes": size, "planned": one.archive}
        row |= {"error": one.error, "seconds": seconds, "planned seconds": one.seconds, "plan": spent}
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a line for each file and preset, and below how far off all of a preset were."""
    lines = [
        "| file | preset | bytes | planned | off | ± stated | CPU s | planned | off | plan took |",
        "| --- | --- |" + " ---: |" * 8,
    ]
    for row in rows:
        timed = row["seconds"] is not None
        times = (
            f"{row['seconds']:.1f} | {row['planned seconds']:.1f} | {_off(row, 'seconds'):+.0f} %" if timed else " | | "
        )
        lines.append(
            f"| {row['file']} | {row['preset']} | {row['bytes']:,} | {row['planned']:,} | {_off(row, 'bytes'):+.1f} % "
            f"| {100 * row['error'] / row['planned']:.0f} % | {times} | {row['plan']:.1f} |"
        )
    for preset in dict.fromkeys(row["preset"] for row in rows):
        these = [row for row in rows if row["preset"] == preset]
        sizes = [abs(_off(row, "bytes")) for row in these]
        times_ = [abs(_off(row, "seconds")) for row in these if row["seconds"] is not None]
        within = sum(abs(row["planned"] - row["bytes"]) <= row["error"] for row in these)
        lines.append(
            f"\n{preset}, {len(these)} files: sizes off by {median(sizes):.1f} % (median), {mean(sizes):.1f} % (mean), "
            f"{max(sizes):.1f} % at most, {sum(size <= 8 for size in sizes)} within 8 %, {within} as stated; "
            f"CPU seconds of {len(times_)} off by {median(times_):.0f} % (median), {max(times_):.0f} % at most, "
            f"{sum(one <= 25 for one in times_)} within 25 %"
        )
    return "\n".join(lines) + "\n"


def _off(row: dict[str, Any], what: str) -> float:
    planned = row["planned" if what == "bytes" else "planned seconds"]
    return 100 * (planned / row[what] - 1)


def main() -> None:
    """Print the table, keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plans", description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--known", nargs="*", type=Path, default=[], metavar="RESULT.json")
    parser.add_argument("--most", type=int, default=MOST, help="bytes that are coded with fast")
    parser.add_argument("--modelled", type=int, default=MODELLED, help="bytes that are coded with default")
    parser.add_argument("--name", default="plans-zen3")
    arguments = parser.parse_args()
    known, limits = known_sizes(arguments.known), {"fast": arguments.most, "default": arguments.modelled}
    data = read(arguments.files[0])[1][:4096]
    for header in plan.headers(EncodeOptions()).values():  # whatever is compiled or loaded is no part of any figure
        encode(data, header, Session())
    rows = [row for name in arguments.files for row in compare(*read(name), known, limits)]
    place = Path(__file__).parent / "results" / arguments.name
    result = {"processor": platform.processor() or platform.machine(), "rows": rows}
    place.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    place.with_suffix(".md").write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
