"""Kernels of the network's layers: norms, products of integers, attention, activations.

All of it keeps the contract of codec/exact.py: integers, or float32 + - * / and square roots rounded once, in the order
written. A row of activations depends on no other row but through keys and values of earlier positions, so a window
scored at once and the same window position by position give equal bits.

Activations become integers in ±ACTIVATION, weights in ±127 * 256^(limbs - 1), cut into limbs of eight bits. A product
of both over BLOCK inputs stays inside int32: 8,191 * 128 * 2,048 < 2^31. Longer sums go on in int64.

No kernel here calls one of walk.py, or is called by one: numba's cache looks at one file at a time.
"""

from __future__ import annotations

import numpy as np

from ..codec.exact import EXP2, ONE, ZERO, exponentials, f4, i4, max_abs, pairwise_sum, quantise, sqrt, weighted_rows
from ..codec.kernel import heapless, inline
from .activations import GELU, GELU_NEW, QUICK_GELU, RELU2, SILU
from .functions import NORMAL_REACH, SIGMOID_REACH, STEPS

ACTIVATION = f4(8191)  # limit of quantised activations: two limbs of ±64 * 128 and ±64
BLOCK = 2048
LANES = 16  # of ordered sums
TILE = 16
_HUGE = f4(1e30)
_STEPS, _SIGMOID_REACH, _NORMAL_REACH = f4(STEPS), f4(SIGMOID_REACH), f4(NORMAL_REACH)
_FAR, _LINEAR, _CUBIC, _QUICK = f4(64), f4(1.5957691216057308), f4(0.07135481282553216), f4(1.702)


@heapless
def layer_norm(x, gain, bias, epsilon, work, q, scale):
    """q, scale = (x - mean) / sqrt(variance + epsilon) * gain + bias as integers; x: float32[rows, width].

    work: float32[2, at least width]. Sums go over LANES lanes, then over those in halves.
    """
    width = f4(x.shape[1])
    y, lanes = work[0, : x.shape[1]], work[1, :LANES]
    for t in range(x.shape[0]):
        row = x[t]
        _fill_lanes(row, lanes)
        mean = pairwise_sum(lanes, LANES) / width
        for k in range(row.shape[0]):
            y[k] = row[k] - mean
        _fill_squares(y, lanes)
        factor = ONE / sqrt(pairwise_sum(lanes, LANES) / width + epsilon)
        for k in range(row.shape[0]):
            y[k] = (y[k] * factor) * gain[k] + bias[k]
        scale[t] = quantise(y, q[t], ACTIVATION)


@heapless
def rms_norm(x, gain, epsilon, work, q, scale):
    """q, scale = x / sqrt(mean(x²) + epsilon) * gain as integers."""
    width = f4(x.shape[1])
    y, lanes = work[0, : x.shape[1]], work[1, :LANES]
    for t in range(x.shape[0]):
        row = x[t]
        _fill_squares(row, lanes)
        factor = ONE / sqrt(pairwise_sum(lanes, LANES) / width + epsilon)
        for k in range(row.shape[0]):
            y[k] = (row[k] * factor) * gain[k]
        scale[t] = quantise(y, q[t], ACTIVATION)


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
    """Rows as integers, each with its own scale."""
    for t in range(x.shape[0]):
        scale[t] = quantise(x[t], q[t], ACTIVATION)


@heapless
def multiply(q, scale, weight, weight_scale, bias, y):
    """y = (q · weight^T) * scales + bias; q: int16[rows, K], weight: int8[limbs, N, K], y: float32[rows, N]."""
    limbs, outputs, inputs = weight.shape
    for t in range(q.shape[0]):
        row, s = q[t], scale[t]
        for n in range(outputs):
            total = np.int64(0)
            for limb in range(limbs):
                total, column = total * np.int64(256), weight[limb, n]
                for start in range(0, inputs, BLOCK):
                    total += np.int64(_dot(row[start : start + BLOCK], column[start : start + BLOCK]))
            y[t, n] = f4(total) * (s * weight_scale[n]) + bias[n]


@inline
def _dot(a, b):
    """Of at most BLOCK integers. Whole arrays alone, not ranges within, become vector instructions."""
    total = i4(0)
    for k in range(a.shape[0]):
        total += i4(a[k]) * i4(b[k])
    return total


@heapless
def split_limbs(q, halves):
    """int16[rows, K] in ±8191 as int8[2 * rows, K] in ±64: q = 128 * halves[row] + halves[rows + row]."""
    rows = q.shape[0]
    for t in range(rows):
        for k in range(q.shape[1]):
            value = i4(q[t, k])
            high = (value + i4(64)) >> i4(7)
            halves[t, k] = np.int8(high)
            halves[rows + t, k] = np.int8(value - (high << i4(7)))


@heapless
def combine(products, scale, weight_scale, bias, work, y):
    """What `multiply` gives, from products int32[limbs, N, 2 * rows] of a weight's limbs with those of the rows.

    work: float32[TILE, rows]; the result of so many outputs is turned round at once.
    """
    limbs, outputs, rows = products.shape[0], products.shape[1], y.shape[0]
    for first in range(0, outputs, TILE):
        part = y[:, first : first + TILE]
        for n in range(part.shape[1]):
            column, shift, turned = weight_scale[first + n], bias[first + n], work[n]
            if limbs == 1:
                high, low = products[0, first + n, :rows], products[0, first + n, rows:]
                for t in range(rows):
                    total = np.int64(high[t]) * np.int64(128) + np.int64(low[t])
                    turned[t] = f4(total) * (scale[t] * column) + shift
            else:
                for t in range(rows):
                    total = np.int64(0)
                    for limb in range(limbs):
                        pair = products[limb, first + n]
                        total = total * np.int64(256) + (np.int64(pair[t]) * np.int64(128) + np.int64(pair[rows + t]))
                    turned[t] = f4(total) * (scale[t] * column) + shift
        for t in range(rows):
            for n in range(part.shape[1]):
                part[t, n] = work[n, t]


@heapless
def take_heads(qkv, cosines, sines, heads, start, keys, values):
    """Turn queries and keys of rows by their positions start …; put keys and values down.

    Tables of no columns mean no rotation.
    qkv: float32[rows, (heads + 2 * kv) * size]; keys: float32[kv, size, context]; values: float32[kv, context, size].
    """
    shared, size, half = keys.shape[0], keys.shape[1], cosines.shape[1]
    for t in range(qkv.shape[0]):
        for head in range(heads + shared):
            row = qkv[t, head * size : (head + 1) * size]
            left, right, cosine, sine = row[:half], row[half : 2 * half], cosines[start + t], sines[start + t]
            for k in range(half):
                a, b, c, s = left[k], right[k], cosine[k], sine[k]
                left[k] = a * c - b * s
                right[k] = b * c + a * s
        for head in range(shared):
            key = qkv[t, (heads + head) * size : (heads + head + 1) * size]
            value = qkv[t, (heads + shared + head) * size : (heads + shared + head + 1) * size]
            across, along = keys[head], values[head, start + t]
            for k in range(size):
                across[k, start + t] = key[k]
                along[k] = value[k]


@heapless
def attend(qkv, heads, start, keys, values, work, steps, y):
    """Attention of rows at positions start … over themselves and all before; y: float32[rows, heads * size].

    work: float32[1, context + 4]; steps: int32[context]. Sums run over positions four at a time, counted from the
    window's first; those of the last four that are not there yet weigh 0.
    """
    shared, size = keys.shape[0], keys.shape[1]
    group = heads // shared
    sharpness = ONE / sqrt(f4(size))
    for t in range(qkv.shape[0]):
        count = start + t + 1
        padded = (count + 3) & ~3
        a, e = work[0, :count], steps[:count]
        for head in range(heads):
            query = qkv[t, head * size : (head + 1) * size]
            for k in range(size):
                query[k] = query[k] * sharpness
            weighted_rows(query, keys[head // group], 0, a)
            total = f4(exponentials(a, e, EXP2))
            for w in range(count):
                a[w] = f4(e[w]) / total
            for w in range(count, padded):
                work[0, w] = ZERO
            weighted_rows(work[0, :padded], values[head // group, :padded], 0, y[t, head * size : (head + 1) * size])


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
