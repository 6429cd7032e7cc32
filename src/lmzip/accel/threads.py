"""The sender with two threads: the experts code a segment while the model learns from it and predicts the next.

The sender knows what comes, so the model need not wait until a segment is coded; the experts need its predictions, not
its state. A receiver has no such choice: it can't predict a byte before the one in front of it is decoded.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ..codec.lockstep import Encoding, Lockstep


class ThreadedLockstep(Lockstep):
    """A Lockstep of model and experts that encodes with a second thread."""

    def encode(self, data: np.ndarray) -> Encoding:
        return ThreadedEncoding(self, data)


class ThreadedEncoding(Encoding):
    """A frame on its way into a transcript, one segment of it at a time in the hands of the second thread."""

    def __init__(self, lockstep: Lockstep, data: np.ndarray) -> None:
        super().__init__(lockstep, data)
        self._experts = ThreadPoolExecutor(1)
        self._coding: Future[int] | None = None
        self._frequencies = np.zeros((lockstep.segment, 256), np.uint32)

    def advance(self, segments: int = 1) -> None:
        super().advance(segments)
        self.nll += self._wait()  # whoever looks at the state between two calls finds it whole

    def _mix(self, at: int, count: int, frequencies: np.ndarray) -> int:
        length = self._wait()
        self._frequencies[:count] = frequencies  # the model will overwrite its own
        self._coding = self._experts.submit(super()._mix, at, count, self._frequencies[:count])
        return length  # of the segment before

    def _wait(self) -> int:
        """Wait for the second thread; the code length of what it coded."""
        coding, self._coding = self._coding, None
        return coding.result() if coding else 0

    def finish(self) -> bytes:
        self._experts.shutdown()
        return super().finish()
