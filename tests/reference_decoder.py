"""A second decoder of `.lmz` files, written from docs/format.md and docs/predictor.md: Python's standard library only.

python tests/reference_decoder.py FILE.lmz > OUT

It tests the documents and the arithmetic with none of the libraries that the codec stands on, so every rounding is
explicit. A float here always holds a float32 value. Python computes + − × ÷ √ in float64, and `f4` rounds the result to
float32. Rounding twice is rounding once: with 53 ≥ 2·24 + 2 bits between, the first result is never so near the middle
of two float32 values that the second goes another way (Figueroa 1995). Products of integers are Python's own.
"""

from __future__ import annotations

import hashlib
import math
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache as cached
from operator import add, mul, sub
from types import SimpleNamespace

MASK64 = (1 << 64) - 1
DIGESTED = 1 << 23  # arrays of more bytes are no part of the state digest


# Container: docs/format.md, sections 1 to 5


class Refused(ValueError):
    """Not an archive that this decoder can rebuild the data from."""


def digest(data: bytes, size: int) -> bytes:
    return hashlib.blake2b(data, digest_size=size).digest()


class Cursor:
    """Takes a message apart; `check` covers what was taken since the last one."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.checked = data, 0, 0

    def take(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if len(part) < count:
            raise Refused("the archive ends early")
        self.at += count
        return part

    def number(self, low: int, high: int) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if not low <= value <= high or (byte == 0 and shift > 7):
            raise Refused("a number is out of bounds")
        return value

    def check(self, key: bytes = b"") -> None:
        expected = digest(key + self.data[self.checked : self.at], 4)
        if self.take(4) != expected:
            raise Refused("damaged")
        self.checked = self.at

    def fields(self, **limits: tuple[int, int]) -> SimpleNamespace:
        return SimpleNamespace(**{name: self.number(*bounds) for name, bounds in limits.items()})


def read_header(cursor: Cursor) -> SimpleNamespace:
    """Section 3."""
    if cursor.take(4) != b"\x8aLMZ" or cursor.number(0, 1 << 62) != 0:
        raise Refused("another format")
    size = cursor.number(1, 1024)
    end = cursor.at + size
    header = cursor.fields(
        seed=(0, (1 << 24) - 1), streams=(1, 1024), segment=(1, 4096), frame_size=(1, 1 << 28), replay=(0, 16),
        flags=(0, 15),
    )  # fmt: skip
    header.model = header.experts = None
    if header.flags & 2:
        header.model = cursor.fields(
            layers=(1, 128), width=(16, 512), heads=(1, 128), hidden=(16, 2048), window=(4, 1024), table_bits=(8, 24)
        )
    if header.flags & 4:
        header.experts = cursor.fields(slot_bits=(10, 26), contexts=(1, (1 << 31) - 1))
    if header.flags & 8 or cursor.at != end or header.frame_size % (header.streams * header.segment):
        raise Refused("settings that this decoder does not know")
    cursor.check()
    return header


def decode(archive: bytes) -> bytes:
    """The original; every digest is compared, those of the predictor's state as well."""
    cursor = Cursor(archive)
    header = read_header(cursor)
    key = digest(archive[: cursor.at], 16)
    original, leaves, sizes, nlls = b"", b"", [], 0
    predictor = Predictor(header)
    while kind := cursor.number(0, 3):
        start = cursor.at - 1
        number, length = cursor.number(0, 1 << 62), cursor.number(1, header.frame_size)
        data_digest, size = cursor.take(8), 1 if kind == 3 else length
        nll = size << 23
        if kind == 1:
            size, nll = cursor.number(0, 32 * length + 64), cursor.number(0, length << 28)
            state_digest, transcript_digest = cursor.take(8), cursor.take(4)
        cursor.check(key)
        payload = cursor.take(size)
        cursor.checked = cursor.at
        if number != len(sizes) or len(original) != number * header.frame_size:
            raise Refused("a frame is out of place")
        if number and header.flags & 1:
            predictor = Predictor(header)
        if kind == 1:
            if digest(payload, 4) != transcript_digest:
                raise Refused("damaged")
            data, found = predictor.decode(payload, length)
            if (found, predictor.digest()) != (nll, state_digest):
                raise Refused(f"arithmetic differs in frame {number}")
        else:
            data = payload * length if kind == 3 else payload
            predictor.skip(data)
        leaf = digest(data, 32)
        if leaf[:8] != data_digest:
            raise Refused(f"frame {number} does not come back")
        original, leaves, nlls = original + data, leaves + leaf, nlls + nll
        sizes.append(cursor.at - start)
    most = 1 << 70
    totals = [cursor.number(0, most) for _ in range(1 + len(sizes) + 2)]
    if totals != [len(sizes), *sizes, len(original), nlls] or cursor.take(16) != digest(leaves, 16):
        raise Refused("the totals differ")
    start = cursor.checked
    code_size, code_digest = cursor.number(0, 1 << 20), cursor.take(8)
    cursor.check(key)
    if int.from_bytes(cursor.take(4), "little") != cursor.at - start:
        raise Refused("the footer's length is wrong")
    if digest(cursor.take(code_size), 8) != code_digest or cursor.at != len(archive):
        raise Refused("damaged behind the message")
    return original


# Range decoder: docs/predictor.md, section 2


class RangeDecoder:
    """Takes symbols [start, start + size) of [0, 2^bits) off a transcript."""

    def __init__(self, transcript: bytes) -> None:
        self.transcript, self.at, self.width = transcript, 8, MASK64
        self.code = int.from_bytes(transcript[:8].ljust(8, b"\0"), "big")

    def target(self, bits: int) -> int:
        return min(self.code // (self.width >> bits), (1 << bits) - 1)

    def take(self, start: int, size: int, bits: int) -> None:
        unit = self.width >> bits
        self.code, self.width = self.code - start * unit & MASK64, size * unit
        while self.width < 1 << 56:
            byte = self.transcript[self.at] if self.at < len(self.transcript) else 0
            self.code, self.width, self.at = (self.code << 8 | byte) & MASK64, self.width << 8, self.at + 1

    def bit(self, one: int, bits: int) -> int:
        y = int(self.code < (self.width >> bits) * one)
        self.take(0 if y else one, one if y else (1 << bits) - one, bits)
        return y

    def symbol(self, frequencies: Sequence[int]) -> int:
        """One of 256 bytes, whose frequencies sum to 2^24."""
        target, start, byte = self.target(24), 0, 0
        while start + frequencies[byte] <= target:
            start += frequencies[byte]
            byte += 1
        self.take(start, frequencies[byte], 24)
        return byte


def _log2_table() -> list[int]:
    table = []
    for i in range(1024):
        x, digits = (1024 + i) << 50, 0
        for _ in range(32):
            x = x * x >> 60
            digits = digits << 1 | x >> 61
            x >>= x >> 61
        table.append(digits)
    return [*table, 1 << 32]


LOG2 = _log2_table()


def log2(n: int) -> int:
    """log2 of 1 ≤ n ≤ 2^32 in units of 2^-32."""
    exponent = n.bit_length() - 1
    mantissa = n << (32 - exponent)
    i, rest = mantissa >> 22 & 1023, mantissa & ((1 << 22) - 1)
    return (exponent << 32) + LOG2[i] + ((LOG2[i + 1] - LOG2[i]) * rest >> 22)


def code_length(size: int, bits: int) -> int:
    """-log2(size / 2^bits) in units of 2^-20."""
    return ((bits << 32) - log2(size) + (1 << 11)) >> 12


# Numbers: docs/predictor.md, section 3


@cached
def _layout(kind: str, count: int) -> struct.Struct:
    return struct.Struct(f"<{count}{kind}")


def f4(values: Iterable[float]) -> tuple[float, ...]:
    """Each rounded to float32; overflow is an error."""
    values = tuple(values)
    layout = _layout("f", len(values))
    return layout.unpack(layout.pack(*values))


def one(value: float) -> float:
    """Rounded to float32."""
    return f4((value,))[0]


ZERO, ONE, TINY = 0.0, 1.0, one(1e-20)
FIRST, SECOND = 127, 64
LOG2E = one(5909.278887481194)


def scaled(factor: float, row: Iterable[float]) -> tuple[float, ...]:
    return f4([factor * v for v in row])


def root(value: float) -> float:
    return one(math.sqrt(value))


def halves(row: Sequence[float]) -> float:
    """The sum of 2^n numbers, each half added to the other."""
    while len(row) > 1:
        half = len(row) // 2
        row = f4(map(add, row[:half], row[half:]))
    return row[0]


def weighted_rows(weights: Sequence[float], rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Σ weight · row, four rows at a time."""
    y: Sequence[float] = (ZERO,) * len(rows[0])
    for k in range(0, len(weights), 4):
        p, q, r, s = (scaled(weights[k + i], rows[k + i]) for i in range(4))
        y = f4(map(add, y, f4(map(add, f4(map(add, p, q)), f4(map(add, r, s))))))
    return tuple(y)


def quantise(row: Sequence[float], limit: int) -> tuple[list[int], float]:
    """Integers in ±limit and their scale."""
    most = max(TINY, max(map(abs, row)))
    inverse = one(limit / most)
    return [round(v) for v in scaled(inverse, row)], one(most / limit)  # round() rounds halves to even


def quantise_columns(rows: Sequence[Sequence[float]]) -> tuple[list[list[int]], tuple[float, ...]]:
    """Each column as integers in ±64, and the scales."""
    most = [max(TINY, *map(abs, column)) for column in zip(*rows)]
    inverse = f4([SECOND / m for m in most])
    return [[round(v) for v in f4(map(mul, row, inverse))] for row in rows], f4([m / SECOND for m in most])


def inverse_rms(integers: Sequence[int], scale: float) -> float:
    mean = one(one(sum(map(mul, integers, integers))) / len(integers))
    return one(ONE / root(one(one(one(scale * scale) * mean) + one(1e-6))))


def _exp2_table() -> list[int]:
    roots = [1 << 61]  # 2^-1, 2^-1/2, 2^-1/4, … in units of 2^-62
    while len(roots) <= 12:
        roots.append(math.isqrt(roots[-1] << 62))
    table = []
    for i in range(4096):
        value = 1 << 62
        for bit in range(12):
            if i >> bit & 1:
                value = value * roots[12 - bit] >> 62
        table.append((value + (1 << 37)) >> 38)
    return table


EXP2 = _exp2_table()


def exponentials(row: Sequence[float]) -> list[int]:
    """2^24 · exp(x − max x)."""
    most = max(row)
    distances = scaled(LOG2E, f4([most - v for v in row]))
    steps = [round(min(distance, 25.0 * 4096)) for distance in distances]
    return [EXP2[step & 4095] >> (step >> 12) for step in steps]


def frequencies(logits: Sequence[float]) -> list[int]:
    """Softmax as 256 positive integers that sum to 2^24."""
    e = exponentials(logits)
    share = (((1 << 24) - len(e)) << 28) // sum(e)
    f = [(v * share >> 28) + 1 for v in e]
    f[e.index(max(e))] += (1 << 24) - sum(f)
    return f


def words(stream: int, start: int, count: int) -> Iterator[int]:
    """Random words."""
    for i in range(start, start + count):
        z = (i + (stream << 32)) * 0x9E3779B97F4A7C15 & MASK64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK64
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK64
        yield z ^ z >> 31


def normal(stream: int, rows: int, columns: int, deviation: float) -> list[tuple[float, ...]]:
    """Nearly normal numbers."""
    factor = one(one(deviation) * one(1 / 37837.2266))
    sums = [
        sum(word >> shift & 0xFFFF for shift in (0, 16, 32, 48)) - 131070 for word in words(stream, 0, rows * columns)
    ]
    return [scaled(factor, sums[k : k + columns]) for k in range(0, rows * columns, columns)]


# Products of integers. A row of them is one large integer of 32-bit lanes, Σ v[n] · 2^(32 n), so that a sum of
# multiples of rows is a sum of multiples of large integers: exact, and quick enough in pure Python.


@cached
def _tops(count: int) -> int:
    return sum(1 << (32 * n + 31) for n in range(count))


def lanes(row: Sequence[int]) -> int:
    tops = _tops(len(row))
    return (int.from_bytes(_layout("i", len(row)).pack(*row), "little") ^ tops) - tops


def multiply(x: Iterable[int], rows: Iterable[int], count: int) -> tuple[int, ...]:
    """Σ x[k] · rows[k], rows of `count` lanes."""
    tops = _tops(count)
    total = (sum(map(mul, x, rows)) + tops) ^ tops
    return _layout("i", count).unpack(total.to_bytes(4 * count, "little"))


# The language model: docs/predictor.md, sections 4 and 5


class Matrix:
    """A weight matrix, rows of inputs; its integers in lanes along both directions."""

    def __init__(self, weight: list[tuple[float, ...]]) -> None:
        self.weight = weight
        self.mean = [(ZERO,) * len(weight[0]) for _ in weight]
        self.square = list(self.mean)
        self.round()

    def round(self) -> None:
        self.integers, self.scale = quantise_columns(self.weight)
        self.rows = [lanes(row) for row in self.integers]
        self.columns = [lanes(column) for column in zip(*self.integers)]

    def forward(self, x: Sequence[int], scale: float) -> tuple[float, ...]:
        """x · W, turned back by the scales."""
        y = multiply(x, self.rows, len(self.scale))
        return f4(map(mul, y, scaled(scale, self.scale)))

    def backward(self, x: Sequence[Sequence[int]], scales: Sequence[float], g: Sequence[Sequence[float]], rates):
        """Step by the gradients g of x · W; returns those of x. A row each for every position."""
        inputs, outputs = len(self.weight), len(self.scale)
        dx = []
        for row in g:
            q, scale = quantise(f4(map(mul, row, self.scale)), FIRST)
            dx.append(scaled(scale, multiply(q, self.columns, inputs)))
        shares = [scaled(s, row) for s, row in zip(scales, g)]
        most = [max(TINY, *map(abs, column)) for column in zip(*shares)]
        inverse = f4([FIRST / m for m in most])
        by_column = [[round(v) for v in f4(map(mul, row, inverse))] for row in shares]
        rows = [lanes(row) for row in by_column]
        column_scale = f4([m / FIRST for m in most])
        for k, column in enumerate(zip(*x)):
            gradient = f4(map(mul, multiply(column, rows, outputs), column_scale))
            self.weight[k], self.mean[k], self.square[k] = adam(
                self.weight[k], self.mean[k], self.square[k], gradient, rates
            )
        self.round()
        return dx


def adam(w, m, v, gradient, rates):
    """One step of a row."""
    rate, epsilon = rates
    kept, new, kept_square, new_square = map(one, (0.9, 0.1, 0.99, 0.01))
    a = f4(map(add, scaled(kept, m), scaled(new, gradient)))
    a = [ZERO if abs(x) < TINY else x for x in a]
    squares = f4([s + TINY for s in scaled(new_square, f4(map(mul, gradient, gradient)))])
    b = f4(map(add, scaled(kept_square, v), squares))
    divisors = f4([r + epsilon for r in f4(map(math.sqrt, b))])
    steps = f4([x / d for x, d in zip(scaled(rate, a), divisors)])
    return f4(map(sub, w, steps)), tuple(a), b


class Cache:
    """What a block remembers of one stream: h of the last position; keys and values, the newest last."""

    def __init__(self, model: SimpleNamespace) -> None:
        self.last = (ZERO,) * model.width
        size = model.width // model.heads
        self.heads = [
            SimpleNamespace(
                keys=[[0] * size] * model.window, key_scale=[ZERO] * model.window,
                values=[[0] * size] * model.window, value_scale=[ZERO] * model.window,
            )
            for _ in range(model.heads)
        ]  # fmt: skip

    def advance(self, count: int, last: tuple[float, ...]) -> None:
        self.last = last
        for head in self.heads:
            for rows in vars(head).values():
                del rows[:count]


class LanguageModel:
    """State of the model and its optimiser, for every stream."""

    def __init__(self, header: SimpleNamespace) -> None:
        self.header, self.model = header, header.model
        m, stream = header.model, (header.seed << 8) + 1
        self.deviation = one(1 / math.sqrt(m.width))

        def matrix(inputs: int, outputs: int, deviation: float) -> Matrix:
            nonlocal stream
            stream += 1
            return Matrix(normal(stream, inputs, outputs, deviation))

        d, deviation = m.width, 1 / math.sqrt(m.width)
        self.blocks = [
            {
                "qkv": matrix(d, 3 * d, deviation), "out": matrix(d, d, 0.0),
                "up": matrix(d, m.hidden, deviation), "down": matrix(m.hidden, d, 0.0),
            }
            for _ in range(m.layers)
        ]  # fmt: skip
        self.head = matrix(d, 256, 0.0)
        self.tables: list[dict[int, tuple[float, ...]]] = [{} for _ in range(6)]
        self.tables[0] = dict(enumerate(normal(stream + 1, 256, d, 0.5)))
        self.row_squares: list[dict[int, float]] = [{} for _ in range(6)]
        # the small parameters, one after the other: a block's mix, distance and sharpness; the bias of the head
        self.part = d + m.heads * (m.window + 1)
        block = [ZERO] * (d + m.heads * m.window) + [8.0] * m.heads
        self.small = tuple(block * m.layers + [ZERO] * 256)
        self.small_mean = self.small_square = (ZERO,) * len(self.small)
        self.caches = [[Cache(m) for _ in range(m.layers)] for _ in range(header.streams)]
        self.past, self.steps, self.decays = 0, 0, [1.0, 1.0]
        self.segment: list[list[SimpleNamespace]] = []

    def forget(self) -> None:
        self.past = 0
        for caches in self.caches:
            for cache in caches:
                cache.last = (ZERO,) * self.model.width

    def of_block(self, layer: int) -> SimpleNamespace:
        """The block's small parameters."""
        m, at = self.model, layer * self.part
        mix, distance = self.small[at : at + m.width], self.small[at + m.width : at + self.part - m.heads]
        sharpness = self.small[at + self.part - m.heads : at + self.part]
        return SimpleNamespace(
            mix=mix, sharpness=sharpness, distance=[distance[h * m.window :][: m.window] for h in range(m.heads)]
        )

    def contexts(self, known: bytearray, begin: int, position: int) -> list[int]:
        """Rows of the six tables for the byte at `position`."""
        rows, h = [], 0
        for order in range(6):
            at = position - 1 - order
            byte = known[at] if at >= begin else 0
            h = (h + byte + 1) * 0x2F0B4C4784B6F5D1 & MASK64
            row = (h * 0x9E3779B97F4A7C15 & MASK64) >> (64 - self.model.table_bits)
            rows.append(row if order else byte)
        return rows

    def predict(self, contexts: list[int], before: list, caches: list[Cache], past: int, t: int) -> SimpleNamespace:
        """Everything that position t of a segment leaves behind; `before`: the same of position t - 1, by block."""
        m = self.model
        x: Sequence[float] = (ZERO,) * m.width
        for table, row in zip(self.tables, contexts):
            if row in table:
                x = f4(map(add, x, table[row]))
        q, unit = quantise(x, SECOND)
        norm = inverse_rms(q, unit)
        made = SimpleNamespace(contexts=contexts, blocks=[])
        for layer, block in enumerate(self.blocks):
            small, here = self.of_block(layer), SimpleNamespace(x=x, x_norm=norm)
            here.before = before[layer].h if before else caches[layer].last
            here.h = scaled(norm, x)
            shifted = f4(map(add, here.h, f4(map(mul, small.mix, here.before))))
            here.h_integers, here.h_scale = quantise(shifted, SECOND)
            qkv = block["qkv"].forward(here.h_integers, here.h_scale)
            here.heads = [self.attend(h, qkv, small, caches[layer].heads[h], past, t) for h in range(m.heads)]
            y = [v for head in here.heads for v in head.y]
            here.y_integers, here.y_scale = quantise(y, SECOND)
            here.z = f4(map(add, x, block["out"].forward(here.y_integers, here.y_scale)))
            here.z_integers, unit = quantise(here.z, SECOND)
            here.z_norm = inverse_rms(here.z_integers, unit)
            here.z_scale = one(unit * here.z_norm)
            up = block["up"].forward(here.z_integers, here.z_scale)
            here.active = tuple(v if v > ZERO else ZERO for v in up)
            here.a_integers, here.a_scale = quantise(f4(map(mul, here.active, here.active)), SECOND)
            x = f4(map(add, here.z, block["down"].forward(here.a_integers, here.a_scale)))
            made.integers, unit = quantise(x, SECOND)
            norm = inverse_rms(made.integers, unit)
            made.scale = one(unit * norm)
            made.blocks.append(here)
        made.x, made.x_norm = x, norm
        logits = f4(map(add, self.head.forward(made.integers, made.scale), self.small[-256:]))
        made.frequencies = frequencies(logits)
        return made

    def attend(self, h: int, qkv: Sequence[float], small: SimpleNamespace, cache: SimpleNamespace, past: int, t: int):
        """One head at one position."""
        m = self.model
        size, made = m.width // m.heads, SimpleNamespace()
        query, key, value = (qkv[(part * m.heads + h) * size :][:size] for part in range(3))
        q, unit = quantise(query, FIRST)
        made.query_norm = inverse_rms(q, unit)
        made.query, query_scale = scaled(made.query_norm, query), one(unit * made.query_norm)
        k, unit = quantise(key, FIRST)
        made.key_norm = inverse_rms(k, unit)
        made.key = scaled(made.key_norm, key)
        cache.keys.append(k)
        cache.key_scale.append(one(unit * made.key_norm))
        v, unit = quantise(value, FIRST)
        cache.values.append(v)
        cache.value_scale.append(unit)
        first, unseen = t + 1, max(0, m.window - 1 - t - past)
        dots = [sum(map(mul, q, key)) for key in cache.keys[first:]]
        sharpness = one(one(small.sharpness[h] * one(ONE / root(size))) * query_scale)
        scores = f4(map(mul, scaled(sharpness, cache.key_scale[first:]), dots))
        scores = f4(map(add, scores, small.distance[h]))
        e = [0] * unseen + exponentials(scores[unseen:])
        total = one(sum(e))
        made.weights = f4([v / total for v in e])
        integers, unit = quantise(f4(map(mul, made.weights, cache.value_scale[first:])), FIRST)
        made.y = scaled(unit, [sum(map(mul, integers, column)) for column in zip(*cache.values[first:])])
        return made

    def advance(self, count: int) -> None:
        for caches, made in zip(self.caches, self.segment):
            for layer, cache in enumerate(caches):
                cache.advance(count, made[-1].blocks[layer].h)
        self.past = min(self.model.window, self.past + count)

    def learn(self, known: bytearray, begins: list[int], positions: list[int]) -> None:
        """Train on the segment just decoded, then on segments of the past."""
        header, m, segment = self.header, self.model, self.header.segment
        self.step(known, positions, positions[0], self.caches)
        self.advance(segment)
        spans = [min(p - b, (1 << 24) - segment) for p, b in zip(positions, begins)]
        for turn in range(header.replay):
            starts, caches, self.segment = [], [], []
            for b, (position, span) in enumerate(zip(positions, spans)):
                index = (position * header.replay + turn) * header.streams + b
                starts.append(position - next(words(header.seed, index, 1)) % (span + 1))
                caches.append([Cache(m) for _ in range(m.layers)])
                made: list[SimpleNamespace] = []
                for t in range(segment):
                    contexts = self.contexts(known, position - span, starts[b] + t)
                    made.append(self.predict(contexts, made[-1].blocks if made else [], caches[b], 0, t))
                self.segment.append(made)
            self.step(known, starts, positions[0], caches)

    def step(self, known: bytearray, at: list[int], now: int, caches: list[list[Cache]]) -> None:
        """One training step on the segments at `at`, predicted last."""
        self.decays = [decay if decay >= TINY else 0.0 for decay in map(mul, self.decays, (0.9, 0.99))]
        self.steps += 1
        rate = 7e-4 * min(1.0, self.steps / 50) / math.sqrt(1 + now / 400_000)
        first, second = (1 - decay for decay in self.decays)
        rates = one(rate * math.sqrt(second) / first), one(1e-8 * math.sqrt(second))

        made = [position for stream in self.segment for position in stream]
        g, bias = self.head_gradient(made, [known[a + t] for a in at for t in range(self.header.segment)])
        d = self.head.backward([p.integers for p in made], [p.scale for p in made], g, rates)
        zeros = [(ZERO,) * self.model.width] * len(made)
        dx = list(map(norm_backward, zeros, d, [p.x for p in made], [p.x_norm for p in made]))
        small_gradients = []
        for layer in range(self.model.layers - 1, -1, -1):
            dx, small = self.block_backward(layer, dx, caches, rates)
            small_gradients[:0] = small
        small_gradients += bias
        self.small, self.small_mean, self.small_square = adam(
            self.small, self.small_mean, self.small_square, small_gradients, rates
        )
        self.step_rows(made, dx, one(0.5 / 7e-4 * rate))

    def head_gradient(self, made: list[SimpleNamespace], targets: list[int]):
        """p − 1 at the byte that came, clipped, and its sum."""
        g, total = [], ZERO
        for position, target in zip(made, targets):
            row = list(scaled(2.0**-24, position.frequencies))
            row[target] = one(row[target] - ONE)
            total = one(total + halves(f4(map(mul, row, row))))
            g.append(row)
        limit, norm = one(one(0.75) * root(len(made))), root(total)
        factor = one(limit / norm) if norm > limit else ONE
        bias: Sequence[float] = (ZERO,) * 256
        for k, row in enumerate(g):
            g[k] = scaled(factor, row)
            bias = f4(map(add, bias, g[k]))
        return g, bias

    def block_backward(self, layer: int, dx: list[tuple[float, ...]], caches: list[list[Cache]], rates):
        """Step a block's matrices; gradients of what goes in, and of the small parameters."""
        block, small = self.blocks[layer], self.of_block(layer)
        streams = [[position.blocks[layer] for position in stream] for stream in self.segment]
        made = [position for stream in streams for position in stream]

        def each(name: str) -> list:
            return [getattr(position, name) for position in made]

        d = block["down"].backward(each("a_integers"), each("a_scale"), dx, rates)
        g = [f4(map(mul, row, f4([u + u for u in active]))) for row, active in zip(d, each("active"))]
        d = block["up"].backward(each("z_integers"), each("z_scale"), g, rates)
        dx = list(map(norm_backward, dx, d, each("z"), each("z_norm")))
        d = block["out"].backward(each("y_integers"), each("y_scale"), dx, rates)
        g, distances, sharpnesses = [], [], []
        size, segment = self.model.width // self.model.heads, self.header.segment
        distances = [(ZERO,) * self.model.window] * self.model.heads
        sharpnesses = [ZERO] * self.model.heads
        for b, stream in enumerate(streams):
            of_heads = []
            for h in range(self.model.heads):
                dy = [row[h * size : (h + 1) * size] for row in d[b * segment : (b + 1) * segment]]
                heads = [position.heads[h] for position in stream]
                rows, distances[h], along = attend_backward(
                    dy, heads, caches[b][layer].heads[h], small.sharpness[h], distances[h]
                )
                sharpnesses[h] = one(sharpnesses[h] + along)
                of_heads.append(rows)
            for t in range(segment):  # queries of every head, then keys, then values
                g.append([v for part in range(3) for rows in of_heads for v in rows[part][t]])
        d = block["qkv"].backward(each("h_integers"), each("h_scale"), g, rates)
        mix: Sequence[float] = (ZERO,) * self.model.width
        dh = list(d)
        for b in range(len(streams)):
            after: Sequence[float] = (ZERO,) * self.model.width
            for t in range((b + 1) * segment - 1, b * segment - 1, -1):
                dh[t] = f4(map(add, d[t], after))
                mix = f4(map(add, mix, f4(map(mul, d[t], made[t].before))))
                after = f4(map(mul, d[t], small.mix))
        dx = list(map(norm_backward, dx, dh, each("x"), each("x_norm")))
        return dx, [*mix, *(v for row in distances for v in row), *sharpnesses]

    def step_rows(self, made: list[SimpleNamespace], dx: list[tuple[float, ...]], rate: float) -> None:
        """Adagrad on the rows of the tables, position by position."""
        zeros = (ZERO,) * self.model.width
        for position, gradient in zip(made, dx):
            d = [v if abs(v) >= TINY else ZERO for v in gradient]
            square = one(one(halves(f4(map(mul, d, d))) / len(d)) + one(1e-16))
            for table, squares, row in zip(self.tables, self.row_squares, position.contexts):
                squares[row] = one(squares.get(row, ZERO) + square)
                step = one(rate / root(squares[row]))
                table[row] = f4(map(sub, table.get(row, zeros), scaled(step, d)))

    def arrays(self) -> Iterator[tuple[str, bytes]]:
        """The state by name, in the order of its digest."""
        m = self.model
        yield "model.parameters", floats(self.small)
        if 6 * 4 * m.width << m.table_bits <= DIGESTED:
            zeros = (ZERO,) * m.width
            rows = (table.get(row, zeros) for table in self.tables for row in range(1 << m.table_bits))
            yield "model.tables", b"".join(map(floats, rows))
        yield "model.past", self.past.to_bytes(8, "little")
        for layer, block in enumerate(self.blocks):
            for name, matrix in block.items():
                yield from matrix_arrays(f"model.{layer}.{name}", matrix)
            caches = [caches[layer] for caches in self.caches]
            yield f"model.{layer}.last", b"".join(floats(cache.last) for cache in caches)
            heads = [head for cache in caches for head in cache.heads]
            for name in ("keys", "key_scale", "values", "value_scale"):
                rows = (row for head in heads for row in getattr(head, name)[: m.window])
                yield f"model.{layer}.{name}", b"".join(floats(r if isinstance(r, list) else (r,)) for r in rows)
            for name in ("keys", "values"):
                rows = (row for head in heads for row in zip(*getattr(head, name)[: m.window]))
                yield f"model.{layer}.{name}_across", b"".join(map(floats, rows))
        yield from matrix_arrays("model.head", self.head)
        yield "learner.decays", struct.pack("<2d", *self.decays)
        yield "learner.steps", self.steps.to_bytes(8, "little")
        if 6 * 4 << m.table_bits <= DIGESTED:
            rows = ([squares.get(row, ZERO) for row in range(1 << m.table_bits)] for squares in self.row_squares)
            yield "learner.squares", b"".join(map(floats, rows))
        yield "learner.small.mean", floats(self.small_mean)
        yield "learner.small.square", floats(self.small_square)


def norm_backward(dx: Sequence[float], dh: Sequence[float], x: Sequence[float], norm: float) -> tuple[float, ...]:
    """dx + the gradient of x, given that of h = x / rms(x)."""
    h = scaled(norm, x)
    mean = one(halves(f4(map(mul, dh, h))) / len(x))
    return f4(map(add, dx, scaled(norm, f4(map(sub, dh, scaled(mean, h))))))


def attend_backward(dy, made: list[SimpleNamespace], cache: SimpleNamespace, sharpness: float, distance):
    """Gradients of one head's queries, keys and values, given those of y; its distance's so far; its sharpness's."""
    window, segment, size = len(made[0].weights), len(made), len(dy[0])
    shrink = one(ONE / root(size))
    sharpness, total = one(sharpness * shrink), ZERO
    queries: list = []
    keys, values = ([(ZERO,) * size for _ in range(segment)] for _ in range(2))
    for t, here in enumerate(made):
        first = t + 1
        near = slice(first, first + window)
        ds = weighted_rows(dy[t], list(zip(*cache.values[near])))
        ds = f4(map(mul, ds, cache.value_scale[near]))
        mean = halves(f4(map(mul, ds, here.weights)))
        ds = f4(map(mul, here.weights, f4([v - mean for v in ds])))
        distance = f4(map(add, distance, ds))
        for j in range(max(0, t + 1 - window), t + 1):
            w = window - 1 - (t - j)
            keys[j] = f4(map(add, keys[j], scaled(one(ds[w] * sharpness), here.query)))
            values[j] = f4(map(add, values[j], scaled(here.weights[w], dy[t])))
        ds = f4(map(mul, ds, cache.key_scale[near]))
        dq = weighted_rows(ds, cache.keys[near])
        along = halves(f4(map(mul, dq, here.query)))
        total = one(total + along)
        along = one(one(along * sharpness) / size)
        inner = f4(map(sub, scaled(sharpness, dq), scaled(along, here.query)))
        queries.append(scaled(here.query_norm, inner))
    for t, here in enumerate(made):
        along = one(halves(f4(map(mul, keys[t], here.key))) / size)
        keys[t] = scaled(here.key_norm, f4(map(sub, keys[t], scaled(along, here.key))))
    return (queries, keys, values), distance, one(total * shrink)


def floats(row: Sequence[float]) -> bytes:
    return _layout("f", len(row)).pack(*row)


def matrix_arrays(name: str, matrix: Matrix) -> Iterator[tuple[str, bytes]]:
    for part in ("weight", "integers"):
        yield f"{name}.{part}", b"".join(map(floats, getattr(matrix, part)))
    yield f"{name}.scale", floats(matrix.scale)
    for part in ("mean", "square"):
        yield f"{name}.{part}", b"".join(map(floats, getattr(matrix, part)))


# Both together: docs/predictor.md, section 1


class Predictor:
    """Everything known after the bytes so far; decodes a frame."""

    def __init__(self, header: SimpleNamespace) -> None:
        self.header, self.known = header, bytearray()
        self.model: LanguageModel | None = None  # made for the first coded frame

    def skip(self, data: bytes) -> None:
        self.known += data
        if self.model:
            self.model.forget()

    def decode(self, transcript: bytes, length: int) -> tuple[bytes, int]:
        """A frame's bytes and their code length in 2^-20 bit."""
        header, coder, start = self.header, RangeDecoder(transcript), len(self.known)
        if header.model and self.model is None:
            self.model = LanguageModel(header)
        streams, segment = header.streams, header.segment
        stride = length // (streams * segment) * segment
        begins = [start + b * stride for b in range(streams)] if streams > 1 else [0]
        if streams > 1 and self.model:
            self.model.forget()
        self.known += bytes(length)
        nll = done = 0
        while done < length:
            whole = done < stride * streams
            if whole:
                first, count = 0, segment
                positions = [start + b * stride + done // streams for b in range(streams)]
            else:  # the rest is the last stream's
                first, count = streams - 1, min(segment, length - done)
                positions = [start + done] * streams
            nll += self.decode_segment(coder, begins, positions, first, count)
            done += count * (streams - first)
            if self.model and whole:
                self.model.learn(self.known, begins, positions)
            elif self.model:
                self.model.advance(count)
        return bytes(self.known[start:]), nll

    def decode_segment(
        self, coder: RangeDecoder, begins: list[int], positions: list[int], first: int, count: int
    ) -> int:
        """`count` positions of the streams `first` …; returns their code length."""
        nll, model, uniform = 0, self.model, [1 << 16] * 256
        if model:
            model.segment = [[] for _ in positions]
        for t in range(count):
            for b, position in enumerate(positions):
                f = uniform
                if model:
                    made, contexts = model.segment[b], model.contexts(self.known, begins[b], position + t)
                    made.append(
                        model.predict(contexts, made[-1].blocks if made else [], model.caches[b], model.past, t)
                    )
                    f = made[-1].frequencies
                if b >= first:
                    byte = self.known[position + t] = coder.symbol(f)
                    nll += code_length(f[byte], 24)
        return nll

    def digest(self) -> bytes:
        state = hashlib.blake2b(digest_size=8)
        state.update(b"position" + len(self.known).to_bytes(8, "little"))
        for part in (self.model,):
            for name, content in part.arrays() if part else ():
                state.update(name.encode() + content)
        return state.digest()


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        sys.stdout.buffer.write(decode(file.read()))
