"""Logistic mixing in integers (Mahoney's PAQ family): tables, adaptive probabilities, mixer, APM.

Units. A probability of a 1 bit is an integer of 22 bits; its logit, `stretch`, counts 1/256 nat and
stays in [-3071, 3071]. A weight of 1.0 is 2^16 and stays inside +-2^19, an input inside +-2047, so a
product fits 31 bits; shifted by 8, up to 256 of them sum inside int32. Nothing here is a float, and all
tables are built from whole numbers.
"""

from __future__ import annotations

import numpy as np

from .kernel import inline, prefetch

BITS = 22  # of a probability
LIMIT = 3071  # largest stretch
BUCKETS, _STEP, _1 = 33, np.uint64(192), np.uint64(1)  # of an APM row; logits from one to the next
_INPUT = 2047
_ROUND = np.int32(1 << 17)
_WEIGHT = np.int32((1 << 19) - 1)
_0, _8, _18 = np.int32(0), np.int32(8), np.int32(18)


def _tables():
    def exponential(steps):  # e^(1/steps), 80 fraction bits
        total, term, k = 0, 1 << 80, 0
        while term:
            total, k = total + term, k + 1
            term //= steps * k
        return total

    powers = [1 << 80]
    for _ in range(LIMIT):
        powers.append(powers[-1] * exponential(256) >> 80)
    upper = [(power << 32) // (power + (1 << 80)) for power in powers]
    wide = np.array([(1 << 32) - p for p in upper[:0:-1]] + upper, np.int64)
    middle = (np.arange(4096, dtype=np.int64) << 20) + (1 << 19)
    logit = np.clip(np.searchsorted(wide, middle) - LIMIT, -_INPUT, _INPUT)
    return (wide >> (32 - BITS)).astype(np.int32), logit.astype(np.int16)


_SQUASH, _STRETCH = _tables()
_RATE = np.array([65536 * 2 // (2 * n + 3) for n in range(1024)], np.int32)  # 1 / (n + 1.5)


@inline
def squash(logit):
    """Probability (22 bits) of a logit (1/256 nat), which is clamped to +-3071."""
    return np.int64(_SQUASH[np.uint64(min(max(logit, -LIMIT), LIMIT) + LIMIT)])


@inline
def stretch(probability):
    """Logit (1/256 nat, within +-2047) of a probability of 22 bits."""
    return np.int64(_STRETCH[np.uint64(probability >> 10)])


@inline
def adapt(cell, bit, limit):
    """A probability (22 bits) and its count (10 bits) after one more bit, at rate 1 / (count + 1.5)."""
    p, n = cell >> 10, cell & 1023
    p += ((bit << BITS) - p) * np.int64(_RATE[np.uint64(n)]) >> 16
    return p << 10 | min(n + 1, limit)


@inline
def mix(inputs, weights, rows, sums, outputs):
    """Dot products of int32 `inputs` with the weight sets that `rows` selects: as sums, and as logits, clamped."""
    for k in range(rows.shape[0]):
        row, total = np.uint64(rows[k]), _0
        for j in range(inputs.shape[0]):
            total = np.int32(total + (np.int32(inputs[j] * weights[row, j]) >> _8))
        sums[k] = total
        outputs[k] = min(max((np.int64(total) + 128) >> 8, -LIMIT), LIMIT)


@inline
def mix_without(inputs, weights, rows, sums, first, outputs):
    """What `mix` gives if the inputs from `first` on are silent."""
    for k in range(rows.shape[0]):
        row, total = np.uint64(rows[k]), np.int64(sums[k])
        for j in range(first, inputs.shape[0]):
            total -= np.int64(np.int32(inputs[j] * weights[row, j]) >> _8)
        outputs[k] = min(max((total + 128) >> 8, -LIMIT), LIMIT)


@inline
def train(inputs, weights, rows, outputs, bit, rate):
    """Move each selected weight set down the gradient of its own code length; rate <= 64."""
    for k in range(rows.shape[0]):
        row = np.uint64(rows[k])
        error = np.int32((((bit << BITS) - squash(outputs[k])) * rate) >> 10)  # within +-2^18
        if abs(error) < 64:
            continue  # every step would round to nothing
        for j in range(inputs.shape[0]):
            step = np.int32(np.int32(inputs[j] * error) + _ROUND) >> _18
            weights[row, j] = min(max(np.int32(weights[row, j] + step), -_WEIGHT), _WEIGHT)


@inline
def refine(table, row, logit):
    """An adaptive map of one probability: table[row] interpolated at `logit` (APM, 33 buckets, 22 bits)."""
    place = np.uint64(logit + LIMIT + 1)
    bucket, part = np.uint64(row * BUCKETS) + place // _STEP, np.int64(place % _STEP)
    low, high = np.int64(table[bucket]) >> 10, np.int64(table[bucket + _1]) >> 10
    return (low * (192 - part) + high * part) // 192


@inline
def prepare_refine(table, row):
    """Ask for the row that `refine` will need."""
    for bucket in range(0, BUCKETS + 15, 16):
        prefetch(table, np.uint64(row * BUCKETS + min(bucket, BUCKETS - 1)))


@inline
def learn_refine(table, row, logit, bit):
    """Move the bucket nearest to `logit` towards `bit`."""
    bucket = np.uint64(row * BUCKETS) + np.uint64(logit + LIMIT + 1 + 96) // _STEP
    table[bucket] = adapt(np.int64(table[bucket]), bit, 1000)


def apm(rows):
    """Identity maps, uint32[rows * 33]."""
    logit = np.clip(np.arange(BUCKETS) * 192 - LIMIT - 1, -LIMIT, LIMIT)
    return np.tile((_SQUASH[logit + LIMIT].astype(np.uint32)) << 10 | 6, rows)
