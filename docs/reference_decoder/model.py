"""The language model, forward: docs/predictor.md, section 4."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from operator import add, mul
from types import SimpleNamespace

from .coder import MASK64
from .floats import (
    DIGESTED,
    FIRST,
    ONE,
    SECOND,
    ZERO,
    exponentials,
    f32,
    f32s,
    floats,
    frequencies,
    inverse_rms,
    normal,
    quantise,
    root,
    scaled,
)
from .matrix import Matrix


class Cache:
    """What a block remembers of one stream: h of the last position; keys and values, the newest last."""

    def __init__(self, settings: SimpleNamespace) -> None:
        self.last = (ZERO,) * settings.width
        size, window = settings.width // settings.heads, settings.window
        self.heads = [
            SimpleNamespace(
                keys=[[0] * size] * window, key_scale=[ZERO] * window,
                values=[[0] * size] * window, value_scale=[ZERO] * window,
            )
            for _ in range(settings.heads)
        ]  # fmt: skip

    def advance(self, count: int, last: tuple[float, ...]) -> None:
        """Let go of the oldest positions."""
        self.last = last
        for head in self.heads:
            for rows in vars(head).values():
                del rows[:count]


class LanguageModel:
    """Parameters, and what is remembered of every stream."""

    def __init__(self, header: SimpleNamespace) -> None:
        self.header, self.settings = header, header.model
        m, stream = header.model, (header.seed << 8) + 1

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
        # the small parameters, one after the other: a block's mix, distance and sharpness; the bias of the head
        self.part = d + m.heads * (m.window + 1)
        block = [ZERO] * (d + m.heads * m.window) + [8.0] * m.heads
        self.small = tuple(block * m.layers + [ZERO] * 256)
        self.caches = [[Cache(m) for _ in range(m.layers)] for _ in range(header.streams)]
        self.past = 0
        self.segment: list[list[SimpleNamespace]] = []  # what the positions predicted last left behind, by stream

    def forget(self) -> None:
        """No position before is remembered."""
        self.past = 0
        for caches in self.caches:
            for cache in caches:
                cache.last = (ZERO,) * self.settings.width

    def of_block(self, layer: int) -> SimpleNamespace:
        """The block's small parameters."""
        m, at = self.settings, layer * self.part
        mix, distance = self.small[at : at + m.width], self.small[at + m.width : at + self.part - m.heads]
        sharpness = self.small[at + self.part - m.heads : at + self.part]
        return SimpleNamespace(
            mix=mix, sharpness=sharpness, distance=[distance[h * m.window :][: m.window] for h in range(m.heads)]
        )

    def contexts(self, history: bytearray, begin: int, position: int) -> list[int]:
        """Rows of the six tables for the byte at `position`."""
        rows, h = [], 0
        for order in range(6):
            at = position - 1 - order
            byte = history[at] if at >= begin else 0
            h = (h + byte + 1) * 0x2F0B4C4784B6F5D1 & MASK64
            row = (h * 0x9E3779B97F4A7C15 & MASK64) >> (64 - self.settings.table_bits)
            rows.append(row if order else byte)
        return rows

    def predict(self, contexts: list[int], before: list, caches: list[Cache], past: int, t: int) -> SimpleNamespace:
        """Everything that position t of a segment leaves behind; `before`: the same of position t - 1, by block."""
        m = self.settings
        x: Sequence[float] = (ZERO,) * m.width
        for table, row in zip(self.tables, contexts):
            if row in table:
                x = f32s(map(add, x, table[row]))
        q, unit = quantise(x, SECOND)
        norm = inverse_rms(q, unit)
        trace = SimpleNamespace(contexts=contexts, blocks=[])
        for layer, block in enumerate(self.blocks):
            small, here = self.of_block(layer), SimpleNamespace(x=x, x_norm=norm)
            here.before = before[layer].h if before else caches[layer].last
            here.h = scaled(norm, x)
            shifted = f32s(map(add, here.h, f32s(map(mul, small.mix, here.before))))
            here.h_integers, here.h_scale = quantise(shifted, SECOND)
            qkv = block["qkv"].forward(here.h_integers, here.h_scale)
            here.heads = [self.attend(h, qkv, small, caches[layer].heads[h], past, t) for h in range(m.heads)]
            y = [v for head in here.heads for v in head.y]
            here.y_integers, here.y_scale = quantise(y, SECOND)
            here.z = f32s(map(add, x, block["out"].forward(here.y_integers, here.y_scale)))
            here.z_integers, unit = quantise(here.z, SECOND)
            here.z_norm = inverse_rms(here.z_integers, unit)
            here.z_scale = f32(unit * here.z_norm)
            up = block["up"].forward(here.z_integers, here.z_scale)
            here.active = tuple(v if v > ZERO else ZERO for v in up)
            here.a_integers, here.a_scale = quantise(f32s(map(mul, here.active, here.active)), SECOND)
            x = f32s(map(add, here.z, block["down"].forward(here.a_integers, here.a_scale)))
            trace.integers, unit = quantise(x, SECOND)
            norm = inverse_rms(trace.integers, unit)
            trace.scale = f32(unit * norm)
            trace.blocks.append(here)
        trace.x, trace.x_norm = x, norm
        logits = f32s(map(add, self.head.forward(trace.integers, trace.scale), self.small[-256:]))
        trace.frequencies = frequencies(logits)
        return trace

    def attend(
        self, h: int, qkv: Sequence[float], small: SimpleNamespace, cache: SimpleNamespace, past: int, t: int
    ) -> SimpleNamespace:
        """One head at one position."""
        m = self.settings
        size, head = m.width // m.heads, SimpleNamespace()
        query, key, value = (qkv[(part * m.heads + h) * size :][:size] for part in range(3))
        q, unit = quantise(query, FIRST)
        head.query_norm = inverse_rms(q, unit)
        head.query, query_scale = scaled(head.query_norm, query), f32(unit * head.query_norm)
        k, unit = quantise(key, FIRST)
        head.key_norm = inverse_rms(k, unit)
        head.key = scaled(head.key_norm, key)
        cache.keys.append(k)
        cache.key_scale.append(f32(unit * head.key_norm))
        v, unit = quantise(value, FIRST)
        cache.values.append(v)
        cache.value_scale.append(unit)
        first, unseen = t + 1, max(0, m.window - 1 - t - past)
        dots = [sum(map(mul, q, key)) for key in cache.keys[first:]]
        sharpness = f32(f32(small.sharpness[h] * f32(ONE / root(size))) * query_scale)
        scores = f32s(map(mul, scaled(sharpness, cache.key_scale[first:]), dots))
        scores = f32s(map(add, scores, small.distance[h]))
        e = [0] * unseen + exponentials(scores[unseen:])
        total = f32(sum(e))
        head.weights = f32s([v / total for v in e])
        integers, unit = quantise(f32s(map(mul, head.weights, cache.value_scale[first:])), FIRST)
        head.y = scaled(unit, [sum(map(mul, integers, column)) for column in zip(*cache.values[first:])])
        return head

    def advance(self, count: int) -> None:
        """The caches move on behind a segment."""
        for caches, positions in zip(self.caches, self.segment):
            for layer, cache in enumerate(caches):
                cache.advance(count, positions[-1].blocks[layer].h)
        self.past = min(self.settings.window, self.past + count)

    def arrays(self) -> Iterator[tuple[str, bytes]]:
        """Its part of the digest, by name."""
        m = self.settings
        yield "model.parameters", floats(self.small)
        if 6 * 4 * m.width << m.table_bits <= DIGESTED:
            zeros = (ZERO,) * m.width
            rows = (table.get(row, zeros) for table in self.tables for row in range(1 << m.table_bits))
            yield "model.tables", b"".join(map(floats, rows))
        yield "model.past", self.past.to_bytes(8, "little")
        for layer, block in enumerate(self.blocks):
            for name, matrix in block.items():
                yield from matrix.arrays(f"model.{layer}.{name}")
            caches = [caches[layer] for caches in self.caches]
            yield f"model.{layer}.last", b"".join(floats(cache.last) for cache in caches)
            heads = [head for cache in caches for head in cache.heads]
            for name in ("keys", "key_scale", "values", "value_scale"):
                rows = (row for head in heads for row in getattr(head, name)[: m.window])
                yield f"model.{layer}.{name}", b"".join(floats(r if isinstance(r, list) else (r,)) for r in rows)
            for name in ("keys", "values"):
                rows = (row for head in heads for row in zip(*getattr(head, name)[: m.window]))
                yield f"model.{layer}.{name}_across", b"".join(map(floats, rows))
        yield from self.head.arrays("model.head")
