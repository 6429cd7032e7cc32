"""Matrix products of integers, exact whatever hardware computes them.

The first operand is in ±127, the second in ±64, and sums have at most 2048 terms, so that every partial sum stays
below 2^24 and neither float32 nor int32 can round, whatever the order.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .exact import FIRST, PRODUCT_DEPTH, SECOND


def _int8(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    torch._int_mm(a, b, out=out)


def _float32(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    torch.mm(a, b, out=out)


def _int64(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(torch.mm(a.to(torch.int64), b.to(torch.int64)))


# What multiplies, the type of operands, the type of their products
BACKENDS: dict[str, tuple[Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None], type, type]] = {
    "int8": (_int8, np.int8, np.int32),
    "float32": (_float32, np.float32, np.float32),
    "int64": (_int64, np.int8, np.int32),
}


def self_test(backend: str) -> float:
    """Seconds that a backend takes for worst-case operands, as they lie in memory; infinity if a product is wrong."""
    multiply, operand, result = BACKENDS[backend]
    signs = np.where((7 * np.arange(PRODUCT_DEPTH) + np.arange(64)[:, None]) % 5 < 4, 1, -1)
    signs[0], signs[1] = 1, -1
    a, b = (torch.from_numpy((signs * limit).astype(operand)) for limit in (FIRST, SECOND))
    seconds = 0.0
    try:
        for left, right in ((a, b.t().contiguous()), (a, b.t()), (a.t().contiguous().t(), b.t().contiguous())):
            out, elapsed = torch.from_numpy(np.zeros((64, 64), result)), []
            for _ in range(4):
                begin = time.perf_counter()
                multiply(left, right, out)
                elapsed.append(time.perf_counter() - begin)
            if not np.array_equal(out.numpy(), signs @ signs.T * int(FIRST * SECOND)):
                return float("inf")
            seconds += min(elapsed)
    except RuntimeError:
        return float("inf")
    return seconds


class Products:
    """Products over whole segments by torch, which kernels call: `run` gives them the address.

    `backend` or $LMZIP_PRODUCTS names one; else it is the fastest that passes its test. No choice changes a bit.
    """

    def __init__(self, backend: str | None = None) -> None:
        backend = backend or os.environ.get("LMZIP_PRODUCTS")
        times = {name: self_test(name) for name in ([backend] if backend else BACKENDS)}
        self.backend = min(times, key=lambda name: times[name])
        if times[self.backend] == float("inf"):
            raise ArithmeticError(f"no exact matrix product on this machine: tried {', '.join(times)}")
        self.multiply, self.operand, self.result = BACKENDS[self.backend]
        self._products: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._error: BaseException | None = None
        self._callback = ctypes.CFUNCTYPE(None, ctypes.c_int64)(self._call)
        self._address = ctypes.cast(self._callback, ctypes.c_void_p).value

    def add(self, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> int:
        """A number for the product y = a · b of these very arrays, leading dimensions of a and b flattened."""
        if a.shape[-1] > PRODUCT_DEPTH:
            raise ValueError(f"a sum of more than {PRODUCT_DEPTH} products may round")
        left, right, out = (torch.from_numpy(v.reshape(-1, v.shape[-1])) for v in (a, b, y))
        self._products.append((left, right, out))
        return len(self._products) - 1

    def run(self, kernel: Callable, *arguments: Any) -> None:
        """Call a kernel with these arguments, and behind them the address where it can have products computed."""
        kernel(*arguments, self._address)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _call(self, number: int) -> None:
        try:
            self.multiply(*self._products[number])
        except BaseException as error:  # a kernel can't pass it on
            self._error = error
