"""Kernels before the walk along the trie that codes a token (mixing.py); the trie is built and searched here as well.

The contract is that of layers.py. Weights of tokens are integers, so the probability of every choice on the way is a
quotient of sums of them.
"""

from __future__ import annotations

import numpy as np

from ..codec.exact import EXP2, f4, i4, maximum, round_even
from .kernel import heapless, kernel

_LOG2E = f4(5909.278887481194)  # 4096 / ln 2
_INDEX, _12 = i4(4095), i4(12)
_LOWEST_WEIGHT = f4(32 * 4096)
BIAS_BITS = 24  # an adapted bias counts 2^-24 nat
_BIAS_UNIT, _BIAS_LIMIT = f4(2.0**-BIAS_BITS), i4(1 << 29)


@heapless
def accumulate(logits, order, bias, work, sums):
    """sums[i] = the weights of the first i tokens in the table's order, int64[n + 1]; order: their ids, int32[n].

    A weight is 2^32 * exp(logit - largest logit), rounded down, at least 1. bias: int32[n], or of no elements.
    """
    count = order.shape[0]
    g = work[:count]
    for i in range(count):
        g[i] = logits[order[i]]
    if bias.shape[0] > 0:
        for i in range(count):
            g[i] = g[i] + f4(bias[i]) * _BIAS_UNIT
    most = maximum(g)
    for i in range(count):
        distance = (most - g[i]) * _LOG2E
        g[i] = round_even(distance if distance < _LOWEST_WEIGHT else _LOWEST_WEIGHT)
    total = np.int64(0)
    sums[0] = total
    for i in range(count):
        steps = i4(g[i])
        weight = (np.int64(EXP2[np.uint32(steps & _INDEX)]) << np.int64(8)) >> np.int64(steps >> _12)
        total += max(weight, np.int64(1))
        sums[i + 1] = total


@heapless
def learn_bias(bias, sums, chosen, rate):
    """One step of gradient descent on the biases: bias -= rate / 1024 * (probability - chosen), in 2^-24 nat."""
    count = bias.shape[0]
    shift = np.int64(0)
    while sums[count] >> shift >= np.int64(1 << 38):
        shift += np.int64(1)
    share = np.int64(1 << 62) // (sums[count] >> shift) >> np.int64(14)  # 2^48 / total
    for i in range(count):
        probability = ((sums[i + 1] >> shift) - (sums[i] >> shift)) * share >> np.int64(24)  # 2^-24
        if i == chosen:
            probability -= np.int64(1 << 24)
        value = np.int64(bias[i]) - (probability * rate >> np.int64(10))
        bias[i] = i4(min(max(value, np.int64(-_BIAS_LIMIT)), np.int64(_BIAS_LIMIT)))


@kernel
def longest_match(trie, data, at):
    """Place and length of the longest token that data[at:] begins with; -1, 1 where none does."""
    node, depth, place, length = np.int64(0), np.int64(0), np.int64(-1), np.int64(1)
    while at + depth < data.shape[0]:
        child, last = np.int64(trie.child[node]), np.int64(trie.child[node + 1])
        while child < last and trie.byte[child] != data[at + depth]:
            child += 1
        if child == last:
            break
        node, depth = child, depth + 1
        if trie.ends[node]:
            place, length = np.int64(trie.start[node]), depth
    return place, length


@kernel
def build_trie(text, begin, start, stop, byte, ends, child):
    """Fill in the nodes of a trie breadth first; returns how many there are.

    text: uint8, the tokens' bytes one behind the other in order; begin: int64[n + 1], where each begins.
    """
    depths = np.zeros(start.shape[0], np.int32)
    count, node = 1, 0
    start[0], stop[0], ends[0] = 0, begin.shape[0] - 1, 0
    while node < count:
        child[node] = count
        depth, i = depths[node], start[node]
        if ends[node]:
            i += 1
        while i < stop[node]:
            b = text[begin[i] + depth]
            j = i
            while j < stop[node] and text[begin[j] + depth] == b:
                j += 1
            start[count], stop[count], byte[count], depths[count] = i, j, b, depth + 1
            ends[count] = begin[i + 1] - begin[i] == depth + 1
            count += 1
            i = j
        node += 1
    child[count] = count
    return count
