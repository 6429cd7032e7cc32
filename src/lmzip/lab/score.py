"""Bits per byte of many texts, each alone under the same model: its code length, also where an archive would store it.

Every text begins from the same state: fresh, or where a prior ends. To set up a state takes far longer than to code a
short text, so what a text changes is put back instead: tables are copied back as far as they are in use, but of the
language model's rows, which are hundreds of megabytes, only those that were touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..codec import lockstep
from ..codec.message import NLL_BITS, Header
from ..errors import FileError
from ..predictor import completed
from ..session import Session

BY_ROW = ("model.tables", "learner.squares")  # [orders, rows, …]


class Scorer:
    """A predictor that forgets each text before the next."""

    def __init__(self, header: Header, session: Session) -> None:
        self.header = header
        self.state = session.lockstep(header)
        named = self.state.arrays()
        by_row = BY_ROW if header.replay == 0 else ()  # replay touches rows that no segment of the text names
        self._rows = [named[name] for name in by_row if name in named]
        self._saved = {
            name: array.copy() for name, array in named.items() if name not in (*by_row, "history") and array.size
        }
        self._journal: list[tuple[int, np.ndarray, list[np.ndarray]]] = []
        self._touched = np.zeros(self._rows[0].shape[:2] if self._rows else (0, 0), bool)

    def nll(self, data: bytes) -> int:
        """Code length of `data` in 2^-20 bit, as in its archive if all frames are coded; the state is put back then."""
        here, size, total = self.state, self.header.frame_size, 0
        begin = here.position
        before = here.take(begin, min(len(data), len(here.history))) if hasattr(here, "history") else None
        for start in range(0, len(data), size):
            block = np.frombuffer(data, np.uint8)[start : start + size]
            total += completed(_Kept(self, block) if self._rows else here.encode(block)).nll
        if before is not None:
            here.put(begin, before)
        self._reset()
        return total

    def keep_rows(self) -> None:
        """Before the model learns from a segment: keep the rows that it will change, once each."""
        contexts = self.state.model.net.contexts[0]
        for order in range(contexts.shape[1]):
            rows = np.unique(contexts[:, order])
            rows = rows[~self._touched[order, rows]]
            self._touched[order, rows] = True
            self._journal.append((order, rows, [array[order, rows] for array in self._rows]))

    def _reset(self) -> None:
        for order, rows, kept in self._journal:
            self._touched[order, rows] = False
            for array, values in zip(self._rows, kept, strict=True):
                array[order, rows] = values
        self._journal.clear()
        if "experts.memory" in self._saved:  # it says how much of the tables is in use
            self.state.arrays()["experts.memory"][:] = self._saved["experts.memory"]
        named = self.state.arrays()
        for name, saved in self._saved.items():
            named[name][...] = saved


class _Kept(lockstep.Encoding):
    """A frame whose segments tell the scorer before they are learnt."""

    def __init__(self, scorer: Scorer, data: np.ndarray) -> None:
        super().__init__(scorer.state, data)
        self.scorer = scorer

    def _code(self, begin: np.ndarray, position: np.ndarray, first: int, count: int) -> int:
        length = super()._code(begin, position, first, count)
        self.scorer.keep_rows()
        return length


def score(
    lines: Iterable[bytes], field: str, scorer: Scorer, against: Scorer | None = None
) -> Iterator[dict[str, Any]]:
    """Each JSON object with `bits`, `bytes` and `bpb` of its `field` added.

    With another model also `against`, its bpb, and `difference`, bpb less that: Moore and Lewis (2010) select the texts
    where it is lowest, the scorer adapted to what is wanted and `against` general. Raises FileError for other lines.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            text = row[field]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise FileError(
                f"line {number} is no JSON object with a field {field!r}; name another with --field"
            ) from None
        if not isinstance(text, str):
            raise FileError(f"line {number}: {field!r} is no text; name another field with --field")
        data = text.encode("utf-8", "surrogatepass")
        bits = scorer.nll(data) / (1 << NLL_BITS)
        bpb = bits / len(data) if data else None
        row |= {"bits": bits, "bytes": len(data), "bpb": bpb}
        if against is not None:
            other = against.nll(data) / (1 << NLL_BITS) / len(data) if data else None
            row |= {"against": other, "difference": bpb - other if bpb is not None and other is not None else None}
        yield row
