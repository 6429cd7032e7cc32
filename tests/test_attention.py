"""The kernels of pretrained models against plain numpy: products of integers, heads, and attention over a memory."""

from __future__ import annotations

import numpy as np
import pytest

from lmzip.pretrained import attention, layers, product
from lmzip.pretrained.attention import BLOCK, FORGOTTEN, ROWS_AHEAD

f4 = np.float32
SINK = BLOCK
POSITIONS = 700
KINDS = {np.int8: (8191, 127), np.int16: (2047, 2047)}  # of a memory: limits of queries, of keys and values
HEADS = [(6, 2, 24), (4, 4, 16), (8, 1, 40), (30, 1, 10), (3, 3, 2)]  # heads, heads of keys and values, size


def locked(*arrays: np.ndarray) -> list[np.ndarray]:
    """Arrays that can't be written to, as those of a model: kernels are compiled for these."""
    for array in arrays:
        array.flags.writeable = False
    return list(arrays)


# Products of integers


def multiplied(q: np.ndarray, weights: list[np.ndarray], random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What product.multiply gives, and what the sums in int64 and float32 of numpy give, float32[rows, outputs].

    q: int16[rows, inputs]; weights: int8[outputs, inputs] of each limb, the highest first.
    """
    (rows, inputs), outputs = q.shape, len(weights[0])
    whole = np.zeros((rows, inputs + inputs % 2), np.int16)
    whole[:, :inputs] = q
    scale, column_scale, bias = (random.standard_normal(n, f4) for n in (rows, outputs, outputs))
    sums, totals = (np.zeros((product.ROWS, product.LANES), kind) for kind in (np.int32, np.int64))
    y = np.full((rows, outputs), np.nan, f4)
    panels = np.stack([product.panels(limb) for limb in weights])
    product.multiply(whole, scale, *locked(panels, column_scale, bias), sums, totals, y)
    exact = np.zeros((rows, outputs), np.int64)
    for limb in weights:
        exact = exact * 256 + q.astype(np.int64) @ limb.T.astype(np.int64)
    return y, exact.astype(f4) * (scale[:, None] * column_scale) + bias


@pytest.mark.parametrize("limbs", [1, 2])
@pytest.mark.parametrize("inputs", [1, 2, 31, 576, 2048, 2049, 5000])
def test_products_are_sums_of_integers_times_scales(inputs, limbs):
    random = np.random.default_rng(inputs)
    for rows in (*range(1, 8), 130):
        for outputs in (1, 16, 33):
            q = random.integers(-8191, 8192, (rows, inputs)).astype(np.int16)
            weights = [random.integers(-127, 128, (outputs, inputs)).astype(np.int8) for _ in range(limbs)]
            y, expected = multiplied(q, weights, random)
            assert np.array_equal(y, expected)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("inputs", "limbs"), [(2048, 1), (2048, 2), (4096, 1), (6001, 2)])
def test_the_largest_operands_do_not_overflow(sign, inputs, limbs):
    random = np.random.default_rng(0)
    q = np.full((7, inputs), 8191, np.int16)
    y, expected = multiplied(q, [np.full((17, inputs), sign * 127, np.int8)] * limbs, random)
    assert np.array_equal(y, expected)


def test_panels_hold_every_weight_once():
    weight = np.arange(1, 5 * 7 + 1, dtype=np.int8).reshape(5, 7)
    panels = product.panels(weight)
    assert panels.shape == (1, 4, product.LANES, 2)
    back = panels.transpose(0, 2, 1, 3).reshape(product.LANES, 8)
    assert np.array_equal(back[:5, :7], weight) and not back[5:].any() and not back[:, 7:].any()


# Heads


def quantised(x: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Integers and scale of each row, float32[…, n], as the contract says."""
    most = np.maximum(np.abs(x).max(-1), f4(1e-20))
    return np.rint(x * (f4(limit) / most)[..., None]).astype(np.int64), most / f4(limit)


def turned(rows: np.ndarray, start: int, cosines: np.ndarray, sines: np.ndarray) -> np.ndarray:
    """Heads float32[rows, heads, size] turned by the positions start …"""
    half, out = cosines.shape[1], rows.copy()
    c, s = (table[start : start + len(rows), None] for table in (cosines, sines))
    left, right = rows[..., :half], rows[..., half : 2 * half]
    out[..., :half], out[..., half : 2 * half] = left * c - right * s, right * c + left * s
    return out


class Rows:
    """Random rows of queries, keys and values at POSITIONS positions, and rotations of half of a head's dimensions."""

    def __init__(self, heads: int, shared: int, size: int, kind: type) -> None:
        random = np.random.default_rng(heads * size)
        self.heads, self.shared, self.size, self.kind = heads, shared, size, kind
        self.qkv = random.standard_normal((POSITIONS, (heads + 2 * shared) * size), f4)
        self.qkv[:5, heads * size : (heads + shared) * size] *= 3  # an attention sink
        angles = random.random((POSITIONS, size // 4)) * 6
        self.turns = locked(np.cos(angles).astype(f4), np.sin(angles).astype(f4))
        self.sharpness = f4(1.5) / np.sqrt(f4(size))

    @property
    def parts(self) -> list[np.ndarray]:
        """Queries, keys and values, float32[positions, heads, size]; the first two turned."""
        cut = np.cumsum([self.heads, self.shared]) * self.size
        parts = [part.reshape(POSITIONS, -1, self.size) for part in np.split(self.qkv, cut, 1)]
        return [turned(parts[0], 0, *self.turns), turned(parts[1], 0, *self.turns), parts[2]]

    def memory(self, reach: int) -> attention.Memory:
        return attention.memory(self.shared, self.size, reach, self.kind)

    def taken(self, start: int, qkv: np.ndarray, memory: attention.Memory) -> tuple[np.ndarray, np.ndarray]:
        """Queries and their scales of rows at positions start …, whose keys and values are now remembered."""
        count = len(qkv) * self.heads // self.shared
        queries, scales = np.zeros((self.shared, count, self.size), np.int16), np.zeros((self.shared, count), f4)
        scratch = np.zeros(self.size, np.int16)
        attention.take_heads(
            qkv.copy(), self.heads, start, *self.turns, self.sharpness, scratch, queries, scales, memory
        )  # fmt: skip
        return queries, scales

    def attended(self, pieces: list[int], reach: int, sink: int, guess: int = 0) -> np.ndarray:
        """Attention in pieces of these sizes; before each, `guess` wrong rows are put down where it begins."""
        memory, group = self.memory(reach), self.heads // self.shared
        work = attention.work(attention.slots(reach), group, self.size)
        y, start = np.full((POSITIONS, self.heads * self.size), np.nan, f4), 0
        for size in pieces:
            self.taken(start, -self.qkv[start : start + guess], memory)
            queries, scales = self.taken(start, self.qkv[start : start + size], memory)
            attention.attend(queries, scales, group, start, reach, sink, memory, work, y[start : start + size])
            start += size
        assert start == POSITIONS
        return y


def in_pieces(size: int) -> list[int]:
    return [size] * (POSITIONS // size) + [POSITIONS % size] * (POSITIONS % size > 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("heads", "shared", "size"), HEADS)
def test_heads_are_turned_and_put_down_as_numpy_does(heads, shared, size, kind):
    rows, (query_limit, limit), group, start, count = (
        Rows(heads, shared, size, kind),
        KINDS[kind],
        heads // shared,
        60,
        9,
    )
    memory = rows.memory(POSITIONS)
    queries, scales = rows.taken(start, rows.qkv[start : start + count], memory)
    q, k, v = (part[start : start + count] for part in rows.parts)
    integers, scale = quantised(q, query_limit)
    by_key_head = integers.reshape(count, shared, group, size).swapaxes(0, 1).reshape(queries.shape)
    assert np.array_equal(queries, by_key_head)
    expected = (scale * rows.sharpness).reshape(count, shared, group).swapaxes(0, 1).reshape(scales.shape)
    assert np.array_equal(scales, expected)
    keys, values = (np.zeros((POSITIONS, shared, size), np.int64) for _ in range(2))
    key_scales, value_scales = (np.zeros((POSITIONS, shared), f4) for _ in range(2))
    for position in range(start, start + count):
        slot, place = position // BLOCK, position % BLOCK  # as none was used twice
        lane, panel = place % product.LANES, place // product.LANES
        keys[position] = memory.keys[slot, :, panel, :, lane].reshape(shared, size)
        along = memory.values[slot, :, :, place // 2, :, place % 2].reshape(shared, -1)
        values[position], rest = along[:, :size], along[:, size:]
        assert not rest.any()
        key_scales[position], value_scales[position] = (
            memory.key_scales[slot, :, place],
            memory.value_scales[slot, :, place],
        )
    for x, put, its_scales in ((k, keys, key_scales), (v, values, value_scales)):
        integers, scale = quantised(x, limit)
        assert np.array_equal(put[start : start + count], integers)
        assert np.array_equal(its_scales[start : start + count], scale)


@pytest.mark.parametrize("size", [2, 10, 16, 24, 40, 128])
def test_heads_are_normalised_as_numpy_does(size):
    random, heads, epsilon = np.random.default_rng(size), 3, f4(1e-6)
    qkv, (gain,) = random.standard_normal((5, 5 * size), f4), locked(random.standard_normal(size, f4))
    expected = qkv.copy()
    part = expected[:, size : (1 + heads) * size].reshape(5, heads, size)
    squares = np.zeros((5, heads, -(-size // 16) * 16), f4)
    squares[..., :size] = part * part
    lanes = np.zeros((5, heads, 16), f4)
    for begin in range(0, squares.shape[2], 16):
        lanes = lanes + squares[..., begin : begin + 16]
    while lanes.shape[2] > 1:
        half = lanes.shape[2] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    expected[:, size : (1 + heads) * size] = (part * (f4(1) / np.sqrt(lanes / f4(size) + epsilon)) * gain).reshape(
        5, -1
    )
    layers.normalise_heads(qkv, size, (1 + heads) * size, gain, epsilon, np.zeros(16, f4))
    assert np.array_equal(qkv, expected)


# Attention


class Textbook:
    """Attention by softmax in float64; of integers times scales if their limits are given."""

    def __init__(self, rows: Rows, limits: tuple[int, int] | None) -> None:
        parts = []
        for part, which in zip(rows.parts, (0, 1, 1)):
            integers, scale = quantised(part, limits[which]) if limits else (part, np.ones(part.shape[:2]))
            x = integers * scale[..., None].astype(np.float64)
            parts.append(np.repeat(x, rows.heads // x.shape[1], 1).swapaxes(0, 1))
        q, k, self.values = parts
        scores = q @ k.swapaxes(1, 2) * rows.sharpness
        self.exponentials = np.exp(scores - scores.max(-1, keepdims=True))

    def attended(self, reach: int, sink: int) -> np.ndarray:
        """float64[positions, all heads]"""
        query, key = np.arange(POSITIONS)[:, None], np.arange(POSITIONS)
        weights = self.exponentials * ((key <= query) & ((key > query - reach) | (key < sink)))
        y = weights @ self.values / weights.sum(-1, keepdims=True)
        return y.swapaxes(0, 1).reshape(POSITIONS, -1)


CASES = [  # what each position sees, how many first ones all see: far more positions than there are slots for
    (100, SINK), (100, 0), (64, 5), (1, 0), (7, SINK), (POSITIONS, SINK), (300, 0),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("heads", "shared", "size"), HEADS)
def test_attention_is_that_of_the_textbook(heads, shared, size, kind):
    """Parts of the largest value: within 1/2,000 of the same integers, as weights have 13 bits, and near the floats."""
    rows = Rows(heads, shared, size, kind)
    largest, same, floats = np.abs(rows.parts[2]).max(), Textbook(rows, KINDS[kind]), Textbook(rows, None)
    near = 0.03 if kind is np.int8 else 0.004  # keys and values of 8 bits, of 12
    for reach, sink in CASES:
        y = rows.attended(in_pieces(ROWS_AHEAD), reach, sink)
        assert np.abs(y - same.attended(reach, sink)).max() < largest / 2000
        assert np.abs(y - floats.attended(reach, sink)).max() < largest * near


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("heads", "shared", "size"), HEADS)
def test_it_changes_no_bit_how_many_rows_are_computed_at_once(heads, shared, size, kind):
    rows = Rows(heads, shared, size, kind)
    for reach, sink in CASES:
        if reach < POSITIONS:
            assert attention.slots(reach) * BLOCK < POSITIONS + BLOCK  # slots are taken more than once
        at_once = rows.attended(in_pieces(ROWS_AHEAD), reach, sink)
        assert np.array_equal(rows.attended(in_pieces(1), reach, sink), at_once)
        assert np.array_equal(rows.attended(in_pieces(7), reach, sink), at_once)
        assert np.array_equal(rows.attended(in_pieces(7), reach, sink, guess=FORGOTTEN), at_once)
