"""What a prior is worth to a file: how much of the file it has seen, what it saves, after how much data it has paid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np

from ..codec.message import NLL_BITS, Frame, Header
from ..errors import UsageError
from ..frames import read_block
from ..predictor import completed
from ..session import Session
from .fingerprint import Overlap
from .registry import Knowledge

MEASURED = 1 << 20  # bytes that are coded without the prior, to compare; at least one frame


@dataclass(frozen=True)
class Worth:
    """Code lengths in bytes of the first `length` bytes of a file, with its prior and without; costs of the prior."""

    overlap: Overlap
    length: int
    conditional: float
    without: float
    stored: int
    rebuilt: int

    def break_even(self, cost: int) -> float:
        """Bytes of such data from which on a prior that costs so much has paid; infinite if it never does."""
        saved = self.without - self.conditional
        return cost * self.length / saved if saved > 0 else float("inf")

    def as_dict(self) -> dict[str, Any]:
        """For `lmzip info --json`; null: never."""
        paid = {"stored": self.break_even(self.stored), "rebuilt": self.break_even(self.rebuilt)}
        return {
            "share": self.overlap.share,
            "strings": self.overlap.asked,
            "measured": self.length,
            "conditional": self.conditional,
            "without": self.without,
            "break_even": {name: round(amount) if amount < float("inf") else None for name, amount in paid.items()},
        }

    def __str__(self) -> str:
        def amount(cost: int) -> str:
            paid = self.break_even(cost)
            return f"{paid / 1e6:,.1f} MB" if paid < float("inf") else "never"

        saved = 100 * (1 - self.conditional / self.without) if self.without else 0.0
        return (
            f"the prior saves {saved:.1f} % of the first {self.length:,} bytes: {self.conditional:,.0f} with it "
            f"(conditional), {self.without:,.0f} without\n"
            f"break-even, if all data were like that: {amount(self.stored)} with the prior stored, "
            f"{amount(self.rebuilt)} with the prior rebuilt\n"
            f"{self.overlap}"
        )


def overlap(prior: Knowledge, file: BinaryIO) -> Overlap:
    """What of a file is in a prior's corpus. Raises UsageError where nobody knows the corpus."""
    if (fingerprint := prior.fingerprint()) is None:
        raise UsageError(f"nobody knows the corpus of {prior.name}: leave --compare out")
    seen = Overlap(fingerprint)
    while block := file.read(1 << 20):
        seen.add(block)
    return seen


def bits(header: Header, pieces: Iterable[bytes], session: Session) -> float:
    """Code length of pieces, one behind the other, or each alone if frames are independent."""
    predictor, total = None, 0
    for piece in pieces:
        if predictor is None or header.independent_frames:
            predictor = session.lockstep(header)
        total += completed(predictor.encode(np.frombuffer(piece, np.uint8))).nll
    return total / (1 << NLL_BITS)


def measure(
    header: Header, frames: list[Frame], original: Any, session: Session, look: Callable[[], None] = lambda: None
) -> Worth | None:
    """Of the prior of an archive with these frames; codes up to 1 MiB of the original without it, as `look` is told.

    None where there is nothing to compare: no frames, or a prior that can't be rebuilt.
    """
    prior = session.knowledge(header)
    if not frames or prior is None or prior.rebuilt is None:
        return None
    original.seek(0)
    seen = overlap(prior, original)
    look()
    pieces: list[bytes] = []
    nll = 0
    original.seek(0)
    for frame in frames:
        if pieces and sum(map(len, pieces)) + frame.length > MEASURED:
            break
        pieces.append(read_block(original, frame.length))
        nll += frame.nll
    original.seek(0)
    without = bits(replace(header, prior=None), pieces, session) / 8
    length = sum(map(len, pieces))
    return Worth(seen, length, nll / (8 << NLL_BITS), without, prior.size, prior.rebuilt)
