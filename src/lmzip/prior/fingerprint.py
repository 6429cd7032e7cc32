"""How much of a file a prior has already seen: hashes of long strings, chosen by content.

Of all strings of `LENGTH` bytes, one in `SAMPLED`, chosen by its hash, is remembered in 32 bits. Choosing by content
means that a copy is found wherever it stands, and that a file and a corpus choose the same strings.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LENGTH, SAMPLED = 32, 64
_FACTOR, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


def hashes(data: np.ndarray) -> np.ndarray:
    """uint32[m], the hashes of the strings of uint8[n] that are chosen, in order."""
    if len(data) < LENGTH:
        return np.zeros(0, np.uint32)
    with np.errstate(over="ignore"):
        h, power, span = data.astype(np.uint64) + np.uint64(1), _FACTOR, 1
        while span < LENGTH:  # the hash of a string is that of its first half times a power, plus that of its second
            h = h[:-span] * power + h[span:]
            power, span = power * power, 2 * span
        h = (h ^ h >> np.uint64(31)) * _MIX
    return (h[h >> np.uint64(58) == 0] >> np.uint64(20)).astype(np.uint32)  # 2^-6 = 1 / SAMPLED


class Fingerprint:
    """The hashes of a corpus, collected piece by piece; `known`: uint32, sorted, each once."""

    def __init__(self) -> None:
        self._tail = np.zeros(0, np.uint8)
        self._found: list[np.ndarray] = []

    def add(self, data: Any) -> None:
        """The next piece of the corpus."""
        self._found.append(self._hashes(np.frombuffer(data, np.uint8)))

    def _hashes(self, piece: np.ndarray) -> np.ndarray:
        piece = np.concatenate((self._tail, piece))
        self._tail = piece[-LENGTH + 1 :]
        return hashes(piece)

    @property
    def known(self) -> np.ndarray:
        return np.unique(np.concatenate([*self._found, np.zeros(0, np.uint32)]))


class Overlap(Fingerprint):
    """What part of a file, seen piece by piece, a fingerprint knows."""

    def __init__(self, known: np.ndarray) -> None:
        super().__init__()
        self._known, self.asked, self.hits = known, 0, 0

    def add(self, data: Any) -> None:
        """The next piece of the file."""
        chosen = self._hashes(np.frombuffer(data, np.uint8))
        self.asked += len(chosen)
        self.hits += int(np.isin(chosen, self._known).sum())

    @property
    def share(self) -> float:
        """Of the file's strings, as far as they were sampled; 0 if the file has none."""
        return self.hits / self.asked if self.asked else 0.0

    def __str__(self) -> str:
        share = f"{100 * self.share:.2f} % of the file's {LENGTH}-byte strings"
        return f"contamination: {share} are in the prior's corpus ({self.asked:,} asked)"


class Tap:
    """A binary file; what is read from it is added to a fingerprint as well."""

    def __init__(self, file: Any, seen: Fingerprint) -> None:
        self._file, self.seen = file, seen

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.seen.add(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
