"""What each context of the experts is worth, and the language model: code lengths with and without.

    python -m benchmarks.run --ablate FILES… [--sizes 100000,1000000,10000000]

A context's worth is the code length without it less that with it, in parts of the preset's: for one that `fast` leaves
out, what adding it would save. Worths don't add up, for contexts stand in for each other.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lmzip import presets
from lmzip.codec.message import NLL_BITS, Header
from lmzip.lab.report.contexts import NAMES
from lmzip.ledger import shares
from lmzip.predictor import completed
from lmzip.session import Session

SIZES = (100_000, 1_000_000, 10_000_000)


def code_lengths(header: Header, data: bytes) -> dict[str, int]:
    """Bytes, rounded, of the mix and its parts, by the ledger's names."""
    state = Session().lockstep(header)
    for start in range(0, len(data), header.frame_size):
        completed(state.encode(np.frombuffer(data[start : start + header.frame_size], np.uint8)))
    return {name: round(value / (8 << NLL_BITS)) for name, value in shares(state).items()}


def ablate(data: bytes, look: Callable[[str], None]) -> dict:
    """Code lengths of `fast`, of `fast` with each context changed, and of the parts of `default`."""
    fast = presets.header("fast")
    assert fast.experts is not None
    result: dict = {"original": len(data), "fast": code_lengths(fast, data)["mix"], "contexts": {}}
    look(f"{len(data):,} bytes: fast {result['fast']:,}")
    for k, name in enumerate(NAMES):
        other = dataclasses.replace(fast.experts, contexts=fast.experts.contexts ^ 1 << k)
        size = code_lengths(dataclasses.replace(fast, experts=other), data)["mix"]
        used = bool(fast.experts.contexts >> k & 1)
        worth = size - result["fast"] if used else result["fast"] - size
        result["contexts"][name] = {"number": k, "used": used, "worth": worth}
        look(f"  {k:2} {name}: {worth:+,} ({100 * worth / result['fast']:+.3f} %)")
    result["default"] = code_lengths(presets.header("default"), data)
    look(f"  default: {result['default']}")
    return result


def table(results: list[dict]) -> str:
    """Markdown: a line for each context, a column for each length."""
    lines = ["| context | in `fast` |" + "".join(f" {one['original']:,} B |" for one in results)]
    lines.append("| --- | --- |" + " ---: |" * len(results))
    for name, first in results[0]["contexts"].items():
        worth = [f"{100 * one['contexts'][name]['worth'] / one['fast']:+.3f} %" for one in results]
        lines.append(f"| {first['number']} {name} | {'yes' if first['used'] else ''} | " + " | ".join(worth) + " |")
    rows = {"`fast`, bytes": [one["fast"] for one in results]}
    for share, what in (("mix", "`default`, bytes"), ("experts", "its experts alone"), ("model", "its model alone")):
        rows[what] = [one["default"][share] for one in results]
    lines += [f"| {what} | | " + " | ".join(f"{size:,}" for size in sizes) + " |" for what, sizes in rows.items()]
    gains = [f"{100 * (1 - one['default']['mix'] / one['fast']):.2f} %" for one in results]
    return "\n".join([*lines, "| what the model saves | | " + " | ".join(gains) + " |"]) + "\n"


def run(files: list[Path], sizes: Sequence[int], stem: Path, about: dict) -> None:
    """Ablate the beginnings of the files; figures so far are in STEM.json, a table for each file in STEM.md."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    figures: dict[str, list[dict]] = {}
    tables = []
    for file in files:
        data = file.read_bytes()
        results = figures[file.name] = []
        for size in sorted({min(size, len(data)) for size in sizes}):
            results.append(ablate(data[:size], lambda line: print(line, file=sys.stderr, flush=True)))
            stem.with_suffix(".json").write_text(json.dumps(about | {"files": figures}, indent=1) + "\n")
        tables.append(f"{file.name}\n\n{table(results)}")
    text = f"`{about['command']}`\n\n" + "\n".join(tables)
    stem.with_suffix(".md").write_text(text)
    print(text)
