"""Products of pretrained models on an NVIDIA GPU, `--device cuda`: the very results of pretrained/product.py.

Weights stay on the device as int8 matrices. Activations in ±8191 go there as two limbs in ±64, whose products with int8
weights are summed in int32 by torch's `_int_mm`; what is made of the sums are elementwise operations on integers and
float32, each rounded once. Norms, attention and activations stay on the CPU. No gain has been measured.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

from ..pretrained import product
from .cuda import padded

ROWS = 24  # `_int_mm` asks for more than 16 rows, and for multiples of 8 elsewhere


class DeviceProducts:
    """`product.multiply` on a device; the weights of a network are moved there when they are first asked for."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._moved: dict[int, tuple[np.ndarray, list[torch.Tensor], torch.Tensor, torch.Tensor]] = {}

    def __call__(
        self, q: np.ndarray, scale: np.ndarray, weight: np.ndarray, weight_scale: np.ndarray, bias: np.ndarray,
        sums: Any, totals: Any, y: np.ndarray,
    ) -> None:  # fmt: skip
        """y[:, : outputs] = (q · weight^T) * scales + bias, see product.multiply, whose scratch is not needed."""
        rows, outputs = len(q), len(bias)
        limbs, columns, shift = self._weights(weight, weight_scale, bias)
        activations = self._limbs(torch.from_numpy(q).to(self.device), limbs[0].shape[1])
        total = torch.zeros(rows, outputs, dtype=torch.int64, device=self.device)
        for limb in limbs:
            high, low = (torch._int_mm(part, limb.t())[:rows, :outputs].to(torch.int64) for part in activations)
            total = total * 256 + (high * 128 + low)
        factor = torch.from_numpy(scale).to(self.device)[:, None] * columns
        y[:, :outputs] = (total.to(torch.float32) * factor + shift).cpu().numpy()

    def _limbs(self, q: torch.Tensor, depth: int) -> list[torch.Tensor]:
        """int16[rows, inputs] as q = 128 * high + low, int8[≥ ROWS, depth] each in ±64."""
        whole = torch.zeros(max(padded(len(q)), ROWS), depth, dtype=torch.int32, device=self.device)
        whole[: len(q), : q.shape[1]] = q
        high = (whole + 64) >> 7
        return [high.to(torch.int8), (whole - (high << 7)).to(torch.int8)]

    def _weights(
        self, weight: np.ndarray, scale: np.ndarray, bias: np.ndarray
    ) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
        """Limbs int8[outputs, inputs], both padded to multiples of 8; scale and bias float32[outputs]."""
        if id(weight) not in self._moved:
            limbs, panels, pairs = weight.shape[:3]
            matrices = weight.transpose(0, 1, 3, 2, 4).reshape(limbs, panels * product.LANES, 2 * pairs)
            whole = np.zeros((limbs, panels * product.LANES, padded(2 * pairs)), np.int8)
            whole[:, :, : 2 * pairs] = matrices
            held = [torch.from_numpy(limb).to(self.device) for limb in whole]
            columns, shift = (torch.from_numpy(np.array(vector)).to(self.device) for vector in (scale, bias))
            self._moved[id(weight)] = weight, held, columns, shift
        return self._moved[id(weight)][1:]


def products_of(device: str) -> DeviceProducts | None:
    """Products on the device if they are those of the CPU; else None, and a line on standard error."""
    try:
        products = DeviceProducts(device)
        if _is_exact(products):
            return products
        why = "its products are not exact"
    except (AssertionError, RuntimeError, NotImplementedError) as error:  # torch without CUDA, no driver, no device
        why = str(error).partition("\n")[0]
    print(f"lmzip: no CUDA here ({why}); computing on the CPU, the bytes are the same", file=sys.stderr)
    return None


def _is_exact(products: DeviceProducts) -> bool:
    """Are results those of `product.multiply`, with largest operands, few rows and many, one limb and two?"""
    random = np.random.default_rng(0)
    for rows, inputs, outputs, limbs in ((1, 2048, 40, 1), (5, 576, 100, 1), (130, 5000, 33, 2)):
        signs = np.where(random.random((rows + outputs, inputs)) < 0.8, 1, -1)
        q = (signs[:rows] * 8191).astype(np.int16)
        weight = np.stack([product.panels((signs[rows:] * 127).astype(np.int8)) for _ in range(limbs)])
        scale, column_scale, bias = (random.random(n, np.float32) for n in (rows, outputs, outputs))
        results = []
        for multiply in (products, product.multiply):
            y = np.zeros((rows, outputs + 16), np.float32)
            sums, totals = (np.zeros((product.ROWS, product.LANES), kind) for kind in (np.int32, np.int64))
            multiply(q, scale, weight, column_scale, bias, sums, totals, y)
            results.append(y)
        if not np.array_equal(results[0], results[1]):
            return False
    products._moved.clear()
    return True
