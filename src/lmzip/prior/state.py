"""What a prior keeps of a predictor's state, as few numbers as possible, and the state rebuilt from them.

A prior is the state after a corpus, pruned: what was hardly used is forgotten, numbers are rounded, and what follows
from others is left out. Pruning is done once, where the prior is made; the archive's two ends both begin from what is
left, so it costs a little ratio and no exactness. A new document begins behind the corpus: words, lines, matches and
attention start anew, while what was learnt stays, the history and the position in it included.

- Experts' slots: those seen at least `SEEN` times. The check, the run, a bit for each node in use; of a node its bit
  history, from which count and probability follow while it is at most four bits long; otherwise a byte more: the count,
  up to 7, and six bits of the probability.
- N-gram rows: those ever learnt, as integers in ±7 with a scale each. Their sums of squares are made smaller, for new
  data may well differ from the corpus: so rows learn faster again.
- Weights of matrices and their moments as they are; their integers are made anew. Matches are found again by walking
  the history.
- Maps that refine the mix: counts of at most `MAP_COUNT`, so that these learn faster again as well.
- All other arrays: the elements that differ from those of a fresh predictor.

Whatever is read is checked against the predictor's own shapes, and every value that could lead a kernel astray against
its range, before it is used: a prior may come from anywhere.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..codec.exact import TINY, round_even
from ..codec.experts import _COUNTS, _LINE, _LINE_ABOVE, _NEXT, _SHORTEST, _fold
from ..codec.kernel import kernel
from ..codec.mixer import _RATE, _WEIGHT

SEEN = 2  # times that a context must have come to be kept
FULL = 31  # bit histories below this are kept bit by bit
ROW_LIMIT = np.float32(7)  # two integers fit a byte
YOUTH = np.float32(2**-6)  # what rows' sums of squares are multiplied by
MAP_COUNT = np.uint32(30)
LARGEST, LARGEST_SQUARE = 2.0**16, 2.0**60  # the language model's numbers come nowhere near; below, nothing overflows

# Arrays that begin anew, that follow from others, and that are packed in a way of their own.
_FRESH = re.compile(r"experts\.(memory|ledger|sampled|errors|systems)|model\.(past|\d+\.(last|keys.*|key_.*|value.*))")
_DERIVED = re.compile(r"experts\.matches|model\..*\.(integers|scale)")
_OWN = ("history", "position", "experts.slots", "model.tables", "learner.squares")


def _full_histories() -> np.ndarray:
    """The nodes, uint32, of bit histories that are kept bit by bit: count and probability follow from the bits."""
    nodes = np.zeros(FULL, np.uint32)
    todo = [(0, 1 << 17, 0)]
    while todo:
        history, p, count = todo.pop()
        nodes[history] = history << 24 | count << 18 | (p ^ 1 << 17)
        if count < 4:
            for bit in (0, 1):
                step = (((bit << 18) - p) * int(_RATE[count])) >> 16
                todo.append((int(_NEXT[2 * history + bit]), p + step, count + 1))
    return nodes


FULL_NODES = _full_histories()
_ONES = np.array([bin(n).count("1") for n in range(1 << 16)], np.uint8)


def pack(state: Any, fresh: Any) -> dict[str, np.ndarray]:
    """The prior that a predictor's state is worth, by name; `fresh` is a predictor of the same header at its beginning.

    The state itself is left as it was, but for tables grown to its position.
    """
    if getattr(state, "experts", None) is not None:
        state.experts.grow(state.position)
    arrays, begun = state.arrays(), fresh.arrays()
    packed = {"position": arrays["position"].copy()}
    if "history" in arrays:
        count = min(state.position, len(state.history))
        packed["history"] = state.take(state.position - count, count)
    for name, array in arrays.items():
        if name == "experts.slots":
            packed |= _pack_slots(array)
        elif name == "model.tables":
            packed |= _pack_rows(array, arrays["learner.squares"])
        elif name not in _OWN and not _FRESH.fullmatch(name) and not _DERIVED.fullmatch(name):
            packed |= _pack_changed(name, array, begun[name])
    return {name: np.ascontiguousarray(array) for name, array in packed.items()}


def restore(state: Any, packed: dict[str, np.ndarray]) -> None:
    """Bring a fresh predictor to where a prior begins. Raises ValueError, also in the midst of it."""
    packed = {name: _read_only(array) for name, array in packed.items()}
    position = packed.pop("position")
    if position.shape != (1,) or position.dtype != np.int64 or not 0 <= position[0] < 1 << 62:
        raise ValueError("its position makes no sense")
    state.arrays()["position"][:] = position
    if hasattr(state, "history"):
        _restore_history(state, packed.pop("history"))
    if getattr(state, "experts", None) is not None:
        _grow_empty(state.experts, state.position)
        memory = state.experts.state.memory
        memory[_LINE] = memory[_LINE_ABOVE] = state.position
        _find_matches(state)
    arrays = state.arrays()
    for name, array in arrays.items():
        if name == "experts.slots":
            _restore_slots(array, packed)
        elif name == "model.tables":
            _restore_rows(array, arrays["learner.squares"], packed)
        elif name not in _OWN and not _FRESH.fullmatch(name) and not _DERIVED.fullmatch(name):
            _restore_changed(name, array, packed)
    if packed:
        raise ValueError(f"nothing here is called {next(iter(packed))}")
    if getattr(state, "model", None) is not None:
        _requantise(state)


# Arrays in general


def _pack_changed(name: str, array: np.ndarray, begun: np.ndarray) -> dict[str, np.ndarray]:
    if name == "experts.apms":
        array = array & ~np.uint32(1023) | np.minimum(array & np.uint32(1023), MAP_COUNT)
    changed = (array != begun).ravel()
    return {f"{name}.changed": np.packbits(changed), f"{name}.values": array.ravel()[changed]}


def _restore_changed(name: str, array: np.ndarray, packed: dict[str, np.ndarray]) -> None:
    flat = array.reshape(-1)
    changed = _bits(packed.pop(f"{name}.changed"), flat.size, name)
    values = packed.pop(f"{name}.values")
    _expect(values, (int(changed.sum()),), array.dtype, name)
    if name == "learner.decays":
        _within(values, 0, 1, name)
    elif name.endswith("square"):
        _within(values, 0, LARGEST_SQUARE, name)
    elif values.dtype.kind == "f":
        _within(values, -LARGEST, LARGEST, name)
    elif name.endswith("weights"):
        _within(values, -int(_WEIGHT), int(_WEIGHT), name)
    elif name == "learner.steps":
        _within(values, 0, 1 << 62, name)
    flat[changed] = values


# History


def _restore_history(state: Any, history: np.ndarray) -> None:
    count = min(state.position, len(state.history))
    _expect(history, (count,), np.dtype(np.uint8), "history")
    state.put(state.position - count, history)


def _grow_empty(experts: Any, position: int) -> None:
    """Let tables be as large as at this position. Nothing is in them yet, so nothing is copied, no memory touched."""
    whole, nothing = experts.state, np.zeros(0, np.uint32)
    experts.state = whole._replace(slots=nothing, matches=nothing)
    experts.grow(position)
    experts.state = whole


def _find_matches(state: Any) -> None:
    """As if every byte of the history had been learnt, last: where each string of bytes was seen last."""
    count = min(state.position, 3 * len(state.history) // 4)
    if count >= _SHORTEST:
        matches = state.experts.arrays()["matches"]
        _index_history(matches, state.history, state.position - count, state.position)


@kernel
def _index_history(matches, history, start, stop):
    mask, ring = np.uint64(matches.shape[0] - 1), history.shape[0] - 1
    recent = np.uint64(0)
    for i in range(start, stop):
        recent = (recent << np.uint64(8) | np.uint64(history[i & ring])) & np.uint64(0xFFFFFFFFFFFF)
        if i + 1 - start >= 6:
            matches[np.int64(_fold(recent, np.uint64(0)) & mask)] = np.uint32((i + 1) & 0xFFFFFFFF)


# Slots of the experts


def _pack_slots(slots: np.ndarray) -> dict[str, np.ndarray]:
    table = slots.reshape(-1, 16)
    kept = (table[:, 1] >> np.uint32(18) & np.uint32(63)) >= SEEN
    sizes = _measure_slots(slots, kept)
    named = {
        "check": np.zeros(sizes[0], np.uint16),
        "nodes": np.zeros(sizes[0], np.uint16),
        "runs": np.zeros(sizes[1], np.uint16),
        "histories": np.zeros(sizes[2], np.uint8),
        "odds": np.zeros(sizes[3], np.uint8),
    }
    _take_slots(slots, kept, *named.values())
    return {"experts.slots.kept": np.packbits(kept)} | {f"experts.slots.{name}": a for name, a in named.items()}


@kernel
def _measure_slots(slots, kept):
    """How many slots, runs, nodes and long histories there are."""
    n, r, m, q = 0, 0, 0, 0
    for i in range(kept.shape[0]):
        if kept[i]:
            n += 1
            r += slots[16 * i] & np.uint32(0xFFFF) != 0
            for j in range(16 * i + 1, 16 * i + 16):
                m += slots[j] != 0
                q += np.int64(slots[j]) >> 24 >= FULL
    return n, r, m, q


@kernel
def _take_slots(slots, kept, check, nodes, runs, histories, odds):
    n, r, m, q = 0, 0, 0, 0
    for i in range(kept.shape[0]):
        if not kept[i]:
            continue
        head, mask = np.int64(slots[16 * i]), 0
        check[n] = head >> 16
        if head & 0xFFFF:
            runs[r] = head & 0xFFFF
            r, mask = r + 1, 1
        for j in range(1, 16):
            node = np.int64(slots[16 * i + j])
            if node != 0:
                mask |= 1 << j
                histories[m] = node >> 24
                m += 1
                if node >> 24 >= FULL:
                    odds[q] = min(max((node >> 18 & 63) - 4, 0), 3) << 6 | ((node & 0x3FFFF) ^ 0x20000) >> 12
                    q += 1
        nodes[n] = mask
        n += 1


def _restore_slots(slots: np.ndarray, packed: dict[str, np.ndarray]) -> None:
    kept = _bits(packed.pop("experts.slots.kept"), len(slots) // 16, "experts.slots")
    names = {"check": np.uint16, "nodes": np.uint16, "runs": np.uint16, "histories": np.uint8, "odds": np.uint8}
    check, nodes, runs, histories, odds = (packed.pop(f"experts.slots.{name}") for name in names)
    count = int(kept.sum())
    for array, kind, size in zip((check, nodes), names.values(), (count, count)):
        _expect(array, (size,), np.dtype(kind), "experts.slots")
    in_use = int(_ONES[nodes].sum(dtype=np.int64))
    with_run = int((nodes & np.uint16(1)).sum(dtype=np.int64))
    _expect(runs, (with_run,), np.dtype(np.uint16), "experts.slots.runs")
    _expect(histories, (in_use - with_run,), np.dtype(np.uint8), "experts.slots.histories")
    _expect(odds, (int((histories >= FULL).sum()),), np.dtype(np.uint8), "experts.slots.odds")
    if len(histories) and int(histories.max()) >= len(_COUNTS):
        raise ValueError("it has a bit history that does not exist")
    _put_slots(slots, kept, check, nodes, runs, histories, odds, FULL_NODES)


@kernel
def _put_slots(slots, kept, check, nodes, runs, histories, odds, full):
    n, r, m, q = 0, 0, 0, 0
    for i in range(kept.shape[0]):
        if not kept[i]:
            continue
        head, mask = np.int64(check[n]) << 16, np.int64(nodes[n])
        if mask & 1:
            head |= np.int64(runs[r])
            r += 1
        slots[16 * i] = head
        for j in range(1, 16):
            if mask >> j & 1:
                history = np.int64(histories[m])
                m += 1
                if history < FULL:
                    slots[16 * i + j] = full[history]
                else:
                    p = (np.int64(odds[q]) & 63) << 12 | 1 << 11
                    slots[16 * i + j] = history << 24 | (np.int64(odds[q]) >> 6) + 4 << 18 | (p ^ 0x20000)
                    q += 1
        n += 1


# Rows of the language model


def _pack_rows(tables: np.ndarray, squares: np.ndarray) -> dict[str, np.ndarray]:
    rows, learnt = tables.reshape(-1, tables.shape[-1]), squares.ravel() > 0
    count = int(learnt.sum())
    scale, integers = np.zeros(count, np.float32), np.zeros((count, rows.shape[1] // 2), np.uint8)
    _take_rows(rows, learnt, scale, integers)
    upper = (squares.ravel()[learnt] * YOUTH).view(np.uint32) >> np.uint32(16)
    return {
        "model.tables.kept": np.packbits(learnt),
        "model.tables.integers": integers,
        "model.tables.scale": scale,
        "learner.squares.upper": upper.astype(np.uint16),
    }


@kernel
def _take_rows(rows, learnt, scale, integers):
    """Integers in 1 ... 15, two a byte; 8 is zero."""
    n = 0
    for i in range(rows.shape[0]):
        if learnt[i]:
            row, most = rows[i], TINY
            for k in range(row.shape[0]):
                most = max(most, abs(row[k]))
            scale[n] = most / ROW_LIMIT
            inverse = ROW_LIMIT / most
            for k in range(0, row.shape[0], 2):
                low, high = round_even(row[k] * inverse), round_even(row[k + 1] * inverse)
                integers[n, k >> 1] = np.int64(low) + 8 | np.int64(high) + 8 << 4
            n += 1


def _restore_rows(tables: np.ndarray, squares: np.ndarray, packed: dict[str, np.ndarray]) -> None:
    rows = tables.reshape(-1, tables.shape[-1])
    learnt = _bits(packed.pop("model.tables.kept"), len(rows), "model.tables")
    count = int(learnt.sum())
    integers, scale = packed.pop("model.tables.integers"), packed.pop("model.tables.scale")
    upper = packed.pop("learner.squares.upper")
    _expect(integers, (count, rows.shape[1] // 2), np.dtype(np.uint8), "model.tables")
    _expect(scale, (count,), np.dtype(np.float32), "model.tables.scale")
    _expect(upper, (count,), np.dtype(np.uint16), "learner.squares")
    _within(scale, 0, LARGEST, "model.tables.scale")
    sums = (upper.astype(np.uint32) << np.uint32(16)).view(np.float32)
    _within(sums, 0, LARGEST_SQUARE, "learner.squares")
    _put_rows(rows, learnt, scale, integers)
    squares.reshape(-1)[learnt] = sums


@kernel
def _put_rows(rows, learnt, scale, integers):
    n = 0
    for i in range(rows.shape[0]):
        if learnt[i]:
            row, s = rows[i], scale[n]
            for k in range(integers.shape[1]):
                both = np.int32(integers[n, k])
                row[2 * k] = np.float32((both & np.int32(15)) - np.int32(8)) * s
                row[2 * k + 1] = np.float32((both >> np.int32(4)) - np.int32(8)) * s
            n += 1


def _requantise(state: Any) -> None:
    """The integers of every matrix, from its weights."""
    from ..codec.model import quantise_columns  # start-up: experts alone need none of its kernels

    net = state.model.net
    for matrix in [net.head] + [m for block in net.blocks for m in (block.qkv, block.out, block.up, block.down)]:
        quantise_columns(matrix, np.maximum(abs(matrix.weight).max(0), TINY))


# Checks


def _bits(packed: np.ndarray, count: int, name: str) -> np.ndarray:
    """bool[count]."""
    _expect(packed, (-(-count // 8),), np.dtype(np.uint8), name)
    return np.unpackbits(packed, count=count).view(bool)


def _read_only(array: np.ndarray) -> np.ndarray:
    """A view that can't be written to, as some arrays of a file are anyhow: kernels are compiled for one kind."""
    view = array.view()
    view.flags.writeable = False
    return view


def _expect(array: np.ndarray, shape: tuple[int, ...], kind: np.dtype, name: str) -> None:
    if array.shape != shape or array.dtype != kind:
        actual, wanted = f"{array.dtype}{list(array.shape)}", f"{kind}{list(shape)}"
        raise ValueError(f"{name} is {actual}, not the {wanted} that its settings mean")


def _within(array: np.ndarray, low: float, high: float, name: str) -> None:
    if not bool(((array >= low) & (array <= high)).all()):  # false for NaN as well
        raise ValueError(f"{name} has a number out of range")
