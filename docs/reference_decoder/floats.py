"""Numbers of the language model: docs/predictor.md, section 3.

A float here always holds a float32 value. Python computes + − × ÷ √ in float64, and `f32` or, row by row, `f32s` rounds
the result to float32. Rounding twice is rounding once: with 53 ≥ 2·24 + 2 bits between, the first result is never so
near the middle of two float32 values that the second goes another way (Figueroa 1995). Products of integers are
Python's own.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from operator import add, mul

from .coder import MASK64


@cache
def layout(kind: str, count: int) -> struct.Struct:
    return struct.Struct(f"<{count}{kind}")


def f32s(values: Iterable[float]) -> tuple[float, ...]:
    """Each rounded to float32; overflow is an error."""
    values = tuple(values)
    packing = layout("f", len(values))
    return packing.unpack(packing.pack(*values))


def f32(value: float) -> float:
    """Rounded to float32."""
    return f32s((value,))[0]


ZERO, ONE, TINY = 0.0, 1.0, f32(1e-20)
FIRST, SECOND = 127, 64  # limits of integers
DIGESTED = 1 << 23  # arrays of more bytes are no part of the state digest
LOG2E = f32(5909.278887481194)


def scaled(factor: float, row: Iterable[float]) -> tuple[float, ...]:
    return f32s([factor * v for v in row])


def root(value: float) -> float:
    return f32(math.sqrt(value))


def halves(row: Sequence[float]) -> float:
    """The sum of 2^n numbers, each half added to the other."""
    while len(row) > 1:
        half = len(row) // 2
        row = f32s(map(add, row[:half], row[half:]))
    return row[0]


def weighted_rows(weights: Sequence[float], rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Σ weight · row, four rows at a time."""
    y: Sequence[float] = (ZERO,) * len(rows[0])
    for k in range(0, len(weights), 4):
        p, q, r, s = (scaled(weights[k + i], rows[k + i]) for i in range(4))
        y = f32s(map(add, y, f32s(map(add, f32s(map(add, p, q)), f32s(map(add, r, s))))))
    return tuple(y)


def quantise(row: Sequence[float], limit: int) -> tuple[list[int], float]:
    """Integers in ±limit and their scale."""
    most = max(TINY, max(map(abs, row)))
    inverse = f32(limit / most)
    return [round(v) for v in scaled(inverse, row)], f32(most / limit)  # round() rounds halves to even


def quantise_columns(rows: Sequence[Sequence[float]]) -> tuple[list[list[int]], tuple[float, ...]]:
    """Each column as integers in ±64, and the scales."""
    most = [max(TINY, *map(abs, column)) for column in zip(*rows)]
    inverse = f32s([SECOND / m for m in most])
    return [[round(v) for v in f32s(map(mul, row, inverse))] for row in rows], f32s([m / SECOND for m in most])


def inverse_rms(integers: Sequence[int], scale: float) -> float:
    mean = f32(f32(sum(map(mul, integers, integers))) / len(integers))
    return f32(ONE / root(f32(f32(f32(scale * scale) * mean) + f32(1e-6))))


def _exp2_table() -> list[int]:
    roots = [1 << 61]  # 2^-1, 2^-1/2, 2^-1/4, … in units of 2^-62
    while len(roots) <= 12:
        roots.append(math.isqrt(roots[-1] << 62))
    table = []
    for i in range(4096):
        value = 1 << 62
        for bit in range(12):
            if i >> bit & 1:
                value = value * roots[12 - bit] >> 62
        table.append((value + (1 << 37)) >> 38)
    return table


EXP2 = _exp2_table()


def exponentials(row: Sequence[float]) -> list[int]:
    """2^24 · exp(x − max x)."""
    most = max(row)
    distances = scaled(LOG2E, f32s([most - v for v in row]))
    steps = [round(min(distance, 25.0 * 4096)) for distance in distances]
    return [EXP2[step & 4095] >> (step >> 12) for step in steps]


def frequencies(logits: Sequence[float]) -> list[int]:
    """Softmax as 256 positive integers that sum to 2^24."""
    e = exponentials(logits)
    share = (((1 << 24) - len(e)) << 28) // sum(e)
    f = [(v * share >> 28) + 1 for v in e]
    f[e.index(max(e))] += (1 << 24) - sum(f)
    return f


def words(stream: int, start: int, count: int) -> Iterator[int]:
    """Random words of a stream."""
    for i in range(start, start + count):
        z = (i + (stream << 32)) * 0x9E3779B97F4A7C15 & MASK64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK64
        yield z ^ z >> 31


def normal(stream: int, rows: int, columns: int, deviation: float) -> list[tuple[float, ...]]:
    """Nearly normal numbers, by rows."""
    factor = f32(f32(deviation) * f32(1 / 37837.2266))
    sums = [
        sum(word >> shift & 0xFFFF for shift in (0, 16, 32, 48)) - 131070 for word in words(stream, 0, rows * columns)
    ]
    return [scaled(factor, sums[k : k + columns]) for k in range(0, rows * columns, columns)]


def floats(row: Sequence[float]) -> bytes:
    """As they lie in the digest."""
    return layout("f", len(row)).pack(*row)
