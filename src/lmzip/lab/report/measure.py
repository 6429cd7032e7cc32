"""The figures of a report: everything its page shows, as one dictionary that goes to JSON.

A page is drawn from these figures and from nothing else, so whatever it shows can be looked up.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ... import presets
from ...codec.message import Header
from ...progress import Watch
from ...session import Session
from ..trace import PARTS, UNIT, Trace, trace
from . import contexts, peers

PIECES = 160  # points of a learning curve
EXCERPT = 1600  # bytes of the heat map
COSTLY = 12  # how many of the costliest bytes are listed
AROUND = 24  # bytes of context beside each of them
COLUMNS, LETTERS = 72, 12  # positions in lines and in words that are told apart


def measure(
    path: Path,
    data: bytes,
    header: Header,
    session: Session,
    *,
    sample: int = 1 << 16,
    commands: Sequence[tuple[str, str]] = (),
    code: bool = True,
    watch: Watch | None = None,
    look: Callable[[str], None] = lambda what: None,
    sink: BinaryIO | None = None,
) -> dict[str, Any]:
    """Code a file once, with notes, and everything that a report says of it.

    sample: bytes on which single contexts are judged; 0: none are. commands: peers, by name. `look` hears of what is
    done next. The archive itself goes to `sink`.
    """
    look("coding")
    begun = time.perf_counter()
    traced = trace(data, header, session, code=code, watch=watch, sink=sink)
    assert traced.ledger is not None
    result: dict[str, Any] = {
        "name": path.name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "preset": presets.name_of(header),
        "seconds": round(time.perf_counter() - begun, 2),
        "settings": asdict(header) | {"prior": header.prior.hex() if header.prior else None},
        "ledger": traced.ledger.as_dict(),
        "parts": list(traced.parts),
        "bits": {part: float(traced.costs[:, PARTS.index(part)].sum(dtype=np.int64) * UNIT) for part in traced.parts},
        "curve": curve(traced),
        "calibration": calibration(traced),
        "context": context(traced),
        "costly": costly(traced),
        "excerpt": excerpt(traced),
    }
    if header.experts is not None and sample and data:
        look(f"what each context is worth to the first {min(sample, len(data)):,} bytes")
        result["contexts"] = contexts.worth(data[:sample], header, session)
    look("other compressors")
    result["peers"] = peers.sizes(data, list(commands))
    return result


def curve(traced: Trace) -> dict[str, Any]:
    """Bits per byte of pieces of equal width, by the position where they end; the mix's sum so far in bytes."""
    n = len(traced.data)
    width = max(1, -(-n // PIECES))
    sums = traced.sums(width) * UNIT
    ends = np.minimum(np.arange(1, len(sums) + 1) * width, n)
    lengths = np.diff(ends, prepend=0)
    result: dict[str, Any] = {"width": width, "end": ends.tolist()}
    for part in traced.parts:
        result[part] = (sums[:, PARTS.index(part)] / lengths).tolist()
    result["cumulative_bytes"] = (np.cumsum(sums[:, 0]) / 8).tolist() if n else []
    return result


def calibration(traced: Trace) -> dict[str, Any]:
    """Events by the probability they were given: the binary decisions coded, and the byte the model finds likeliest."""
    kinds = {"decisions": traced.coded, "likeliest": traced.model}
    return {
        name: {"error": one.error(), "excess_bits": one.excess(), "buckets": one.rows()}
        for name, one in kinds.items()
        if one.count.any()
    }


def context(traced: Trace) -> dict[str, Any]:
    """Mean bits per byte by what came before: bytes the model may see; place in the line and in the word."""
    result: dict[str, Any] = {}
    if traced.probe is not None and (rows := traced.probe.rows()):
        result["model"] = {"places": traced.probe.count, "rows": rows}
    data = np.frombuffer(traced.data, np.uint8)
    if is_text(data):
        letter = _LETTER[data]
        for name, starts, most in (("line", data == 10, COLUMNS), ("word", ~letter, LETTERS)):
            place = np.arange(len(data)) - _last(starts) - 1
            chosen = place < most if name == "line" else (place < most) & letter
            result[name] = _by(place[chosen], traced.costs[chosen], traced.parts, most)
    return result


def _last(starts: np.ndarray) -> np.ndarray:
    """Of each position the last one before it where `starts` is true; -1 if there is none."""
    return np.concatenate(([-1], np.maximum.accumulate(np.where(starts, np.arange(len(starts)), -1))[:-1]))


_LETTER = np.array([(chr(b).isalpha() and b < 128) or b >= 128 for b in range(256)])
_PRINTABLE = np.array([b in (9, 10, 13) or 32 <= b < 127 or b >= 128 for b in range(256)])


def is_text(data: np.ndarray) -> bool:
    """Do lines and words mean anything in uint8[n]?"""
    return (
        bool(len(data)) and _PRINTABLE[data].mean() > 0.95 and _LETTER[data].mean() > 0.1 and bool((data == 10).any())
    )


def _by(place: np.ndarray, costs: np.ndarray, parts: Sequence[str], most: int) -> dict[str, Any]:
    count = np.bincount(place, minlength=most)
    kept = count >= 20  # a mean of fewer says little
    result: dict[str, Any] = {"place": np.flatnonzero(kept).tolist(), "count": count[kept].tolist()}
    for part in parts:
        sums = np.bincount(place, costs[:, PARTS.index(part)] * UNIT, most)
        result[part] = (sums[kept] / count[kept]).tolist()
    return result


def costly(traced: Trace) -> list[dict[str, Any]]:
    """The bytes that cost most under the mix, dearest first, each with what stands around it."""
    cost, data = traced.costs[:, 0], traced.data
    if not len(cost):
        return []
    most = np.argpartition(cost, -min(COSTLY, len(cost)))[-COSTLY:]
    return [
        {
            "position": int(i),
            "bits": float(cost[i] * UNIT),
            "before": _text(data[max(0, i - AROUND) : i]),
            "byte": _text(data[i : i + 1]),
            "after": _text(data[i + 1 : i + 1 + AROUND]),
        }
        for i in most[np.lexsort((most, -cost[most].astype(np.int64)))]
    ]


def excerpt(traced: Trace) -> dict[str, Any]:
    """Bytes from three quarters on, where the model has learnt most of what it will: base64, bits of each."""
    start = min(len(traced.data) * 3 // 4, max(0, len(traced.data) - EXCERPT))
    part = slice(start, start + EXCERPT)
    costs = traced.costs[part, 0] * UNIT
    return {"start": start, "base64": _text(traced.data[part]), "bits": [round(float(bits), 3) for bits in costs]}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def dump(figures: dict[str, Any]) -> str:
    """As JSON."""
    return json.dumps(figures, indent=1, allow_nan=False) + "\n"
