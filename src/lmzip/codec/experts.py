"""Experts: what was seen in this context before, learnt online and mixed (after PAQ8, LPAQ, ZPAQ).

Each byte is eight binary decisions, most significant bit first. Before a byte, every context (the last
n bytes, this word and the one before, the byte above, ...) is hashed; before each half byte the hash
finds a slot, a cache line with a check, and a node for each of the 15 places in the half byte's tree.
A node is a bit history (8 bits), a count (6) and a probability (18, its top bit flipped, so that a node
of zeros is a fresh one). A first slot also keeps a run: the last byte seen in the context and how often in a row.
A context seen only once is kept in that run alone; its second slot is built when it comes again.

All that is learnt from history[i] is learnt after it is coded. `history` is a ring: byte i is at
history[i & (len - 1)]; an encoder may have up to a quarter of the ring ahead of i in it, so nothing
looks back further than three quarters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import mixer, numeric
from .coder import FINE, decode, decode_bit, decode_target, encode, encode_bit, log2
from .kernel import heapless, inline, prefetch
from .mixer import BITS, adapt, learn_refine, mix, mix_without, prepare_refine, refine, squash, stretch, train
from .numeric import SAMPLED, learn_sample, prepare, sample_inputs, watch
from .settings import ExpertSettings

MIX, EXPERTS, MODEL = range(3)  # rows of State.ledger
CONTEXTS = 31
SETS = 7  # weight sets selected for a bit, without the language model's
_MODEL_INPUTS = 2  # the last ones
_FIRST_SLOTS, _FIRST_MATCHES = 18, 16  # log2 sizes at the start
_MATCHES = 22
_SHORTEST, _LONGEST = 6, 400  # matches: bytes hashed, bytes verified


class State(NamedTuple):
    """All that a kernel works on. N contexts, K weight sets, E inputs (a multiple of 32)."""

    memory: np.ndarray  # uint64: what contexts are made of, see the names below
    ledger: np.ndarray  # int64[6]: code lengths in 2^-20 bit: mix, experts, language model; 2^-32 rests
    slots: np.ndarray  # uint32[(slots + N) * 16], the last N are never kept
    histories: np.ndarray  # uint32[N * 256]: adaptive probability of each bit history
    runs: np.ndarray  # uint32[N * 256]: that a run goes on, by its length and the bit
    byte_map: np.ndarray  # uint32[256]: order 0
    match_map: np.ndarray  # uint32[64]: that a match goes on, by its length
    matches: np.ndarray  # uint32[2^22]: position after the last occurrence of hashed bytes
    indirect: np.ndarray  # uint64[2 * 2^16 + 256]: what followed one byte and two; the word that followed a word
    targets: np.ndarray  # uint32[4 * 2^16]: what addresses in x86 code meant, by 0 … 3 bytes known
    weights: np.ndarray  # int32[rows, E]: first layer
    finals: np.ndarray  # int32[rows, K]: second layer
    apms: np.ndarray  # uint32: maps that refine the mix
    model_apm: np.ndarray  # uint32: maps that refine the language model's probability
    sampled: np.ndarray  # int64[43]: the kind of samples found and what is expected, see numeric.py
    errors: np.ndarray  # int64[2^15 + 128]: the last errors, 1/16 sample; means by predictor and class, 2^-12
    systems: np.ndarray  # float64[2, 4, 26, 24]: least squares by predictor and channel
    sample_weights: np.ndarray  # int32[rows, 64]: first layer where samples are coded
    active: np.ndarray  # int64[N]: which contexts are used
    contexts: np.ndarray  # uint64[CONTEXTS], and from here on scratch
    hashes: np.ndarray  # uint64[N]
    keys: np.ndarray  # uint64[N]
    places: np.ndarray  # int64[2N]: slot of this half byte, of the run
    cells: np.ndarray  # int64[2N]: cells of histories and runs that were asked
    inputs: np.ndarray  # int32[E]
    sample_inputs: np.ndarray  # int32[64]
    rows: np.ndarray  # int64[K]: selected weight sets
    sums: np.ndarray  # int32[K]
    outputs: np.ndarray  # int64[K]
    alone: np.ndarray  # int64[K]: outputs without the language model
    tree: np.ndarray  # int64[512]: the language model's distribution as a binary tree
    solving: np.ndarray  # float64[26, 24]: a system being solved


# Places in State.memory
(_SEEN, _SLOTS, _SLOT_MASK, _MATCH_MASK, _RECENT, _CLASSES, _WORD, _WORD1, _WORD2, _WORD_LENGTH, _BEFORE_WORD, _LINE,
 _LINE_ABOVE, _FIRST, _BRACKET, _POINTER, _MATCHED, _RAW, _SPENT,
 _LETTERS, _OPERAND, _OPCODE, _TARGET, _MEMORY) = range(24)  # fmt: skip

_0, _1, _8, _16 = (np.uint64(n) for n in (0, 1, 8, 16))
_BYTE, _2BYTES, _3BYTES, _4BYTES, _5BYTES, _6BYTES = (np.uint64((1 << 8 * n) - 1) for n in (1, 2, 3, 4, 5, 6))
_LONG_MATCH = np.uint64(400)
_GOLDEN, _ODD = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_FOLD = np.uint64(32)
_MASKED = np.uint64(0xF0F0F0FFFF)
_24, _48 = np.uint64(24), np.uint64(48)


def _bit_histories() -> tuple[np.ndarray, np.ndarray]:
    """Bit histories as states: uint8[2n] next state by (state, bit), int64[n, 2] counts of 0 and 1.

    Up to four bits are kept in full, longer ones as counts and the last bit; an opposite bit cuts a
    large count down, since what happened last says most.
    """
    most = (40, 16, 10, 6, 5)  # the larger count, by the smaller

    def fits(counts):
        return min(counts) < 5 and max(counts) <= most[min(counts)]

    def after(history, bit):
        if isinstance(history, str):
            if len(history) < 4:
                return history + str(bit)
            history = (history.count("0"), history.count("1"), 0)
        counts = list(history[:2])
        other = counts[1 - bit]
        counts[1 - bit] = min(other, 7 if other > 7 else 6 if other > 6 else 5)
        counts[bit] += 1
        while not fits(counts):
            larger_other = counts[1 - bit] > counts[bit] or min(counts) == 5
            counts[1 - bit if larger_other else bit] -= 1
        return (*counts, bit)

    histories, following = [""], []
    for history in histories:
        for bit in (0, 1):
            new = after(history, bit)
            if new not in histories:
                histories.append(new)
            following.append(histories.index(new))
    counts = [(h.count("0"), h.count("1")) if isinstance(h, str) else h[:2] for h in histories]
    return np.array(following, np.uint8), np.array(counts, np.int64)


_NEXT, _COUNTS = _bit_histories()


def _byte_classes() -> np.ndarray:
    classes = [8 + (byte & 7) for byte in range(128)] + [6] * 128
    for first, last, kind in ("az1", "AZ2", "093", "  4", "\n\n5"):
        for byte in range(ord(first), ord(last) + 1):
            classes[byte] = int(kind)
    classes[ord(".")] = classes[ord(",")] = 7
    return np.array(classes, np.uint64)


_CLASS = _byte_classes()
# 1: opens a context that lasts until a closing byte (2)
_BRACKETS = np.array([1 if chr(b) in "[{<(=|\"&'" else 2 if chr(b) in "]}>)\n;" else 0 for b in range(256)], np.uint8)


class Experts:
    """The state of the experts and the mixer. `language_model`: whether its distribution is mixed in."""

    def __init__(self, settings: ExpertSettings, language_model: bool) -> None:
        self.settings = settings
        active = np.array([k for k in range(CONTEXTS) if settings.contexts >> k & 1], np.int64)
        contexts, sets = len(active), SETS + language_model
        inputs = (4 * contexts + 4 + _MODEL_INPUTS + 31) // 32 * 32
        fresh = ((2 * _COUNTS[:, 1] + 1) << BITS) // (2 * _COUNTS.sum(1) + 2)
        histories = np.zeros((contexts, 256), np.uint32)
        histories[:, : len(fresh)] = fresh << 10
        weights = np.zeros((2048, inputs), np.int32)
        weights[:, : 4 * contexts + 3] = 3000
        weights[:, 1 : 4 * contexts : 4] = 0
        weights[:, inputs - _MODEL_INPUTS :] = 6500 * language_model
        finals = np.zeros((1280, sets), np.int32)
        finals[:, :sets] = 65536 // sets
        slots = settings.slots << 10
        space = np.zeros((slots + contexts + 1) * 16, np.uint32)
        aligned = -(space.ctypes.data // 4) % 16
        self.state = State(
            memory=np.zeros(_MEMORY, np.uint64),
            ledger=np.zeros(6, np.int64),
            slots=space[aligned : aligned + len(space) - 16],
            histories=histories.ravel(),
            runs=np.full(contexts * 256, 3 << 30, np.uint32),
            byte_map=np.full(256, 1 << 31, np.uint32),
            match_map=np.full(64, 3 << 30, np.uint32),
            matches=np.zeros(1 << _MATCHES, np.uint32),
            indirect=np.zeros(2 * 65536 + 256, np.uint64),
            targets=np.zeros(4 * 65536, np.uint32),
            weights=weights,
            finals=finals,
            apms=mixer.apm(3 * 65536),
            model_apm=mixer.apm(256 * language_model),
            **numeric.arrays(language_model),
            active=active,
            contexts=np.zeros(CONTEXTS, np.uint64),
            hashes=np.zeros(contexts, np.uint64),
            keys=np.zeros(contexts, np.uint64),
            places=np.zeros(2 * contexts, np.int64),
            cells=np.zeros(2 * contexts, np.int64),
            inputs=np.zeros(inputs, np.int32),
            rows=np.zeros(sets, np.int64),
            sums=np.zeros(sets, np.int32),
            outputs=np.zeros(sets, np.int64),
            alone=np.zeros(sets, np.int64),
            tree=np.zeros(512, np.int64),
            solving=np.zeros((numeric.TAPS + 2, numeric.TAPS)),
        )
        self.state.memory[_SLOTS] = slots
        self.state.memory[_SLOT_MASK] = (1 << min(_FIRST_SLOTS, (slots - 1).bit_length())) - 1
        self.state.memory[_MATCH_MASK] = (1 << _FIRST_MATCHES) - 1

    def grow(self, position: int) -> None:
        """Before the segment at `position`: double the tables that it will fill (both halves keep what is known)."""
        memory, state = self.state.memory, self.state
        most = int(memory[_SLOTS])
        while (slots := int(memory[_SLOT_MASK]) + 1) < most and slots < 128 * position:
            new = min(2 * slots, most)
            state.slots[slots * 16 : new * 16] = state.slots[: (new - slots) * 16]
            memory[_SLOT_MASK] = 2 * slots - 1
        while (matches := int(memory[_MATCH_MASK]) + 1) < 1 << _MATCHES and matches < 8 * position:
            state.matches[matches : 2 * matches] = state.matches[:matches]
            memory[_MATCH_MASK] = 2 * matches - 1

    def begin(self, history: np.ndarray, at: int, count: int) -> np.ndarray | None:
        """Before `count` bytes at a position: State.sampled if some of them are samples, whose kernels then compile."""
        self.grow(at)
        numbers = self.state.sampled
        watch(numbers, history, at)
        return numbers if at + count > numbers[numeric.FIRST] and len(self.state.active) >= SAMPLED else None

    def code(
        self,
        history: np.ndarray,
        at: int,
        count: int,
        frequencies: np.ndarray,
        state: np.ndarray,
        message: np.ndarray,
        decoding: bool,
    ) -> int:
        """Write or read `count` bytes of the history, absolute positions from `at` on; returns their code length.

        frequencies: uint32[count, 256], or [0, 256] where there is no language model.
        """
        before, numbers = int(self.state.ledger[MIX]), self.begin(history, at, count)
        _code_segment(self.state, history, at, at + count, frequencies, state, message, decoding, numbers)
        return int(self.state.ledger[MIX]) - before

    def forget(self) -> None:
        """Leave a match that bytes not coded have interrupted: its distance would grow beyond what may be seen."""
        self.state.memory[_MATCHED] = 0

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything that the next predictions depend on, by name, as it is in use now."""
        arrays = dict(zip(State._fields[: State._fields.index("active")], self.state, strict=False))
        memory = self.state.memory
        arrays["slots"] = arrays["slots"][: min(int(memory[_SLOT_MASK]) + 1, int(memory[_SLOTS])) * 16]
        arrays["matches"] = arrays["matches"][: int(memory[_MATCH_MASK]) + 1]
        return arrays


@inline
def _fold(value, other):
    """A hash of two numbers, uint64."""
    h = (value + _GOLDEN) * _ODD + other
    h = (h ^ (h >> _FOLD)) * _GOLDEN
    return h ^ (h >> _FOLD)


@inline
def _known(history, i, distance):
    """Byte i - distance, uint64, or 0 where nothing is known."""
    if distance <= i and 4 * distance <= 3 * history.shape[0]:
        return np.uint64(history[(i - distance) & (history.shape[0] - 1)])
    return _0


@inline
def _hash_contexts(state, history, i):
    m, h = state.memory, state.contexts
    recent, word, word1, word2, classes = m[_RECENT], m[_WORD], m[_WORD1], m[_WORD2], m[_CLASSES]
    if m[_WORD_LENGTH] >= np.uint64(32):  # no word: a genome, say
        word, word1, word2 = m[_LETTERS] & _3BYTES, m[_LETTERS] & _4BYTES, m[_LETTERS] & _5BYTES
    c1, c2, c3 = recent & _BYTE, recent >> _8 & _BYTE, recent >> _16 & _BYTE
    c12, last4 = recent & _2BYTES, recent & _4BYTES
    column = min(np.int64(i) - np.int64(m[_LINE]), 255)
    height = np.int64(m[_LINE]) - np.int64(m[_LINE_ABOVE])
    above = _known(history, i, height) if column < height else _0
    bracket = m[_BRACKET]
    indirect = state.indirect
    expected = _0
    if m[_MATCHED] > _0:
        expected = np.uint64(history[m[_POINTER] & np.uint64(history.shape[0] - 1)]) + np.uint64(256)
    h[0] = c1  # order 1
    h[1] = c12  # order 2
    h[2] = recent & _3BYTES  # order 3
    h[3] = last4  # order 4
    h[4] = recent & _5BYTES  # order 5
    h[5] = word  # word
    h[6] = _fold(word1, word2)  # two words before
    h[7] = _fold(word, word1)  # word, word before
    h[8] = recent  # order 8
    h[9] = _fold(word, c1 | word2 << _8)  # word, word two before, last byte
    h[10] = c2 | c3 << _8  # sparse: bytes 2 and 3
    h[11] = c1 | c3 << _8  # sparse: bytes 1 and 3
    h[12] = indirect[c1] & _2BYTES | c1 << _16  # indirect: what followed byte 1
    h[13] = (indirect[np.uint64(256) + c12] & _2BYTES) << _8 | c1  # indirect: what followed bytes 1 and 2
    h[14] = (classes & _4BYTES) << _8 | c1  # classes of 4 bytes, byte 1
    h[15] = above | np.uint64(column) << _8 | c1 << _16  # column, byte above, byte 1
    h[16] = _fold(word, m[_FIRST] | c1 << _8)  # word, first byte of line, byte 1
    h[17] = _fold(word, _fold(word1, word2))  # word, two words before
    h[18] = recent >> _16 & _3BYTES  # sparse: bytes 3 to 5
    h[19] = _fold(word1, c12)  # word before, bytes 1 and 2
    h[20] = _fold(word, m[_BEFORE_WORD])  # word, byte before the word
    h[21] = _fold(expected, c12)  # expected byte, bytes 1 and 2
    h[22] = recent & _MASKED  # bytes 1 and 2, upper halves of 3 to 5
    h[23] = _fold(word, bracket)  # word, bracket
    h[24] = last4 | bracket << _48  # order 4, bracket
    h[25] = classes  # classes of 16 bytes
    # bytes 1 and 2, length of word, column, bracket
    h[26] = c12 | min(m[_WORD_LENGTH], np.uint64(3)) << _16 | np.uint64(min(column, 3)) << _24 | bracket << _48
    # word, word that followed the word before; x86: address expected, byte 1
    h[27] = _fold(word, indirect[np.uint64(65792) + (m[_WORD1] & _2BYTES)])
    h[28] = _fold(word, np.uint64(column))  # word, column; x86: address expected, instruction
    if m[_OPERAND] > _0:
        h[27], h[28] = _fold(m[_OPERAND], c1), _fold(m[_OPERAND], m[_OPCODE])
    h[29] = _fold(above, c12)  # byte above, bytes 1 and 2
    # expected byte, order 1, length of match
    h[30] = expected | c1 << _16 | min(m[_MATCHED], np.uint64(32)) >> np.uint64(3) << _48
    for k in range(state.active.shape[0]):
        state.hashes[k] = _fold(np.uint64(k), h[state.active[k]])


@inline
def _index(memory, h):
    """Which slot a hash begins to look at: what an upper half that is not whole lacks is looked for in the lower."""
    index = h & memory[_SLOT_MASK]
    return index if index < memory[_SLOTS] else index & memory[_SLOT_MASK] >> _1


@heapless
def _find(slots, h, index):
    """Place of the slot of hash `h`: one of three neighbours; if need be the least used one is taken over."""
    check = np.uint32(h >> _48)
    least, best = np.uint32(64), _0
    for way in range(3):
        a = (index ^ np.uint64(way)) << np.uint64(4)
        if slots[a] >> np.uint32(16) == check:
            return np.int64(a)
        used = (slots[a + _1] >> np.uint32(18)) & np.uint32(63)
        if used < least:
            least, best = used, a
    slots[best] = check << np.uint32(16)
    for j in range(1, 16):
        slots[best + np.uint64(j)] = np.uint32(0)
    return np.int64(best)


@inline
def _learn_node(node, bit, limit):
    """A node after one more bit."""
    p, n = (node & 0x3FFFF) ^ 0x20000, node >> 18 & 63
    p += (((bit << 18) - p) * np.int64(mixer._RATE[np.uint64(n)])) >> 16
    return np.int64(_NEXT[np.uint64((node >> 24) * 2 + bit)]) << 24 | min(n + 1, limit) << 18 | (p ^ 0x20000)


@inline
def _find_slots(state, contexts, half):
    """Slots of every context for this half byte; half: 0, or 16 + the first half. Returns how many were known."""
    slots, places, hashes, memory = state.slots, state.places, state.hashes, state.memory
    for k in range(contexts):  # ask for all cache lines before the first is needed
        h = _fold(hashes[k], np.uint64(half))
        state.keys[k] = h
        prefetch(slots, _index(memory, h) << np.uint64(4))
    hits = 0
    for k in range(contexts):
        h = state.keys[k]
        if half == 0:
            a = _find(slots, h, _index(memory, h))
            places[contexts + k] = a
        else:
            run = np.int64(slots[places[contexts + k]])
            if run & 255 == 0:
                a = slots.shape[0] - 16 * (contexts - k)
                for j in range(1, 16):
                    slots[a + j] = np.uint32(0)
            else:
                if np.int64(slots[places[contexts + k] + 1]) >> 18 & 63 == 2:  # seen once: now build what it skipped
                    other = _fold(hashes[k], np.uint64(16 + (run >> 12 & 15)))
                    b = _find(slots, other, _index(memory, other))
                    at = 1
                    for j in range(4):
                        bit = run >> (11 - j) & 1
                        slots[b + at] = _learn_node(np.int64(slots[b + at]), bit, 63)
                        at = 2 * at + bit
                a = _find(slots, h, _index(memory, h))
        places[k] = a
        hits += slots[a + 1] != np.uint32(0)
    return min(hits, 31)


@inline
def _gather(state, contexts, x, node, c0, bit):
    """Inputs of the mixer for the next bit: four for each context."""
    slots, cells, places = state.slots, state.cells, state.places
    for k in range(contexts):
        m = 4 * k
        v = np.int64(slots[np.uint64(places[k] + node)])
        cell = -1
        if v == 0:
            x[m], x[m + 1], x[m + 2] = 0, 0, 0
        else:
            cell, counts = k * 256 + (v >> 24), _COUNTS[np.uint64(v >> 24)]
            x[m] = stretch(np.int64(state.histories[np.uint64(cell)]) >> 10)
            x[m + 1] = 0 if counts[0] and counts[1] else x[m]  # what was never otherwise weighs by itself
            x[m + 2] = stretch(((v & 0x3FFFF) ^ 0x20000) << 4)
        cells[k] = cell
        run = np.int64(slots[np.uint64(places[contexts + k])])
        cell = -1
        x[m + 3] = 0
        if run & 255 > 0 and (run >> 8 & 255 | 256) >> (8 - bit) == c0:
            cell = k * 256 + min(run & 255, 31) * 8 + bit
            g = stretch(np.int64(state.runs[np.uint64(cell)]) >> 10)
            x[m + 3] = g if run >> (15 - bit) & 1 else -g
        cells[contexts + k] = cell


@inline
def _learn_bit(state, contexts, node, bit, y):
    """Every context's node, bit history and run after bit y."""
    slots, histories, runs, cells, places = state.slots, state.histories, state.runs, state.cells, state.places
    for k in range(contexts):
        a = np.uint64(places[k] + node)
        slots[a] = _learn_node(np.int64(slots[a]), y, 30)
        if cells[k] >= 0:
            cell = np.uint64(cells[k])
            histories[cell] = adapt(np.int64(histories[cell]), y, 1000)
        if cells[contexts + k] >= 0:
            cell = np.uint64(cells[contexts + k])
            expected = np.int64(slots[np.uint64(places[contexts + k])]) >> (15 - bit) & 1
            runs[cell] = adapt(np.int64(runs[cell]), np.int64(expected == y), 1000)


@inline
def _cost(one, bits, y):
    """Code length of bit y of probability one / 2^bits, in 2^-32 bit."""
    return (bits << FINE) - log2(one if y else (1 << bits) - one)


@inline
def _charge(ledger, row, cost):
    """Add a code length in 2^-32 bit."""
    cost += ledger[row + 3]
    ledger[row] += cost >> 12
    ledger[row + 3] = cost & 0xFFF


@inline
def _final(outputs, weights, row):
    """A second mix: of what the weight sets of the first gave."""
    total = 32768
    for k in range(outputs.shape[0]):
        total += outputs[k] * np.int64(weights[row, k])
    return min(max(total >> 16, -mixer.LIMIT), mixer.LIMIT)


@inline
def _learn_final(outputs, weights, row, mixed, y):
    error = (y << 16) - (squash(mixed) >> 6)
    for k in range(outputs.shape[0]):
        weights[row, k] += (outputs[k] * error + 0x20000) >> 18


@inline
def code_byte(state, history, i, frequencies, t, coder_state, message, decoding, numbers):
    """Predict, code and learn the byte at position i (int64), which is returned.

    history: uint8[2^k]; frequencies[t]: of every byte, uint32 > 0, sum 2^24, unless frequencies is of length 0;
    message: uint8 (writable), written at the coder's position with room, or read; numbers: what `begin` gave.
    """
    memory, x, rows, outputs, tree = state.memory, state.inputs, state.rows, state.outputs, state.tree
    ring = history.shape[0] - 1
    finals, weights, contexts = state.finals, state.weights, state.active.shape[0]
    modelled = frequencies.shape[0] > 0
    recent = np.int64(memory[_RECENT] & _2BYTES)
    c1, c2 = recent & 255, recent >> 8
    classes = np.int64(memory[_CLASSES] & _BYTE)
    bracket = np.int64(memory[_BRACKET])
    word_length = min(np.int64(memory[_WORD_LENGTH]), 15)
    near = c1
    if numbers is not None and i >= numbers[numeric.FIRST]:
        x, weights, contexts = state.sample_inputs, state.sample_weights, SAMPLED
        prepare(numbers, state.errors, state.systems, state.solving[numeric.TAPS + 1], state.contexts, history, i)
        for k in range(contexts):
            state.hashes[k] = _fold(np.uint64(64 + k), state.contexts[k])
        near = numbers[numeric.EXPECTED]
    else:
        _hash_contexts(state, history, i)
    experts = x.shape[0] - _MODEL_INPUTS
    if modelled:
        for j in range(256):
            tree[256 + j] = np.int64(frequencies[t, j])
        for j in range(255, 0, -1):
            tree[j] = tree[2 * j] + tree[2 * j + 1]
    matched = np.int64(memory[_MATCHED])
    expected = 0
    if matched > 0:
        expected = np.int64(history[np.int64(memory[_POINTER]) & ring]) | 256
    rate = max(14, 32 >> min(i >> 17, 20))
    byte = 0 if decoding else np.int64(history[i & ring])
    c0, node, hits = np.int64(1), np.int64(1), 0
    cost, cost_alone = 0, 0
    for bit in range(8):
        if bit & 3 == 0:
            hits = _find_slots(state, contexts, 0 if bit == 0 else c0)
            node = np.int64(1)
        order1, order2 = near << 8 | c0, 65536 + np.int64(_fold(np.uint64(recent), np.uint64(c0)) & _2BYTES)
        prepare_refine(state.apms, order1)
        prepare_refine(state.apms, order2)
        _gather(state, contexts, x, node, c0, bit)
        m = 4 * contexts
        x[m] = stretch(np.int64(state.byte_map[c0]) >> 10)
        length = 0
        if matched > 0 and expected >> (8 - bit) == c0:
            length = matched if matched < 16 else 16 + min((matched - 16) >> 2, 15)
            g = stretch(np.int64(state.match_map[length]) >> 10)
            sure = min(matched, 32) * 16
            up = expected >> (7 - bit) & 1
            x[m + 1], x[m + 2] = (g, sure) if up else (-g, -sure)
        else:
            x[m + 1], x[m + 2] = 0, 0
        at_match = 131072 + ((expected & 255) << 8 | c0) if length > 0 else c0
        prepare_refine(state.apms, at_match)
        x[m + 3] = 256
        model = 0
        if modelled:
            model = (log2(tree[2 * c0 + 1]) - log2(tree[2 * c0]) >> 12) * 11357 >> 26
            x[experts] = min(max(model, -3071), 3071)
            model = min(max(model, -mixer.LIMIT), mixer.LIMIT)
            x[experts + 1] = stretch(refine(state.model_apm, c0, model))
            rows[SETS] = 1792 + min(abs(model) >> 7, 15) * 8 + bit
        rows[0] = c0
        rows[1] = 256 + length * 8 + bit
        rows[2] = 512 + c1
        rows[3] = 768 + hits * 8 + bit
        rows[4] = 1024 + classes
        rows[5] = 1280 + (bracket if bracket > 0 else c2)
        rows[6] = 1536 + (word_length << 4 | classes >> 4)
        own, own_hits = 0, 256
        if numbers is not None and i >= numbers[numeric.FIRST]:
            sample_inputs(numbers, c1, c0, bit, x)
            phase = numbers[numeric.PHASE]
            place = phase << 3 | bit
            rows[0] = phase << 8 | c0
            rows[1] += 256
            rows[2] = 768 + (numbers[numeric.CLASS] << 4 | place)
            rows[3] += 1024
            rows[4] = 2048 + (numbers[numeric.CHANNEL] << 8 | (near & 15) << 4 | place)
            rows[5] = 3072 + (numbers[numeric.APART] << 4 | place)
            rows[6] = 4096 + (near >> 3 << 4 | place)
            if rows.shape[0] > SETS:
                rows[SETS] += 2816
            own, own_hits = 512, 1024
        mix(x, weights, rows, state.sums, outputs)
        alone = 0
        if modelled:
            mix_without(x, weights, rows, state.sums, experts, state.alone)
            alone = _final(state.alone, finals, 768 + c0)
        by_c0, by_hits = own + c0, own_hits + hits * 8 + bit
        a, b = _final(outputs, finals, by_c0), _final(outputs, finals, by_hits)
        mixed = (a + b) >> 1
        one = 2 * squash(mixed) + refine(state.apms, order1, mixed)
        one += 2 * refine(state.apms, order2, mixed) + 3 * refine(state.apms, at_match, mixed)
        one = min(max(one >> 3, 16), (1 << BITS) - 16)
        if decoding:
            y = np.int64(decode_bit(coder_state, message, np.uint64(one), np.uint64(BITS)))
        else:
            y = byte >> (7 - bit) & 1
            encode_bit(coder_state, message, np.uint64(one), np.uint64(BITS), np.uint64(y))
        cost += _cost(one, BITS, y)
        train(x, weights, rows, outputs, y, rate)
        _learn_final(outputs, finals, by_c0, a, y)
        _learn_final(outputs, finals, by_hits, b, y)
        learn_refine(state.apms, order1, mixed, y)
        learn_refine(state.apms, order2, mixed, y)
        learn_refine(state.apms, at_match, mixed, y)
        if modelled:
            learn_refine(state.model_apm, c0, model, y)
            cost_alone += _cost(min(max(squash(alone), 16), (1 << BITS) - 16), BITS, y)
            _learn_final(state.alone, finals, 768 + c0, alone, y)
        _learn_bit(state, contexts, node, bit, y)
        state.byte_map[c0] = adapt(np.int64(state.byte_map[c0]), y, 255)
        if length > 0:
            hit = np.int64((expected >> (7 - bit) & 1) == y)
            state.match_map[length] = adapt(np.int64(state.match_map[length]), hit, 1000)
        c0 = c0 * 2 + y
        node = node * 2 + y
    byte = c0 & 255
    _charge(state.ledger, MIX, cost)
    _charge(state.ledger, EXPERTS, cost_alone if modelled else cost)
    if modelled:
        _charge(state.ledger, MODEL, (24 << FINE) - log2(tree[c0]))
    if decoding:
        history[i & ring] = byte
    _learn_byte(state, contexts, history, i, byte, expected)
    if numbers is not None and i >= numbers[numeric.FIRST]:
        learn_sample(numbers, state.errors, state.systems, state.solving, history, i)
    return byte


@inline
def _learn_byte(state, contexts, history, i, new, expected):
    """Everything that is learnt once a byte, after the byte `new` at position i."""
    slots = state.slots
    for k in range(contexts):
        a = state.places[contexts + k]
        run = np.int64(slots[a])
        count = min((run & 255) + 1, 255) if run & 255 > 0 and run >> 8 & 255 == new else 1
        slots[a] = run & 0xFFFF0000 | new << 8 | count
    _learn_history(state, history, i, new, expected)


@heapless
def _learn_history(state, history, i, new, expected):
    """Words, lines, what follows what, and the match; expected: the byte that the match said, and 256."""
    m, indirect = state.memory, state.indirect
    byte = np.uint64(new)
    recent, word = m[_RECENT], m[_WORD]
    c1 = recent & _BYTE
    for at in (c1, np.uint64(256) + (recent & _2BYTES)):
        indirect[at] = indirect[at] << _8 | byte
    lower = byte
    if byte >= np.uint64(65) and byte <= np.uint64(90):
        lower = byte + np.uint64(32)
    if (lower >= np.uint64(97) and lower <= np.uint64(122)) or byte >= np.uint64(128):
        if word == _0:
            m[_BEFORE_WORD] = c1
        m[_WORD] = _fold(word, lower)
        m[_WORD_LENGTH] += _1
    elif word != _0:
        indirect[np.uint64(65792) + (m[_WORD1] & _2BYTES)] = word
        m[_WORD2], m[_WORD1], m[_WORD] = m[_WORD1], word, _0
        m[_WORD_LENGTH] = _0
    kind = _BRACKETS[byte]
    if kind > 0:
        m[_BRACKET] = byte if kind == 1 else _0
    m[_CLASSES] = m[_CLASSES] << np.uint64(4) | _CLASS[byte]
    m[_LETTERS] = m[_LETTERS] << np.uint64(2) | byte >> _1 & np.uint64(3)
    if new == 10:
        m[_LINE_ABOVE], m[_LINE], m[_FIRST] = m[_LINE], np.uint64(i + 1), _0
    elif np.uint64(i) == m[_LINE]:
        m[_FIRST] = byte
    recent = recent << _8 | byte
    m[_RECENT] = recent
    m[_SEEN] = np.uint64(i + 1)
    _learn_operand(m, state.targets, recent, np.uint64(i + 1))
    _learn_match(state, history, i + 1, new, expected)


@inline
def _target_cell(m, known):
    """Where the address meant is kept, by its lowest bytes; if none is known, by what came before it."""
    low = m[_TARGET] & (_1 << _8 * known) - _1
    return known << _16 | (m[_OPCODE] if known == _0 else _fold(low, _0) & _2BYTES)


@heapless
def _learn_operand(m, targets, recent, i):
    """x86: four bytes relative to the position after them are expected to mean what they meant before."""
    known = m[_OPERAND] >> _8  # one more than the bytes of the address that came
    c1, c2, c3 = np.int64(recent & _BYTE), np.int64(recent >> _8 & _BYTE), np.int64(recent >> _16 & _BYTE)
    call, jump = c1 & 0xFE == 0xE8, c2 == 0x0F and c1 & 0xF0 == 0x80
    if known > _0:
        m[_TARGET] += np.uint64(c1) << _8 * (known - _1)
        known += _1
        if known == np.uint64(5):
            for k in range(4):
                targets[_target_cell(m, np.uint64(k))] = np.uint32(m[_TARGET])
            known = _0
    elif call or jump or (c1 & 0xC7 == 5 and (c2 & 0xF0 == 0x80 or c3 == 0x0F)):  # the last: [rip + address]
        known, m[_TARGET], m[_OPCODE] = _1, i + np.uint64(4), recent & _2BYTES
    m[_OPERAND] = _0
    if known > _0:
        shift = _8 * (known - _1)
        target = np.uint64(targets[_target_cell(m, known - _1)])
        m[_OPERAND] = known << _8 | ((target >> shift) - (m[_TARGET] >> shift)) & _BYTE


@heapless
def _learn_match(state, history, i, new, expected):
    """Go on with the match, or look the last bytes up; i is the position now reached."""
    m, matches = state.memory, state.matches
    ring, reach = history.shape[0] - 1, 3 * (history.shape[0] >> 2)
    length, pointer = np.int64(m[_MATCHED]), np.int64(m[_POINTER]) + 1
    if length > 0:
        length = min(length + 1, 65535) if expected & 255 == new else np.int64(length >= 16)
    at = np.int64(_fold(m[_RECENT] & _6BYTES, _0) & m[_MATCH_MASK])
    if length > 0 and i - pointer > reach:
        length = 0
    if length < _SHORTEST and i >= _SHORTEST:
        distance = (i - np.int64(matches[at])) & 0xFFFFFFFF
        if 0 < distance <= min(i, reach):
            found, seen = i - distance, 0
            most = min(_LONGEST, found, reach - distance)
            while seen < most and history[(found - 1 - seen) & ring] == history[(i - 1 - seen) & ring]:
                seen += 1
            if seen >= _SHORTEST:
                length, pointer = seen, found
    matches[at] = i
    m[_MATCHED], m[_POINTER] = np.uint64(length), np.uint64(pointer)


@inline
def _learn_leap(state, history, i, leapt, one):
    """After that decision; if all 32 bytes are as matched, put them down and go on behind them."""
    m, ring = state.memory, history.shape[0] - 1
    cost = _cost(one, BITS, leapt)
    _charge(state.ledger, MIX, cost)
    _charge(state.ledger, EXPERTS, cost)
    state.match_map[0] = adapt(np.int64(state.match_map[0]), leapt, 255)
    if leapt:
        for j in range(i, i + 32):
            new = np.int64(history[np.int64(m[_POINTER]) & ring])
            history[j & ring] = new
            _learn_history(state, history, j, new, new)


@inline
def _raw_block(state, i):
    """Of every 8,192 bytes the first 1,024 show whether modelling pays; if not, the others are coded raw."""
    m, spent = state.memory, np.uint64(state.ledger[MIX])
    if i & 8191 == 0:
        m[_RAW], m[_SPENT] = _0, spent
    elif i & 8191 == 1024:
        m[_RAW] = np.uint64(spent - m[_SPENT] >= np.uint64(8 << 30))
    elif m[_MATCHED] >= np.uint64(32):
        m[_RAW] = _0
    return m[_RAW] != _0


@inline
def _code_raw(state, history, i, coder_state, message, decoding):
    """One byte in eight bits; of the experts only words, lines and matches learn it."""
    at, m = i & (history.shape[0] - 1), state.memory
    if decoding:
        history[at] = decode_target(coder_state, _8)
        decode(coder_state, message, np.uint64(history[at]), _1, _8)
    else:
        encode(coder_state, message, np.uint64(history[at]), _1, _8)
    state.ledger[MIX] += 8 << 20
    state.ledger[EXPERTS] += 8 << 20
    expected = np.int64(history[np.int64(m[_POINTER]) & (history.shape[0] - 1)]) | 256 if m[_MATCHED] > _0 else 0
    _learn_history(state, history, i, np.int64(history[at]), expected)


@heapless
def _code_segment(state, history, start, stop, frequencies, coder_state, message, decoding, numbers):
    ring = history.shape[0] - 1
    i = start
    while i < stop:
        modelled = frequencies.shape[0] > 0
        if not modelled and i & 31 == 0 and i + 32 <= stop and state.memory[_MATCHED] >= _LONG_MATCH:
            one = min(max(np.int64(state.match_map[0]) >> 10, 16), (1 << BITS) - 16)
            if decoding:
                leapt = np.int64(decode_bit(coder_state, message, np.uint64(one), np.uint64(BITS)))
            else:
                leapt, distance = 1, i - np.int64(state.memory[_POINTER])
                for j in range(i, i + 32):
                    leapt &= np.int64(history[j & ring] == history[(j - distance) & ring])
                encode_bit(coder_state, message, np.uint64(one), np.uint64(BITS), np.uint64(leapt))
            _learn_leap(state, history, i, leapt, one)
            if leapt:
                i += 32
                continue
        if not modelled and _raw_block(state, i):
            _code_raw(state, history, i, coder_state, message, decoding)
        else:
            code_byte(state, history, i, frequencies, i - start, coder_state, message, decoding, numbers)
        i += 1
