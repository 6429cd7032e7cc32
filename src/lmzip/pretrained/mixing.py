"""Kernels of the walk along the trie that codes a token, and of the mix of a pretrained model with the experts.

All is integers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..codec.coder import FINE, code_length, decode, decode_bit, decode_target, encode, encode_bit, log2
from ..codec.experts import (
    _2BYTES,
    _BRACKET,
    _BYTE,
    _CLASSES,
    _MATCHED,
    _POINTER,
    _RECENT,
    _WORD_LENGTH,
    EXPERTS,
    MIX,
    MODEL,
    SETS,
    _charge,
    _cost,
    _final,
    _find_slots,
    _fold,
    _gather,
    _hash_contexts,
    _learn_bit,
    _learn_byte,
    code_byte,
)  # fmt: skip
from ..codec.experts import _learn_final as _learn_second
from ..codec.mixer import (
    BITS,
    LIMIT,
    adapt,
    learn_refine,
    mix,
    mix_without,
    prepare_refine,
    refine,
    squash,
    stretch,
    train,
)  # fmt: skip
from ..codec.symbols import FREQUENCY_BITS
from .kernel import heapless, kernel

END_BITS, FLAG_BITS = np.uint64(28), np.uint64(16)
END_RATE, END_COUNT = 64, 255  # of the mix of where tokens end; of its contexts
LEAST_SHARE = 1 << 12  # of 2^30
FIRST_FINAL_RATE, FINAL_RATE, WEIGHT_LIMIT = 256, 64, (1 << 19) - 1  # of the last mix
_48, _4BYTES, _6BYTES = np.uint64(48), np.uint64((1 << 32) - 1), np.uint64((1 << 48) - 1)
_BITS, _0, _1, _6, _8 = np.uint64(FREQUENCY_BITS), np.uint64(0), np.uint64(1), np.uint64(6), np.uint64(8)


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


class Final(NamedTuple):
    """The last mix of a byte's bits: few inputs, the model's first, and shares in what is coded."""

    weights: np.ndarray  # int32[768, 7]
    shares: np.ndarray  # int64[3]: of the model alone, this mix and the experts' mix; their sum is about 2^30
    sure: np.ndarray  # int64[1]: how unsure the model is of this token, 0 … 7; from here on scratch
    inputs: np.ndarray  # int32[7]
    rows: np.ndarray  # int64[3]: selected weight sets
    sums: np.ndarray  # int32[3]
    outputs: np.ndarray  # int64[3]


def final() -> Final:
    """A state that has seen nothing: it trusts the model."""
    weights = np.zeros((768, 7), np.int32)
    weights[:, 0], weights[:, 3] = 45000, 20000
    shares = np.array([1 << 29, 3 << 27, 1 << 27], np.int64)
    return Final(
        weights, shares, np.zeros(1, np.int64), np.zeros(7, np.int32), np.zeros(3, np.int64), np.zeros(3, np.int32),
        np.zeros(3, np.int64),
    )  # fmt: skip


@heapless
def _blend(shares, a, b, c):
    """Probability (22 bits) of three that predict a bit, each by its share."""
    one = (shares[0] * a + shares[1] * b + shares[2] * c) // (shares[0] + shares[1] + shares[2])
    return min(max(one, 16), (1 << BITS) - 16)


@heapless
def _learn_blend(shares, a, b, c, one, bit):
    """Shares grow as the bit's probability did (Bayes' rule), and none is ever lost.

    So what is coded costs little more than the best of the three, wherever the data ends (Herbster and Warmuth 1998).
    """
    if bit == 0:
        a, b, c, one = (1 << BITS) - a, (1 << BITS) - b, (1 << BITS) - c, (1 << BITS) - one
    shares[0] = max(shares[0] * a // one, LEAST_SHARE)
    shares[1] = max(shares[1] * b // one, LEAST_SHARE)
    shares[2] = max(shares[2] * c // one, LEAST_SHARE)
    if shares[0] + shares[1] + shares[2] > 1 << 31:  # what the least ones were given adds up
        for k in range(3):
            shares[k] >>= 1


@heapless
def _learn_final(final, bit, rate):
    """As mixer.train, at rates beyond its 64."""
    for k in range(final.rows.shape[0]):
        row, error = final.rows[k], ((bit << BITS) - squash(final.outputs[k])) * rate >> 10
        for j in range(final.inputs.shape[0]):
            weight = np.int64(final.weights[row, j]) + (np.int64(final.inputs[j]) * error + (1 << 17) >> 18)
            final.weights[row, j] = min(max(weight, -WEIGHT_LIMIT), WEIGHT_LIMIT)


@heapless
def _code_mixed(state, final, history, i, depth, frequencies, coder_state, message, decoding):
    """Predict, code and learn the byte at position i, the token's byte `depth`; returns its code length.

    frequencies: the model's, uint32[256], sum 2^24. The experts predict and learn as in experts.code_byte, samples
    apart; their mix has the model among 128 inputs and takes kilobytes to find its weight. So it is one input of a last
    mix, beside the model itself and the experts without it, whose weights are chosen by how sure the two are and
    whether they agree; by the match; and by how sure the model was of the token. What is coded is a blend of model,
    last mix and experts' mix.
    """
    memory, x, rows, outputs, tree = state.memory, state.inputs, state.rows, state.outputs, state.tree
    ring = history.shape[0] - 1
    finals, weights, contexts = state.finals, state.weights, state.active.shape[0]
    recent = np.int64(memory[_RECENT] & _2BYTES)
    c1, c2 = recent & 255, recent >> 8
    classes, bracket = np.int64(memory[_CLASSES] & _BYTE), np.int64(memory[_BRACKET])
    word_length = min(np.int64(memory[_WORD_LENGTH]), 15)
    _hash_contexts(state, history, i)
    for j in range(256):
        tree[256 + j] = np.int64(frequencies[j])
    for j in range(255, 0, -1):
        tree[j] = tree[2 * j] + tree[2 * j + 1]
    matched, expected = np.int64(memory[_MATCHED]), 0
    if matched > 0:
        expected = np.int64(history[np.int64(memory[_POINTER]) & ring]) | 256
    rate = max(14, 32 >> min(i >> 17, 20))
    final_rate = max(FINAL_RATE, FIRST_FINAL_RATE >> min(i >> 12, 20))
    byte = 0 if decoding else np.int64(history[i & ring])
    c0, node, hits = np.int64(1), np.int64(1), 0
    cost, cost_alone = 0, 0
    m, own = 4 * contexts, x.shape[0] - 2
    inputs, shares = final.inputs, final.shares
    for bit in range(8):
        if bit & 3 == 0:
            hits = _find_slots(state, contexts, 0 if bit == 0 else c0)
            node = np.int64(1)
        order1, order2 = c1 << 8 | c0, 65536 + np.int64(_fold(np.uint64(recent), np.uint64(c0)) & _2BYTES)
        prepare_refine(state.apms, order1)
        prepare_refine(state.apms, order2)
        _gather(state, contexts, x, node, c0, bit)
        x[m] = stretch(np.int64(state.byte_map[c0]) >> 10)
        length = 0
        x[m + 1], x[m + 2] = 0, 0
        if matched > 0 and expected >> (8 - bit) == c0:
            length = matched if matched < 16 else 16 + min((matched - 16) >> 2, 15)
            g = stretch(np.int64(state.match_map[length]) >> 10)
            sure = min(matched, 32) * 16
            up = expected >> (7 - bit) & 1
            x[m + 1], x[m + 2] = (g, sure) if up else (-g, -sure)
        at_match = 131072 + ((expected & 255) << 8 | c0) if length > 0 else c0
        prepare_refine(state.apms, at_match)
        x[m + 3] = 256
        model = (log2(tree[2 * c0 + 1]) - log2(tree[2 * c0]) >> 12) * 11357 >> 26
        model = min(max(model, -LIMIT), LIMIT)
        x[own], x[own + 1] = model, stretch(refine(state.model_apm, c0, model))
        rows[0] = c0
        rows[1] = 256 + length * 8 + bit
        rows[2] = 512 + c1
        rows[3] = 768 + hits * 8 + bit
        rows[4] = 1024 + classes
        rows[5] = 1280 + (bracket if bracket > 0 else c2)
        rows[6] = 1536 + (word_length << 4 | classes >> 4)
        rows[SETS] = 1792 + min(abs(model) >> 7, 15) * 8 + bit
        mix(x, weights, rows, state.sums, outputs)
        mix_without(x, weights, rows, state.sums, own, state.alone)
        alone = _final(state.alone, finals, 768 + c0)
        by_hits = 256 + hits * 8 + bit
        a, b = _final(outputs, finals, c0), _final(outputs, finals, by_hits)
        mixed = (a + b) >> 1
        joint = 2 * squash(mixed) + refine(state.apms, order1, mixed)
        joint += 2 * refine(state.apms, order2, mixed) + 3 * refine(state.apms, at_match, mixed)
        joint = min(max(joint >> 3, 16), (1 << BITS) - 16)
        inputs[0], inputs[1], inputs[2], inputs[3] = model, x[own + 1], alone, mixed
        inputs[4], inputs[5], inputs[6] = stretch(joint), x[m + 1], 256
        weigh = min(abs(model) >> 7, 15)
        agree, agree_match = np.int64((alone > 0) == (model > 0)), np.int64((x[m + 1] > 0) == (model > 0))
        final.rows[0] = (weigh * 2 + agree) * 8 + min(abs(alone) >> 7, 7)
        final.rows[1] = 256 + (min(length, 15) * 8 + min(weigh, 7)) * 2 + agree_match
        final.rows[2] = 512 + final.sure[0] * 32 + min(depth, 3) * 8 + bit
        mix(inputs, final.weights, final.rows, final.sums, final.outputs)
        last = squash((final.outputs[0] + final.outputs[1] + final.outputs[2]) * 21845 >> 16)
        model_one = squash(model)
        one = _blend(shares, model_one, last, joint)
        if decoding:
            y = np.int64(decode_bit(coder_state, message, np.uint64(one), np.uint64(BITS)))
        else:
            y = byte >> (7 - bit) & 1
            encode_bit(coder_state, message, np.uint64(one), np.uint64(BITS), np.uint64(y))
        cost += _cost(one, BITS, y)
        _learn_blend(shares, model_one, last, joint, one, y)
        _learn_final(final, y, final_rate)
        train(x, weights, rows, outputs, y, rate)
        _learn_second(outputs, finals, c0, a, y)
        _learn_second(outputs, finals, by_hits, b, y)
        learn_refine(state.apms, order1, mixed, y)
        learn_refine(state.apms, order2, mixed, y)
        learn_refine(state.apms, at_match, mixed, y)
        learn_refine(state.model_apm, c0, model, y)
        cost_alone += _cost(min(max(squash(alone), 16), (1 << BITS) - 16), BITS, y)
        _learn_second(state.alone, finals, 768 + c0, alone, y)
        _learn_bit(state, contexts, node, bit, y)
        state.byte_map[c0] = adapt(np.int64(state.byte_map[c0]), y, 255)
        if length > 0:
            hit = np.int64((expected >> (7 - bit) & 1) == y)
            state.match_map[length] = adapt(np.int64(state.match_map[length]), hit, 1000)
        c0 = c0 * 2 + y
        node = node * 2 + y
    byte, before = c0 & 255, state.ledger[MIX]
    _charge(state.ledger, MIX, cost)
    _charge(state.ledger, EXPERTS, cost_alone)
    _charge(state.ledger, MODEL, (np.int64(FREQUENCY_BITS) << FINE) - log2(tree[c0]))
    if decoding:
        history[i & ring] = byte
    _learn_byte(state, contexts, history, i, byte, expected)
    return state.ledger[MIX] - before


@heapless
def _code_byte(experts, final, history, i, depth, f, state, message, decoding, numbers):
    """One byte with experts; returns its code length. numbers: what `begin` gave; samples are the codec's to mix."""
    if numbers is None:
        return _code_mixed(experts, final, history, i, depth, f[0], state, message, decoding)
    before = experts.ledger[MIX]
    code_byte(experts, history, i, f, 0, state, message, decoding, numbers)
    return experts.ledger[MIX] - before


@kernel
def code_token(trie, sums, chosen, flags, f, ends, final, experts, history, i, state, message, decoding, numbers):
    """Write or read one token, its first byte at position i of the history.

    chosen: the encoder's token, its place in the table's order; -1: an escape, of one byte. flags: int64[2], how often
    tokens and escapes came so far; of no elements where every byte is a token. f: uint32[1, 256]. experts: their State,
    or None, and then so are ends and final. Returns place (or -1), bytes and code length; the decoder gets -1 as well
    for what no encoder writes.
    """
    ring = history.shape[0] - 1
    length = np.int64(0)
    if experts is not None:  # the likeliest token weighs 2^32: -log2 of its probability, in halves of a bit
        halves = (log2(np.uint64(sums[trie.stop[0]] >> 20)) >> FINE - 1) - 24
        final.sure[0] = min(max(halves, 0), 7)
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
                length += _code_byte(experts, final, history, i, 0, f, state, message, decoding, numbers)
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
                model = min(max(np.int64(one >> _6), 16), (1 << BITS) - 16)
                mixed = np.int64(_refine_end(ends, experts.memory, history, trie, node, one))
                coded = _blend(final.shares, model, mixed, mixed)
                end = np.int64(first == chosen)
                end, cost = _code_choice(np.uint64(coded), np.uint64(BITS), end, state, message, decoding)
                _learn_blend(final.shares, model, mixed, mixed, coded, end)
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
            length += _code_byte(experts, final, history, i + depth, depth, f, state, message, decoding, numbers)
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
