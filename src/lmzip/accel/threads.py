"""The sender with two threads: the experts code a segment while the model learns from it and predicts the next.

The sender knows what comes, so the model need not wait until a segment is coded; the experts need its predictions, not
its state. A receiver has no such choice: it can't predict a byte before the one in front of it is decoded.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ..codec.lockstep import Encoding, Lockstep

TOGETHER = 4  # segments handed over at once: waking a thread costs time


class ThreadedLockstep(Lockstep):
    """A Lockstep of model and experts that encodes with a second thread."""

    def encode(self, data: np.ndarray) -> Encoding:
        return ThreadedEncoding(self, data)


class ThreadedEncoding(Encoding):
    """A frame on its way into a transcript, some segments of it at a time in the hands of the second thread."""

    def __init__(self, lockstep: Lockstep, data: np.ndarray) -> None:
        super().__init__(lockstep, data)
        self._experts = ThreadPoolExecutor(1)
        self._coding: Future[int] | None = None
        self._predicted: list[tuple[int, int, np.ndarray]] = []  # what the second thread gets next
        self._frequencies = np.zeros((2, TOGETHER, lockstep.segment, 256), np.uint32)

    def advance(self, segments: int = 1) -> None:
        super().advance(segments)
        self.nll += self._hand_over() + self._hand_over()  # whoever looks at the state between two calls finds it whole

    def _mix(self, at: int, count: int, frequencies: np.ndarray) -> int:
        kept = self._frequencies[0, len(self._predicted), :count]
        kept[:] = frequencies  # the model will overwrite its own
        self._predicted.append((at, count, kept))
        return self._hand_over() if len(self._predicted) == TOGETHER else 0

    def _hand_over(self) -> int:
        """Give what is predicted to the second thread, once it is done with what it had; the code length of that."""
        length = self._coding.result() if self._coding else 0
        self._coding = self._experts.submit(self._code_all, self._predicted) if self._predicted else None
        self._predicted, self._frequencies = [], self._frequencies[::-1]
        return length

    def _code_all(self, predicted: list[tuple[int, int, np.ndarray]]) -> int:
        return sum(super(ThreadedEncoding, self)._mix(*one) for one in predicted)

    def finish(self) -> bytes:
        self._experts.shutdown()
        return super().finish()
