"""Kernels of the walk along the trie that codes a token; the trie is built and searched here as well.

The contract is that of layers.py. Weights of tokens are integers, so the probability of every choice on the way is a
quotient of sums of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..codec.coder import code_length, decode, decode_bit, decode_target, encode, encode_bit, log2
from ..codec.exact import EXP2, f4, i4, maximum, round_even
from ..codec.experts import _MATCHED, _POINTER, _RECENT, MIX, MODEL, _fold, code_byte
from ..codec.mixer import BITS, LIMIT, adapt, mix, squash, stretch, train
from ..codec.symbols import FREQUENCY_BITS
from .kernel import heapless, kernel

_LOG2E = f4(5909.278887481194)  # 4096 / ln 2
_INDEX, _12 = i4(4095), i4(12)
_LOWEST_WEIGHT = f4(32 * 4096)
BIAS_BITS = 24  # an adapted bias counts 2^-24 nat
_BIAS_UNIT, _BIAS_LIMIT = f4(2.0**-BIAS_BITS), i4(1 << 29)
END_BITS, FLAG_BITS = np.uint64(28), np.uint64(16)
END_RATE, END_COUNT = 64, 255  # of the mix of where tokens end; of its contexts
_48, _4BYTES, _6BYTES = np.uint64(48), np.uint64((1 << 32) - 1), np.uint64((1 << 48) - 1)
_BITS, _0, _1, _8 = np.uint64(FREQUENCY_BITS), np.uint64(0), np.uint64(1), np.uint64(8)


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


@heapless
def _byte_frequencies(trie, sums, node, own, f):
    """Frequencies of the byte behind `node`, given that the token goes on; uint32[256], sum 2^24, each positive."""
    total = sums[trie.stop[node]] - sums[trie.start[node]] - own
    shift = np.int64(0)
    while total >> shift >= np.int64(1 << 31):
        shift += np.int64(1)
    share = (np.int64((1 << FREQUENCY_BITS) - 256) << np.int64(28)) // ((total >> shift) + np.int64(1))
    for b in range(256):
        f[b] = np.uint32(1)
    left, best = np.int64((1 << FREQUENCY_BITS) - 256), np.int64(0)
    for child in range(trie.child[node], trie.child[node + 1]):
        b = np.int64(trie.byte[child])
        value = ((sums[trie.stop[child]] - sums[trie.start[child]]) >> shift) * share >> np.int64(28)
        f[b] += np.uint32(value)
        left -= value
        if f[b] > f[best] or child == trie.child[node]:
            best = b
    f[best] += np.uint32(left)


@heapless
def _code_direct(history, at, f, state, message, decoding):
    """One byte by its frequencies alone; returns its code length."""
    start, byte = _0, np.int64(history[at])
    if decoding:
        target, byte = decode_target(state, _BITS), np.int64(0)
        while start + np.uint64(f[byte]) <= target:
            start += np.uint64(f[byte])
            byte += 1
        decode(state, message, start, np.uint64(f[byte]), _BITS)
        history[at] = byte
    else:
        for b in range(byte):
            start += np.uint64(f[b])
        encode(state, message, start, np.uint64(f[byte]), _BITS)
    return code_length(np.uint64(f[byte]), _BITS)


@heapless
def _code_choice(one, bits, choice, state, message, decoding):
    """A binary choice whose probability of being 1 is one / 2^bits; returns it and its code length."""
    if decoding:
        choice = np.int64(decode_bit(state, message, one, bits))
    else:
        encode_bit(state, message, one, bits, np.uint64(choice))
    size = one if choice == 1 else (_1 << bits) - one
    return choice, code_length(size, bits)


class Ends(NamedTuple):
    """What experts know of where tokens end: the state, and from `inputs` on scratch."""

    cells: np.ndarray  # uint32[6 << 16]: adaptive probabilities by context
    weights: np.ndarray  # int32[64, 8]
    before: np.ndarray  # int64[2]: places of the last two tokens, the last one first
    inputs: np.ndarray  # int32[8]
    rows: np.ndarray  # int64[2]: selected weight sets
    sums: np.ndarray  # int32[2]
    outputs: np.ndarray  # int64[2]
    at: np.ndarray  # int64[6]: cells that were asked


def ends() -> Ends:
    """A state that has seen nothing: it trusts the model."""
    weights = np.full((64, 8), 8000, np.int32)
    weights[:, 0], weights[:, 7] = 1 << 16, 0
    return Ends(
        np.full(6 << 16, 1 << 31, np.uint32), weights, np.zeros(2, np.int64), np.zeros(8, np.int32),
        np.zeros(2, np.int64), np.zeros(2, np.int32), np.zeros(2, np.int64), np.zeros(6, np.int64),
    )  # fmt: skip


@heapless
def _refine_end(ends, memory, history, trie, node, own):
    """Probability (22 bits) that the token ends at a node: the model's, mixed with what experts know.

    Their contexts: the node, with the token before and the two before; the byte that a match expects next, and whether
    the token could go on with it; the last six bytes, and the last four.
    """
    x, at, rows = ends.inputs, ends.at, ends.rows
    matched, kind, expected = np.int64(memory[_MATCHED]), np.int64(0), _0
    if matched > 0:
        kind, expected = np.int64(1), np.uint64(history[memory[_POINTER] & np.uint64(history.shape[0] - 1)])
        for child in range(trie.child[node], trie.child[node + 1]):
            if np.uint64(trie.byte[child]) == expected:
                kind = np.int64(2)
        expected += np.uint64(256)
    here, before = np.uint64(node), np.uint64(ends.before[0])
    at[0] = np.int64(_fold(here, _0) >> _48)
    at[1] = np.int64(_fold(here, before + _1) >> _48)
    at[2] = np.int64(_fold(here, _fold(before, np.uint64(ends.before[1]))) >> _48)
    at[3] = np.int64(_fold(here, expected << _8 | np.uint64(min(matched, 15))) >> _48)
    at[4] = np.int64(_fold(memory[_RECENT] & _6BYTES, _1) >> _48)
    at[5] = np.int64(_fold(memory[_RECENT] & _4BYTES, _8) >> _48)
    model = (log2(own) - log2((_1 << END_BITS) - own) >> 12) * 11357 >> 26
    x[0] = min(max(model, -LIMIT), LIMIT)
    for k in range(6):
        at[k] += k << 16
        x[1 + k] = stretch(np.int64(ends.cells[at[k]]) >> 10)
    x[7] = 256
    seen = min(np.int64(ends.cells[at[1]]) & 1023, 3) * 4 + min(np.int64(ends.cells[at[2]]) & 1023, 3)
    rows[0], rows[1] = kind * 16 + min(matched, 15), 48 + seen
    mix(x, ends.weights, rows, ends.sums, ends.outputs)
    one = squash((ends.outputs[0] + ends.outputs[1]) >> 1)
    return np.uint64(min(max(one, 16), (1 << BITS) - 16))


@heapless
def _learn_end(ends, end):
    train(ends.inputs, ends.weights, ends.rows, ends.outputs, end, END_RATE)
    for k in range(6):
        ends.cells[ends.at[k]] = adapt(np.int64(ends.cells[ends.at[k]]), end, END_COUNT)


@kernel
def code_token(trie, sums, chosen, flags, f, ends, experts, history, i, state, message, decoding, numbers):
    """Write or read one token, its first byte at position i of the history.

    chosen: the encoder's token, its place in the table's order; -1: an escape, of one byte. flags: int64[2], how often
    tokens and escapes came so far; of no elements where every byte is a token. f: uint32[1, 256]. experts: their State,
    or None, and then so is ends. Returns place (or -1), bytes and code length; the decoder gets -1 as well for what no
    encoder writes.
    """
    ring = history.shape[0] - 1
    length = np.int64(0)
    if flags.shape[0] > 0:
        all_, escapes = flags[0] + flags[1], flags[1]
        one = np.uint64(((2 * escapes + 1) << np.int64(FLAG_BITS)) // (2 * all_ + 2))
        one = min(max(one, _1), (_1 << FLAG_BITS) - _1)
        escape, cost = _code_choice(one, FLAG_BITS, np.int64(chosen < 0), state, message, decoding)
        length += cost
        flags[escape] += 1
        if flags[0] + flags[1] > 1024:
            flags[0], flags[1] = flags[0] >> 1, flags[1] >> 1
        if experts is not None:
            experts.ledger[MIX] += cost
            experts.ledger[MODEL] += cost
        if escape == 1:
            for b in range(256):
                f[0, b] = np.uint32((1 << FREQUENCY_BITS) // 256)
            if experts is not None:
                before = experts.ledger[MIX]
                code_byte(experts, history, i, f, 0, state, message, decoding, numbers)
                length += experts.ledger[MIX] - before
            else:
                length += _code_direct(history, i & ring, f[0], state, message, decoding)
            return np.int64(-1), np.int64(1), length
    node, depth = np.int64(0), np.int64(0)
    while True:
        first = trie.start[node]
        own, goes_on = np.int64(0), trie.child[node + 1] > trie.child[node]
        if trie.ends[node]:
            if not goes_on:
                return np.int64(first), depth, length
            own = sums[first + 1] - sums[first]
            total = sums[trie.stop[node]] - sums[first]
            one = np.uint64((own << np.int64(END_BITS)) // total)
            one = min(max(one, _1), (_1 << END_BITS) - _1)
            if experts is not None:
                mixed = _refine_end(ends, experts.memory, history, trie, node, one)
                end, cost = _code_choice(mixed, np.uint64(BITS), np.int64(first == chosen), state, message, decoding)
                _learn_end(ends, end)
                experts.ledger[MIX] += cost
                experts.ledger[MODEL] += code_length(one if end == 1 else (_1 << END_BITS) - one, END_BITS)
            else:
                end, cost = _code_choice(one, END_BITS, np.int64(first == chosen), state, message, decoding)
            length += cost
            if end == 1:
                return np.int64(first), depth, length
        _byte_frequencies(trie, sums, node, own, f[0])
        if experts is not None:
            before = experts.ledger[MIX]
            code_byte(experts, history, i + depth, f, 0, state, message, decoding, numbers)
            length += experts.ledger[MIX] - before
        else:
            length += _code_direct(history, (i + depth) & ring, f[0], state, message, decoding)
        byte = history[(i + depth) & ring]
        depth += 1
        child, last = np.int64(trie.child[node]), np.int64(trie.child[node + 1])
        while child < last and trie.byte[child] != byte:
            child += 1
        if child == last:
            return np.int64(-1), depth, length
        node = child


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
