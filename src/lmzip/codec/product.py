"""Matrix products of integers, exact whatever hardware computes them.

Operands are integer-valued float32: the first in ±127, the second in ±64, sums of at most 2048 terms, so that every
partial sum stays below 2^24 and neither float32 nor int32 can round, whatever the order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import torch

from .exact import FIRST, PRODUCT_DEPTH, SECOND


def _int8(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(torch._int_mm(a.to(torch.int8), b.to(torch.int8)))


def _float32(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    torch.mm(a, b, out=out)


def _int64(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(torch.mm(a.to(torch.int64), b.to(torch.int64)))


BACKENDS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]] = {
    "int8": _int8,
    "float32": _float32,
    "int64": _int64,
}


def self_test(backend: str) -> float:
    """Seconds that a backend takes for worst-case operands; infinity if it computes one of them wrongly."""
    m, k, n = 32, PRODUCT_DEPTH, 64
    columns = np.arange(k)
    first = np.where((columns[None] * 7 + np.arange(m)[:, None]) % 5 < 4, FIRST, -FIRST).astype(np.float32)
    second = np.where((columns[None] * 7 + np.arange(n)[:, None]) % 5 < 4, SECOND, -SECOND).astype(np.float32)
    first[0], second[0] = FIRST, SECOND
    first[1], second[1] = FIRST, -SECOND
    expected = (first.astype(np.int64) @ second.astype(np.int64).T).astype(np.float32)
    a, b, out = torch.from_numpy(first), torch.from_numpy(second).t(), torch.zeros(m, n)
    try:
        elapsed = []
        for _ in range(4):
            begin = time.perf_counter()
            BACKENDS[backend](a, b, out)
            elapsed.append(time.perf_counter() - begin)
            if not np.array_equal(out.numpy(), expected):
                return float("inf")
        return min(elapsed)
    except RuntimeError:
        return float("inf")


class Products:
    """Products over whole segments by torch.

    `backend` or $LMZIP_PRODUCTS names one; else it is the fastest that passes its test. No choice changes a bit.
    """

    def __init__(self, backend: str | None = None) -> None:
        backend = backend or os.environ.get("LMZIP_PRODUCTS")
        times = {name: self_test(name) for name in ([backend] if backend else BACKENDS)}
        self.backend = min(times, key=lambda name: times[name])
        if times[self.backend] == float("inf"):
            raise ArithmeticError(f"no exact matrix product on this machine: tried {', '.join(times)}")
        self._multiply = BACKENDS[self.backend]
        self._views: dict[tuple[int, int, int, int], tuple[tuple[torch.Tensor, ...], tuple[np.ndarray, ...]]] = {}

    def __call__(self, x: np.ndarray, matrix, y: np.ndarray, start: int = 0, stop: int = 0) -> None:
        """y[…, n] = x[…, k] · matrix[k, n], the forward product."""
        self._run(x, matrix.integers, y, 0)

    def backward(self, gradient: np.ndarray, matrix, y: np.ndarray) -> None:
        """y[…, k] = gradient[…, n] · matrix[k, n]."""
        self._run(gradient, matrix.integers, y, 1)

    def outer(self, gradient: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        """y[k, n] = Σ x[…, k] · gradient[…, n]; computed the other way round, for the gradient is the wider operand."""
        self._run(gradient, x, y, 2)

    def _run(self, a: np.ndarray, b: np.ndarray, y: np.ndarray, kind: int) -> None:
        key = (id(a), id(b), id(y), kind)
        if key not in self._views:  # the model's arrays live as long as it does: one view of each, which keeps it alive
            if (a.shape[-1], b.shape[1], a.size // a.shape[-1])[kind] > PRODUCT_DEPTH:
                raise ValueError(f"a sum of more than {PRODUCT_DEPTH} products may round")
            left, right, out = (torch.from_numpy(v.reshape(-1, v.shape[-1])) for v in (a, b, y))
            views = ((left, right, out), (left, right.t(), out), (left.t(), right, out.t()))[kind]
            self._views[key] = views, (a, b, y)
        self._multiply(*self._views[key][0])
