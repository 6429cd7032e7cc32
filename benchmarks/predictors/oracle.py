"""A predictor that has been told the data beforehand: what the coder does with the extremes of probability."""

from __future__ import annotations

import numpy as np

from lmzip.codec.symbols import FREQUENCY_BITS

from .positions import ByPosition

WHOLE = 1 << FREQUENCY_BITS


class Oracle(ByPosition):
    """Gives each byte of `told` about the frequency `trust`, of 2^24, and all others the same, at least 1.

    Both ends must have `told`: it is as long as the data, and whoever charges for priors charges for it. With
    trust = 2^16 nothing of it matters, and every byte costs 8 bits; with 2^24 it costs log2(1 / (1 - 255 / 2^24)).
    """

    def __init__(self, told: bytes, trust: int, streams: int = 1, segment: int = 256) -> None:
        self.told, self.others = np.frombuffer(told, np.uint8), max(1, (WHOLE - trust) // 255)
        self._frequencies = np.empty((streams, segment, 256), np.uint32)

    def predict_segment(self, history: np.ndarray, begin: np.ndarray, position: np.ndarray, count: int) -> np.ndarray:
        """Frequencies of the bytes at `position` …, by what was told."""
        for t in range(count):
            self.predict_position(history, begin, position, t)
        return self._frequencies[:, :count]

    def predict_position(self, history: np.ndarray, begin: np.ndarray, position: np.ndarray, t: int) -> np.ndarray:
        """Frequencies [streams, segment, 256], those of position t set."""
        for b, at in enumerate(position):
            self._frequencies[b, t] = self.others
            self._frequencies[b, t, self.told[at + t]] = WHOLE - 255 * self.others
        return self._frequencies

    def forget(self) -> None:
        """An oracle remembers nothing of what was coded."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Nor learns."""
        return {}
