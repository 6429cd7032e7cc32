"""Weight matrices of integers, their products and their training: docs/predictor.md, sections 3 and 5.

A row of integers is one large integer of 32-bit lanes, Σ v[n] · 2^(32 n), so that a sum of multiples of rows is a sum
of multiples of large integers: exact, and quick enough in pure Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from math import sqrt
from operator import add, mul, sub

from .floats import FIRST, SECOND, TINY, ZERO, f32, f32s, floats, layout, quantise, quantise_columns, scaled

Row = tuple[float, ...]
Rates = tuple[float, float]


@cache
def _tops(count: int) -> int:
    return sum(1 << (32 * n + 31) for n in range(count))


def lanes(row: Sequence[int]) -> int:
    tops = _tops(len(row))
    return (int.from_bytes(layout("i", len(row)).pack(*row), "little") ^ tops) - tops


def multiply(x: Iterable[int], rows: Iterable[int], count: int) -> tuple[int, ...]:
    """Σ x[k] · rows[k], rows of `count` lanes."""
    tops = _tops(count)
    total = (sum(map(mul, x, rows)) + tops) ^ tops
    return layout("i", count).unpack(total.to_bytes(4 * count, "little"))


class Matrix:
    """A weight matrix, rows of inputs; its integers in lanes along both directions."""

    def __init__(self, weight: list[tuple[float, ...]]) -> None:
        self.weight = weight
        self.mean = [(ZERO,) * len(weight[0]) for _ in weight]
        self.square = list(self.mean)
        self.round()

    def round(self) -> None:
        self.integers, self.scale = quantise_columns(self.weight)
        self.rows = [lanes(row) for row in self.integers]
        self.columns = [lanes(column) for column in zip(*self.integers)]

    def forward(self, x: Sequence[int], scale: float) -> tuple[float, ...]:
        """x · W, turned back by the scales."""
        y = multiply(x, self.rows, len(self.scale))
        return f32s(map(mul, y, scaled(scale, self.scale)))

    def backward(
        self, x: Sequence[Sequence[int]], scales: Sequence[float], g: Sequence[Sequence[float]], rates: Rates
    ) -> list[Row]:
        """Step by the gradients g of x · W; returns those of x. A row for every position."""
        inputs, outputs = len(self.weight), len(self.scale)
        dx = []
        for row in g:
            q, scale = quantise(f32s(map(mul, row, self.scale)), FIRST)
            dx.append(scaled(scale, multiply(q, self.columns, inputs)))
        shares = [scaled(s, row) for s, row in zip(scales, g)]
        most = [max(TINY, *map(abs, column)) for column in zip(*shares)]
        inverse = f32s([SECOND / m for m in most])
        by_column = [[round(v) for v in f32s(map(mul, row, inverse))] for row in shares]
        rows = [lanes(row) for row in by_column]
        column_scale = f32s([m / SECOND for m in most])
        for k, column in enumerate(zip(*x)):
            gradient = f32s(map(mul, multiply(column, rows, outputs), column_scale))
            self.weight[k], self.mean[k], self.square[k] = adam(
                self.weight[k], self.mean[k], self.square[k], gradient, rates
            )
        self.round()
        return dx

    def arrays(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Its part of the digest."""
        for part in ("weight", "integers"):
            yield f"{name}.{part}", b"".join(map(floats, getattr(self, part)))
        yield f"{name}.scale", floats(self.scale)
        for part in ("mean", "square"):
            yield f"{name}.{part}", b"".join(map(floats, getattr(self, part)))


def adam(w: Row, m: Row, v: Row, gradient: Sequence[float], rates: Rates) -> tuple[Row, Row, Row]:
    """One step of a row; rates: r and ε."""
    rate, epsilon = rates
    old, new, old_square, new_square = map(f32, (0.9, 0.1, 0.99, 0.01))
    a = f32s(map(add, scaled(old, m), scaled(new, gradient)))
    a = [ZERO if abs(x) < TINY else x for x in a]
    squares = f32s([s + TINY for s in scaled(new_square, f32s(map(mul, gradient, gradient)))])
    b = f32s(map(add, scaled(old_square, v), squares))
    divisors = f32s([r + epsilon for r in f32s(map(sqrt, b))])
    steps = f32s([x / d for x, d in zip(scaled(rate, a), divisors)])
    return f32s(map(sub, w, steps)), tuple(a), b
