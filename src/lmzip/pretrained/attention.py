"""Attention over what a window remembers: keys and values as integers, in blocks of BLOCK positions.

A score is a sum of integer products, and so is what a block's values add up to; both times a scale they are float32.
A block's weights have a scale of their own, so that one position that draws nearly all weight (an attention sink, Xiao
et al. 2024) takes no precision from the others. Blocks are added in the order of their positions, so it changes no bit
how many positions are computed at once, or how many blocks are still remembered that none of them sees.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..codec.exact import ZERO, f4, quantise
from ..codec.kernel import inline
from .kernel import heapless
from .product import ROWS, added_tile, scaled_tile
from .softmax import BLOCK, largest, weigh
from .vectors import LANES

ROWS_AHEAD, FORGOTTEN = 128, 16  # positions that may be put down at once; that may then be put down anew
QUERIES = 24  # that share what is read of keys and values, about
_WEIGHT, _NARROW, _WIDE = f4(8191), f4(127), f4(2047)  # limits of integers: 2047 * 2047 * 512 < 2^31
_LOWEST = f4(-1e30)


class Work(NamedTuple):
    """Scratch for the queries that are answered together."""

    scores: np.ndarray  # float32[queries, positions]
    weights: np.ndarray  # int16[queries, positions]
    scales: np.ndarray  # float32[blocks, queries]: of a block's weights
    blocks: np.ndarray  # int64[blocks]: that any of the queries sees
    answers: np.ndarray  # float32[queries, size, made a multiple of LANES]
    zeros: np.ndarray  # float32[LANES]


class Memory(NamedTuple):
    """A layer's keys and values in a window; block 0 has a slot of its own, later ones take turns in the others."""

    keys: np.ndarray  # int8 or int16[slots, shared, BLOCK / LANES, size / 2, LANES, 2]
    key_scales: np.ndarray  # float32[slots, shared, BLOCK]
    values: np.ndarray  # int8 or int16[slots, shared, ceil(size / LANES), BLOCK / 2, LANES, 2]
    value_scales: np.ndarray


def slots(reach: int) -> int:
    """For all blocks of which those see any that are computed together, when each sees `reach` positions."""
    return -(-(reach + ROWS_AHEAD + FORGOTTEN) // BLOCK) + 2  # the first block; an end amid a block


def memory(shared: int, size: int, reach: int, kind: type[np.int8] | type[np.int16]) -> Memory:
    """An empty one, for positions that see `reach` positions."""
    count = slots(reach)
    scales = [np.zeros((count, shared, BLOCK), f4) for _ in range(2)]
    keys = np.zeros((count, shared, BLOCK // LANES, size // 2, LANES, 2), kind)
    values = np.zeros((count, shared, -(-size // LANES), BLOCK // 2, LANES, 2), kind)
    return Memory(keys, scales[0], values, scales[1])


def work(slots: int, group: int, size: int) -> Work:
    """Scratch for a layer's memory of so many slots, whose keys `group` heads of a size share."""
    queries, positions = max(QUERIES, group), slots * BLOCK
    return Work(
        np.zeros((queries, positions), f4), np.zeros((queries, positions), np.int16),
        np.zeros((slots, queries), f4), np.zeros(slots, np.int64),
        np.zeros((queries, -(-size // LANES) * LANES), f4), np.zeros(LANES, f4),
    )  # fmt: skip


@inline
def _slot(block, slots):
    return 0 if block == 0 else 1 + (block - 1) % (slots - 1)


@heapless
def take_heads(qkv, heads, start, cosines, sines, sharpness, scratch, queries, query_scales, memory):
    """Turn queries and keys by their positions start …; put queries down, and remember keys and values.

    qkv: float32[rows, (heads + 2 * shared) * size]; cosines, sines: float32[≥ positions, turning dimensions / 2], of no
    columns where nothing turns; sharpness: what scores are multiplied with; scratch: int16[size]; queries:
    int16[shared, rows * heads / shared, size], query_scales: float32[shared, rows * heads / shared].
    """
    slots, shared, pairs = memory.keys.shape[0], memory.keys.shape[1], memory.keys.shape[3]
    size, half, group = 2 * pairs, cosines.shape[1], heads // shared
    limit, query_limit = (_NARROW, _WEIGHT) if memory.keys.itemsize == 1 else (_WIDE, _WIDE)
    for t in range(qkv.shape[0]):
        position = start + t
        slot, place = _slot(position // BLOCK, slots), position % BLOCK
        for head in range(heads + shared):
            row = qkv[t, head * size : (head + 1) * size]
            left, right, cosine, sine = row[:half], row[half : 2 * half], cosines[position], sines[position]
            for k in range(half):
                a, b, c, s = left[k], right[k], cosine[k], sine[k]
                left[k] = a * c - b * s
                right[k] = b * c + a * s
        for head in range(heads):
            row = qkv[t, head * size : (head + 1) * size]
            h, i = head // group, t * group + head % group
            query_scales[h, i] = quantise(row, queries[h, i], query_limit) * sharpness
        for h in range(shared):
            key = qkv[t, (heads + h) * size : (heads + h + 1) * size]
            memory.key_scales[slot, h, place] = quantise(key, scratch, limit)
            panel = memory.keys[slot, h, place // LANES]
            for k in range(size):
                panel[k >> 1, place % LANES, k & 1] = scratch[k]
            value = qkv[t, (heads + shared + h) * size : (heads + shared + h + 1) * size]
            memory.value_scales[slot, h, place] = quantise(value, scratch, limit)
            for k in range(size):
                memory.values[slot, h, k // LANES, place >> 1, k % LANES, place & 1] = scratch[k]


@inline
def _visible(first, last, reach, sink, blocks):
    """Write down the blocks that positions first … last see any of; returns how many."""
    low, count = max(0, first - reach + 1) // BLOCK, 0
    if sink > 0 and low > 0:
        blocks[0], count = 0, 1
    for block in range(low, last // BLOCK + 1):
        blocks[count] = block
        count += 1
    return count


@inline
def _weigh(i, position, reach, sink, h, blocks, slots, value_scales, work):
    """From a query's scores to the weights of values, int16 in blocks, whose scales divide by their sum."""
    scores = work.scores[i, : blocks * BLOCK]
    for j in range(blocks):
        base = work.blocks[j] * BLOCK
        if base + BLOCK - 1 > position or base <= position - reach:
            for k in range(BLOCK):
                p = base + k
                if p > position or (p <= position - reach and p >= sink):
                    scores[j * BLOCK + k] = _LOWEST
    most, total = largest(scores), np.int64(0)
    for j in range(blocks):
        here = slice(j * BLOCK, (j + 1) * BLOCK)
        along = value_scales[_slot(work.blocks[j], slots), h]
        work.scales[j, i], part = weigh(scores[here], most, along, work.weights[i, here])
        total += part
    for j in range(blocks):
        work.scales[j, i] = work.scales[j, i] / f4(total)


@heapless
def attend(queries, query_scales, group, start, reach, sink, memory, work, y):
    """Attention of rows at positions start …: each over the last `reach`, itself included, and the first `sink`.

    queries and query_scales: as `take_heads` put them down; group: heads that share keys; y: float32[rows, all heads].
    """
    keys, values = memory.keys, memory.values
    slots, shared, size = keys.shape[0], keys.shape[1], 2 * keys.shape[3]
    rows, together = y.shape[0], max(1, QUERIES // group)
    for h in range(shared):
        for first in range(0, rows, together):
            asking = min(together, rows - first) * group
            query, scale = queries[h, first * group :], query_scales[h, first * group :]
            blocks = _visible(start + first, start + min(first + together, rows) - 1, reach, sink, work.blocks)
            for j in range(blocks):
                slot = _slot(work.blocks[j], slots)
                for panel in range(BLOCK // LANES):
                    along = memory.key_scales[slot, h, panel * LANES : (panel + 1) * LANES]
                    out = work.scores[:, j * BLOCK + panel * LANES :]
                    for i in range(0, asking, ROWS):
                        n = min(ROWS, asking - i)
                        scaled_tile(n, query[i:], keys[slot, h, panel], out[i:], scale[i:], along, work.zeros)
            for i in range(asking):
                _weigh(i, start + first + i // group, reach, sink, h, blocks, slots, memory.value_scales, work)
            work.answers[:] = ZERO
            for j in range(blocks):
                slot = _slot(work.blocks[j], slots)
                for panel in range(values.shape[2]):
                    for i in range(0, asking, ROWS):
                        weights, out = work.weights[i:, j * BLOCK :], work.answers[i:, panel * LANES :]
                        added_tile(min(ROWS, asking - i), weights, values[slot, h, panel], out, work.scales[j, i:])
            for i in range(asking):
                begin = (h * group + i % group) * size
                out = y[first + i // group, begin : begin + size]
                for k in range(size):
                    out[k] = work.answers[i, k]
