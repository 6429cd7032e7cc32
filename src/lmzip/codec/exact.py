"""Exact arithmetic: the only operations that may touch a coded probability.

The contract: every result is the same bits on every machine. Three kinds of operation keep it:

- integers, compared, shifted, added and multiplied within their width, and tables built from integers;
- float32 + - * / and square root, each rounded once, in the order written (sums over a row go pairwise, in halves);
- products of integer-valued matrices, exact in any order while no sum can pass 2^24, float32's exact range.

A row of activations x[n] becomes integers q[n] = round(x[n] * limit / max|x|) and one scale, from that row alone:
no row depends on which others are in the batch, so a segment predicted at once and byte by byte gives equal bits.
First operands of a product stay in ±127, second ones in ±64: x86 without VNNI saturates int8 products beyond that.
Integers are held as int8 or float32, as the products' backend likes; K <= 2048 keeps every sum below
127 * 64 * 2048 < 2^24.

Denormals never matter, since host programs may flush them: whatever is stored is 0 or at least `TINY`.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .kernel import inline
from .symbols import FREQUENCY_BITS

f4, i4 = np.float32, np.int32
FIRST, SECOND = f4(127), f4(64)  # limits of quantised operands
PRODUCT_DEPTH = 2048  # longest sum in a product
TINY = f4(1e-20)
ONE, ZERO = f4(1), f4(0)
_MAGIC = f4(1.5 * 2**23)
_EPSILON = f4(1e-6)
_LOG2E = f4(5909.278887481194)  # 4096 / ln 2
_ABS, _SIGN = i4(0x7FFFFFFF), i4(31)
_TINY_BITS = i4(TINY.view(np.int32))
_LOWEST = i4(-(2**31))
_INDEX, _12 = i4(4095), i4(12)


def _exp2_table() -> np.ndarray:
    """2^24 * 2^(-i/4096) for i < 4096, int32, from integer square roots alone."""
    roots = [1 << 61]  # 2^-1, 2^-1/2, 2^-1/4, ... 2^-1/4096 in units of 2^-62
    while len(roots) <= 12:
        roots.append(math.isqrt(roots[-1] << 62))
    table = []
    for i in range(4096):
        value = 1 << 62
        for bit in range(12):
            if i >> bit & 1:
                value = value * roots[12 - bit] >> 62
        table.append((value + (1 << 37)) >> 38)
    return np.array(table, np.int32)


EXP2 = _exp2_table()


@intrinsic
def _bits(typing, x):
    return types.int32(types.float32), lambda _, builder, __, args: builder.bitcast(args[0], ir.IntType(32))


@intrinsic
def sqrt(typing, x):
    """Square root by the processor, rounded once; numba's own calls the C library."""

    def generate(_, builder, __, args):
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [ir.FloatType()]), args)

    return types.float32(types.float32), generate


@intrinsic
def _float(typing, x):
    return types.float32(types.int32), lambda _, builder, __, args: builder.bitcast(args[0], ir.FloatType())


@inline
def round_even(x):
    """The integer nearest to x, |x| < 2^22, ties to even, as float32."""
    return (x + _MAGIC) - _MAGIC


@inline
def max_abs(x):
    """Largest |x[n]|, at least TINY. Floats of one sign order as their bits do, and integer maxima vectorise."""
    most = _TINY_BITS
    for n in range(x.shape[0]):
        most = max(most, _bits(x[n]) & _ABS)
    return _float(most)


@inline
def maximum(x):
    """Largest x[n], by the same trick: negative floats order backwards, so their bits are turned over."""
    most = _LOWEST
    for n in range(x.shape[0]):
        b = _bits(x[n])
        most = max(most, b ^ ((b >> _SIGN) & _ABS))
    return _float(most ^ ((most >> _SIGN) & _ABS))


@inline
def quantise(x, q, limit):
    """q[n] = round(x[n] / scale), integers in ±limit as float32; returns the scale, max|x| / limit."""
    most = max_abs(x)
    inverse = limit / most
    for n in range(x.shape[0]):
        q[n] = round_even(x[n] * inverse)
    return most / limit


@inline
def inverse_rms(q, scale):
    """1 / sqrt(mean(x²)) of a quantised row x = q * scale, by an integer sum of squares."""
    total = i4(0)
    for n in range(q.shape[0]):
        total += i4(q[n]) * i4(q[n])
    return ONE / sqrt(scale * scale * (f4(total) / f4(q.shape[0])) + _EPSILON)


@inline
def copy(x, y):
    """y = x, without the code for unequal shapes that an array assignment brings."""
    for n in range(x.shape[0]):
        y[n] = x[n]


@inline
def pairwise_sum(x, n):
    """Sum of x[:n], n a power of two, in halves; overwrites x."""
    while n > 1:
        n >>= 1
        for k in range(n):
            x[k] = x[k] + x[k + n]
    return x[0]


@inline
def weighted_rows(weights, rows, first, y):
    """y = Σ weights[k] * rows[k, first : first + len(y)], four rows at a time, in order; len(weights) % 4 == 0.

    `rows` may be int8.
    """
    for n in range(y.shape[0]):
        y[n] = ZERO
    for k in range(0, weights.shape[0], 4):
        a, b, c, d = f4(weights[k]), f4(weights[k + 1]), f4(weights[k + 2]), f4(weights[k + 3])
        p = rows[k][first : first + y.shape[0]]
        q = rows[k + 1][first : first + y.shape[0]]
        r = rows[k + 2][first : first + y.shape[0]]
        s = rows[k + 3][first : first + y.shape[0]]
        for n in range(y.shape[0]):
            y[n] = y[n] + ((a * f4(p[n]) + b * f4(q[n])) + (c * f4(r[n]) + d * f4(s[n])))


@inline
def exponentials(x, e, table):
    """e[n] = 2^24 * exp(x[n] - max x), int32 rounded down, 0 below e^-16.6; returns their sum, int64."""
    most = maximum(x)
    limit = f4(25 * 4096)
    for n in range(x.shape[0]):
        distance = (most - x[n]) * _LOG2E
        distance = distance if distance < limit else limit
        steps = i4(round_even(distance))
        e[n] = table[np.uint32(steps & _INDEX)] >> (steps >> _12)
    total = np.int64(0)
    for n in range(x.shape[0]):
        total += np.int64(e[n])
    return total


@inline
def frequencies(logits, e, table, f):
    """Softmax as integers: f[n] > 0, uint32, sum 2^24; what rounding leaves goes to the likeliest symbol."""
    total = exponentials(logits, e, table)
    count = logits.shape[0]
    share = (np.int64((1 << FREQUENCY_BITS) - count) << np.int64(28)) // total
    left = i4(1 << FREQUENCY_BITS)
    for n in range(count):
        value = i4((np.int64(e[n]) * share) >> np.int64(28)) + i4(1)
        f[n] = np.uint32(value)
        left -= value
    best = 0
    for n in range(count):
        if e[n] > e[best]:
            best = n
    f[best] += np.uint32(left)
