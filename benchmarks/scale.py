"""Does a byte cost the same wherever it stands? python -m benchmarks.scale FILE… [--preset fast] [--name NAME]

Encodes the files one behind the other, as one frame, and notes after every megabyte the CPU seconds it took, the bits
it cost and the memory in use.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from lmzip.codec.message import NLL_BITS
from lmzip.lab.provenance import about
from lmzip.session import Session

from .run import RESULTS

MB = 1_000_000


def resident() -> int:
    """Bytes that this process holds now; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def run(data: np.ndarray, preset: str) -> list[dict]:
    from lmzip import presets

    state = Session().lockstep(presets.header(preset))
    encoding = state.encode(data)
    encoding.advance(1)  # compiles
    rows, before, bits = [], time.process_time(), 0.0
    for end in range(MB, len(data) + 1, MB):
        while encoding.position < end and not encoding.done:
            encoding.advance(16)
        now, total = time.process_time(), encoding.nll / (1 << NLL_BITS)
        row = {"mb": end // MB, "cpu": now - before, "bpb": (total - bits) / MB, "resident": resident()}
        rows.append(row)
        print(
            f"{row['mb']:4d} MB  {row['cpu']:7.2f} CPU s  {row['bpb']:.3f} bpb  {row['resident'] / 1e6:6.0f} MB",
            flush=True,
        )
        before, bits = now, total
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--name", help="of the result file (default: scale-PRESET)")
    arguments = parser.parse_args()
    words = ["python", "-m", "benchmarks.scale", *(file.name for file in arguments.files), "--preset", arguments.preset]
    told = about(words)
    data = np.frombuffer(b"".join(file.read_bytes() for file in arguments.files), np.uint8)
    rows = run(data, arguments.preset)
    path = RESULTS / f"{arguments.name or 'scale-' + arguments.preset}.json"
    path.write_text(json.dumps(told | {"rows": rows}, indent=1) + "\n")
    print(f"{path.name} written", file=sys.stderr)


if __name__ == "__main__":
    main()
