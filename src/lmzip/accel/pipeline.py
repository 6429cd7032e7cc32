"""Encoding on two threads: the language model learns from a segment and predicts the next while experts code it.

The language model needs the bytes alone, not what the coder makes of them, so the coder may lag behind; it sees every
segment in order, with the frequencies predicted for it. Between two calls of `advance` nothing is left undone.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ..codec.lockstep import Encoding, Lockstep


class PipelinedLockstep(Lockstep):
    """A `Lockstep` with a language model and experts, whose encodings have a second thread."""

    def encode(self, data: np.ndarray) -> Encoding:
        return _PipelinedEncoding(self, data)


class _PipelinedEncoding(Encoding):
    def __init__(self, lockstep: Lockstep, data: np.ndarray) -> None:
        super().__init__(lockstep, data)
        self._lengths: list[Future[int]] = []

    def advance(self, segments: int = 1) -> None:
        with ThreadPoolExecutor(1, "lmzip-experts") as self._coder:
            super().advance(segments)
        self.nll += sum(length.result() for length in self._lengths)
        self._lengths.clear()

    def _write(self, position: np.ndarray, first: int, count: int, frequencies: np.ndarray) -> int:
        self._lengths.append(self._coder.submit(super()._write, position, first, count, frequencies.copy()))
        return 0
