"""Matrix products on an NVIDIA GPU, `--device cuda`: the same integers, so the same bits. Not sent, not needed.

int8 products with int32 sums, torch's `_int_mm`: no float gets there, so no TF32, nothing that rounds or saturates.
It asks for more than 16 rows and for multiples of 8 elsewhere; zeros fill up what is missing. Operands and results
cross the bus for every product, so only wide models can gain; no gain has been measured.
"""

from __future__ import annotations

import sys

import torch

from ..codec.product import BACKENDS, self_test

NAME = "cuda"


class Multiply:
    """A product of `codec.product` on a device: out[m, n] = a[m, k] · b[k, n], integers in ±127."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __call__(self, a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
        (m, k), n = a.shape, b.shape[1]
        rows, depth, columns = max(padded(m), 24), padded(k), padded(n)
        result = torch._int_mm(self._moved(a, rows, depth), self._moved(b.t(), columns, depth).t())
        out.copy_(result[:m, :n])

    def _moved(self, matrix: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        moved = torch.zeros(rows, columns, dtype=torch.int8, device=self.device)
        moved[: matrix.shape[0], : matrix.shape[1]] = matrix.to(self.device).to(torch.int8)
        return moved


def padded(size: int) -> int:
    """The next multiple of 8."""
    return -(-size // 8) * 8


def backend(device: str = "cuda") -> str | None:
    """Name of the backend, registered, if the device computes exactly; else None, and a line on standard error."""
    BACKENDS[NAME] = (Multiply(device), *BACKENDS["int64"][1:])
    try:
        BACKENDS[NAME][0](*torch.zeros(3, 1, 1, dtype=torch.int8))  # one product; the test doesn't say what fails
        if self_test(NAME) < float("inf"):
            return NAME
        why = "its products are not exact"
    except (AssertionError, RuntimeError, NotImplementedError) as error:  # torch without CUDA, no driver, no device
        why = str(error).partition("\n")[0]
    del BACKENDS[NAME]
    print(f"lmzip: no CUDA here ({why}); computing on the CPU, the bytes are the same", file=sys.stderr)
    return None
