"""Mixing logits, and refining what comes out: docs/predictor.md, section 6."""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul

from .cells import LIMIT, adapt, clamp, squash

FRESH = [squash(k * 192 - LIMIT - 1) << 10 | 6 for k in range(33)]
MOST = (1 << 19) - 1  # of a weight


class Refinement:
    """Adaptive maps of one probability, a row of 33 cells each."""

    def __init__(self) -> None:
        self.cells: dict[int, int] = {}  # where they differ from the identity

    def cell(self, at: int) -> int:
        return self.cells.get(at, FRESH[at % 33])

    def probability(self, row: int, logit: int) -> int:
        place = logit + LIMIT + 1
        at, part = row * 33 + place // 192, place % 192
        low, high = self.cell(at) >> 10, self.cell(at + 1) >> 10
        return (low * (192 - part) + high * part) // 192

    def learn(self, row: int, logit: int, y: int) -> None:
        at = row * 33 + (logit + LIMIT + 1 + 96) // 192
        self.cells[at] = adapt(self.cell(at), y, 1000)


class Finals:
    """The second mix: of what the weight sets say."""

    def __init__(self, sets: int) -> None:
        self.weights = [[65536 // sets] * sets for _ in range(1280)]

    def mix(self, outputs: Sequence[int], row: int) -> int:
        return clamp(32768 + sum(map(mul, outputs, self.weights[row])) >> 16)

    def learn(self, outputs: Sequence[int], row: int, mixed: int, y: int) -> None:
        error = (y << 16) - (squash(mixed) >> 6)
        self.weights[row] = [w + (o * error + 0x20000 >> 18) for w, o in zip(self.weights[row], outputs)]


def mix(x: Sequence[int], weights: list[list[int]], rows: Sequence[int]) -> list[int]:
    """What the selected weight sets make of the inputs."""
    return [clamp(sum(a * w >> 8 for a, w in zip(x, weights[row])) + 128 >> 8) for row in rows]


def train(
    x: Sequence[int], weights: list[list[int]], rows: Sequence[int], outputs: Sequence[int], y: int, rate: int
) -> None:
    """The selected sets learn the bit that came."""
    for row, output in zip(rows, outputs):
        error = ((y << 22) - squash(output)) * rate >> 10
        if abs(error) >= 64:
            selected = weights[row]
            for j, a in enumerate(x):
                if a:
                    selected[j] = max(-MOST, min(MOST, selected[j] + (a * error + (1 << 17) >> 18)))
