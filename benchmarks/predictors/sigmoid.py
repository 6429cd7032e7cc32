"""The sigmoid as a table made of integers, for kernels that draw straight lines between its entries."""

from __future__ import annotations

import numpy as np

STEPS, END = 64, 16  # entries of the table a unit, and where it ends


def _sigmoid_table() -> np.ndarray:
    """1 / (1 + e^-x) for x = -16 … 16 in steps of 1/64, float32 of 24 bits, made of integers."""
    one = term = power = 1 << 80
    k = 0
    while term:  # e^(1/64), by its series
        k += 1
        term //= STEPS * k
        power += term
    grown, upper = one, []
    for _ in range(STEPS * END + 1):
        upper.append((grown << 24) // (grown + one))
        grown = grown * power >> 80
    lower = [(1 << 24) - value for value in upper[:0:-1]]
    return np.array([*lower, *upper, upper[-1]], np.int64).astype(np.float32) * np.float32(2**-24)


SIGMOID = _sigmoid_table()
