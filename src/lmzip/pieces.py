"""Pieces of a file, and a predictor that is timed while it codes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, BinaryIO

import numpy as np

from .codec.message import NLL_BITS
from .frames import read_block
from .predictor import Predictor

Clock = Callable[[], float]
PIECES, PIECE, ALIGNED = 16, 32760, 12  # ALIGNED: whole samples of sound, whole pixels of images
ORDER = (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)  # so that the first few are spread as well as all are
WHOLE = 1 << 18  # a file of no more bytes is one piece
TIMED = 1 << 10  # bytes timed at once
UNUSUAL, LOADED = 2.5, 2.0  # times the median pace: something grew; seconds: something was compiled
KIND = 0  # of `State.sampled` of the experts: more than 0 where sound or an image is seen


def pieces(source: BinaryIO, length: int, size: int = PIECE, whole: int = WHOLE) -> list[bytes]:
    """The file if it is short, else PIECES pieces from its beginning to its end. `source` is left where it was."""
    place = source.tell()
    try:
        if length <= max(whole, PIECES * ALIGNED):
            return [read_block(source, length)] if length else []
        size = _aligned(min(size, length // PIECES + ALIGNED))
        result = []
        for index in ORDER:
            source.seek(place + _aligned((length - size) * index // (PIECES - 1)))
            result.append(read_block(source, size))
        return result
    finally:
        source.seek(place)


def _aligned(count: int) -> int:
    return count - count % ALIGNED


def processor_time(clock: Clock) -> Clock:
    """A clock of CPU time in place of one on the wall; any other is taken as it is."""
    return time.process_time if clock is time.perf_counter else clock


class Run:
    """A predictor through which data goes, and what that takes."""

    def __init__(self, state: Predictor, clock: Clock) -> None:
        together = state.header.streams * state.header.segment
        self.state, self.clock, self.step = state, clock, max(1, TIMED // together)
        self.processor = processor_time(clock)
        self.lengths: list[float] = []  # bytes coded so far, after each call
        self.paces: list[tuple[float, int]] = []  # seconds a byte, and how many bytes
        self.coded = self.wall = self.cpu = 0.0  # seconds by the clock, and of CPU where that is a clock on the wall

    def code(self, data: bytes) -> None:
        """Code more data as a frame."""
        encoding = self.state.encode(np.frombuffer(data, np.uint8))
        while not encoding.done:
            before, began, used = encoding.position, self.clock(), self.processor()
            encoding.advance(self.step)
            spent = self.clock() - began
            self.wall, self.cpu = self.wall + spent, self.cpu + self.processor() - used
            self.paces.append((spent / (encoding.position - before), encoding.position - before))
        self.coded += encoding.nll / (8 << NLL_BITS)
        self.lengths.append(self.coded)

    @property
    def pace(self) -> float:
        """Seconds a byte: the mean, without what only grows tables, loads or compiles."""
        bound = UNUSUAL * median(pace for pace, _ in self.paces)
        usual = [(pace, count) for pace, count in self.paces if pace <= bound]
        return sum(pace * count for pace, count in usual) / sum(count for _, count in usual)

    @property
    def growth(self) -> float:
        """Seconds beyond that: what it took to grow tables."""
        return sum(self._beyond()) - self.loaded

    @property
    def loaded(self) -> float:
        """Seconds that compiling took: what is not in memory the first time, and no part of any pace."""
        return sum(seconds for seconds in self._beyond() if seconds >= LOADED)

    def _beyond(self) -> list[float]:
        mean, bound = self.pace, UNUSUAL * median(pace for pace, _ in self.paces)
        return [(pace - mean) * count for pace, count in self.paces if pace > bound]

    @property
    def load(self) -> float:
        """Seconds by the clock to one of CPU: more than 1 where others are at work as well."""
        return max(1.0, self.wall / self.cpu) if self.cpu > 0 else 1.0

    @property
    def is_sampled(self) -> bool:
        """Does the predictor take what it sees for sound or an image?"""
        experts: Any = getattr(self.state, "experts", None)
        return experts is not None and experts.state.sampled[KIND] > 0
