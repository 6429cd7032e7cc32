"""Sigmoid, normal distribution and rotations as tables, made of integers alone: no library's exp, erf, sin or cos.

A fixed-point number here is a Python integer in units of 2^-FRACTION. Table entries are rounded once, to float32.
"""

from __future__ import annotations

import decimal
from fractions import Fraction
from functools import cache
from math import isqrt
from typing import Any

import numpy as np

FRACTION = 160
ONE = 1 << FRACTION
STEPS = 256  # table entries per unit
SIGMOID_REACH, NORMAL_REACH = 24, 8  # beyond these the tables' last entry, 1, is meant


def _floats(values: list[int]) -> np.ndarray:
    """Fixed point to float32: the quotient of integers, rounded correctly to float64, and that again."""
    return np.array([value / ONE for value in values], np.float64).astype(np.float32)


@cache
def sigmoid() -> np.ndarray:
    """1 / (1 + e^-x) at x = 0, 1/STEPS, … SIGMOID_REACH, float32[n + 2]."""
    step, term, k = 0, ONE, 0  # e^(1/STEPS)
    while term:
        step, k = step + term, k + 1
        term //= STEPS * k
    power, values = ONE, []
    for _ in range(SIGMOID_REACH * STEPS + 1):
        values.append((power << FRACTION) // (power + ONE))
        power = power * step >> FRACTION
    return _floats([*values, ONE])


def _arctangent_of_inverse(n: int) -> int:
    total, term, k = 0, ONE // n, 1
    while term:
        total += term // k if k % 4 == 1 else -(term // k)
        term, k = term // (n * n), k + 2
    return total


PI = 4 * (4 * _arctangent_of_inverse(5) - _arctangent_of_inverse(239))  # Machin


@cache
def normal() -> np.ndarray:
    """The normal distribution function at x = 0, 1/STEPS, … NORMAL_REACH, float32[n + 2].

    1/2 + (x - x³/6 + x⁵/40 - …) / √(2π); the terms reach e^32, so 160 bits leave more than 100.
    """
    root = isqrt(2 * PI << FRACTION)
    values = []
    for i in range(NORMAL_REACH * STEPS + 1):
        x = i * ONE // STEPS
        square, power, total, n = x * x >> FRACTION, x, 0, 0
        while power:
            total += power // (2 * n + 1) if n % 2 == 0 else -(power // (2 * n + 1))
            n += 1
            power = (power * square >> FRACTION) // (2 * n)
        values.append(ONE // 2 + (total << FRACTION) // root)
    return _floats([*values, ONE])


def inverse_frequencies(dims: int, base: float, scaling: dict[str, Any] | None = None) -> list[int]:
    """base^(-2i / dims) for i < dims / 2, fixed point; `scaling`: linear, llama3, or a list of factors."""
    with decimal.localcontext(decimal.Context(prec=70, Emin=-(10**6), Emax=10**6)):
        logarithm = decimal.Decimal(base).ln()  # exp and ln are correctly rounded, by the specification of decimal
        exact = [(-logarithm * 2 * i / dims).exp() for i in range(dims // 2)]
        values = [int(value * (1 << FRACTION)) for value in exact]
    if scaling is None:
        return values
    if scaling["kind"] == "factors":
        return [int(value / Fraction(factor)) for value, factor in zip(values, scaling["factors"], strict=True)]
    factor = Fraction(scaling["factor"])
    if scaling["kind"] == "linear":
        return [int(value / factor) for value in values]
    low, high, context = (Fraction(scaling[name]) for name in ("low", "high", "context"))
    result = []
    for value in values:
        turns = Fraction(value * context.numerator, 2 * PI * context.denominator)  # context / wavelength
        if turns < low:
            value = int(value / factor)
        elif turns <= high:
            smooth = (turns - low) / (high - low)
            value = int(value * ((1 - smooth) / factor + smooth))
        result.append(value)
    return result


def rotations(frequencies: list[int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of position * frequency, float32[count, n]: one rotation after the other, in fixed point."""
    cosines, sines = [], []
    for angle in frequencies:
        cosine, sine = _cos_sin(angle)
        c, s = ONE, 0
        for _ in range(count):
            cosines.append(c)
            sines.append(s)
            c, s = (c * cosine - s * sine) >> FRACTION, (s * cosine + c * sine) >> FRACTION
    shape = (len(frequencies), count)
    return tuple(np.ascontiguousarray(_floats(v).reshape(shape).T) for v in (cosines, sines))  # type: ignore[return-value]


def _cos_sin(angle: int) -> tuple[int, int]:
    """Of an angle in [0, 1], by their series."""
    parts, term, k = [0, 0], ONE, 0
    while term:
        parts[k % 2] += term if k % 4 < 2 else -term
        k += 1
        term = (term * angle >> FRACTION) // k
    return parts[0], parts[1]
