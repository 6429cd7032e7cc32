"""Kernels of the network's layers: norms, integers, activations.

All of it keeps the contract of codec/exact.py: integers, or float32 + - * / and square roots rounded once, in the order
written. A row depends on no other row, so a window scored at once and the same window position by position give equal
bits.
"""

from __future__ import annotations

import numpy as np

from ..codec.exact import ONE, ZERO, f4, i4, max_abs, pairwise_sum, quantise, sqrt
from .activations import GELU, GELU_NEW, QUICK_GELU, RELU2, SILU
from .functions import NORMAL_REACH, SIGMOID_REACH, STEPS
from .kernel import heapless

ACTIVATION = f4(8191)  # limit of quantised activations
LANES = 16  # of ordered sums
_HUGE = f4(1e30)
_STEPS, _SIGMOID_REACH, _NORMAL_REACH = f4(STEPS), f4(SIGMOID_REACH), f4(NORMAL_REACH)
_FAR, _LINEAR, _CUBIC, _QUICK = f4(64), f4(1.5957691216057308), f4(0.07135481282553216), f4(1.702)


@heapless
def layer_norm(x, gain, bias, epsilon, lanes, y):
    """y = (x - mean) / sqrt(variance + epsilon) * gain + bias; x, y: float32[rows, width].

    lanes: float32[LANES], scratch. Sums go over LANES lanes, then over those in halves.
    """
    width = f4(x.shape[1])
    for t in range(x.shape[0]):
        row, out = x[t], y[t]
        _fill_lanes(row, lanes)
        mean = pairwise_sum(lanes, LANES) / width
        for k in range(row.shape[0]):
            out[k] = row[k] - mean
        _fill_squares(out, lanes)
        factor = ONE / sqrt(pairwise_sum(lanes, LANES) / width + epsilon)
        for k in range(row.shape[0]):
            out[k] = (out[k] * factor) * gain[k] + bias[k]


@heapless
def rms_norm(x, gain, epsilon, lanes, y):
    """y = x / sqrt(mean(x²) + epsilon) * gain."""
    for t in range(x.shape[0]):
        _normalise(x[t], gain, epsilon, lanes, y[t])


@heapless
def normalise_heads(qkv, first, stop, gain, epsilon, lanes):
    """Columns [first, stop) of each row, cut as long as `gain` is, by `rms_norm`, in their place."""
    size = gain.shape[0]
    for t in range(qkv.shape[0]):
        for begin in range(first, stop, size):
            row = qkv[t, begin : begin + size]
            _normalise(row, gain, epsilon, lanes, row)


@heapless
def _normalise(row, gain, epsilon, lanes, out):
    _fill_squares(row, lanes)
    factor = ONE / sqrt(pairwise_sum(lanes, LANES) / f4(row.shape[0]) + epsilon)
    for k in range(row.shape[0]):
        out[k] = (row[k] * factor) * gain[k]


@heapless
def _fill_lanes(row, lanes):
    for j in range(LANES):
        lanes[j] = ZERO
    whole = row.shape[0] & ~15
    for i in range(0, whole, LANES):
        part = row[i : i + LANES]
        for j in range(LANES):
            lanes[j] = lanes[j] + part[j]
    for j in range(row.shape[0] - whole):
        lanes[j] = lanes[j] + row[whole + j]


@heapless
def _fill_squares(row, lanes):
    for j in range(LANES):
        lanes[j] = ZERO
    whole = row.shape[0] & ~15
    for i in range(0, whole, LANES):
        part = row[i : i + LANES]
        for j in range(LANES):
            lanes[j] = lanes[j] + part[j] * part[j]
    for j in range(row.shape[0] - whole):
        lanes[j] = lanes[j] + row[whole + j] * row[whole + j]


@heapless
def quantise_rows(x, q, scale):
    """Rows float32[rows, n] as integers int16[rows, ≥ n], each with its own scale."""
    width = x.shape[1]
    for t in range(x.shape[0]):
        scale[t] = quantise(x[t], q[t, :width], ACTIVATION)


@heapless
def add(x, y):
    """x = x + y."""
    for t in range(x.shape[0]):
        for k in range(x.shape[1]):
            x[t, k] = x[t, k] + y[t, k]


@heapless
def _distribution(table, reach, x):
    """A symmetric distribution function between its table's entries, in straight lines."""
    z = abs(x)
    z = (z if z < reach else reach) * _STEPS
    i = i4(z)
    low = table[np.uint32(i)]
    value = low + (table[np.uint32(i + i4(1))] - low) * (z - f4(i))
    return value if x >= ZERO else ONE - value


@heapless
def activate(kind, table, gated, h, y):
    """y = activation(h), or with `gated` activation(first half of h) * second half, row by row."""
    width = y.shape[1]
    for t in range(h.shape[0]):
        for k in range(width):
            x = h[t, k]
            if kind == GELU_NEW:
                near = min(max(x, -_FAR), _FAR)
                value = x * _distribution(table, _SIGMOID_REACH, near * (_LINEAR + _CUBIC * (near * near)))
            elif kind == GELU:
                value = x * _distribution(table, _NORMAL_REACH, x)
            elif kind == SILU:
                value = x * _distribution(table, _SIGMOID_REACH, x)
            elif kind == QUICK_GELU:
                value = x * _distribution(table, _SIGMOID_REACH, x * _QUICK)
            else:
                value = x if x > ZERO else ZERO
                if kind == RELU2:
                    value = value * value
            y[t, k] = value * h[t, width + k] if gated else value


@heapless
def are_finite(x):
    """Is no number of float32[rows, n] beyond 10^30, infinite or none?"""
    for t in range(x.shape[0]):  # noqa: SIM110, for numba
        if not max_abs(x[t]) < _HUGE:
            return False
    return True
