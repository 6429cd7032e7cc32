"""The language model, learning: docs/predictor.md, section 5."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from operator import add, mul, sub
from types import SimpleNamespace

from .floats import (
    DIGESTED,
    ONE,
    TINY,
    ZERO,
    f32,
    f32s,
    floats,
    halves,
    root,
    scaled,
    weighted_rows,
    words,
)
from .matrix import Rates, Row, adam
from .model import Cache, LanguageModel


class Learner:
    """Trains a model on segments; the optimiser's state, but for that of matrices, which they keep themselves."""

    def __init__(self, model: LanguageModel) -> None:
        self.model, self.header, self.settings = model, model.header, model.settings
        self.row_squares: list[dict[int, float]] = [{} for _ in range(6)]
        self.small_mean = self.small_square = (ZERO,) * len(model.small)
        self.steps, self.decays = 0, [1.0, 1.0]

    def learn(self, history: bytearray, begins: list[int], positions: list[int]) -> None:
        """Train on the segment just decoded, then on segments of the past."""
        header, model, segment = self.header, self.model, self.header.segment
        self.step(history, positions, positions[0], model.caches)
        model.advance(segment)
        spans = [min(p - b, (1 << 24) - segment) for p, b in zip(positions, begins)]
        for turn in range(header.replay):
            starts, caches, model.segment = [], [], []
            for b, (position, span) in enumerate(zip(positions, spans)):
                index = (position * header.replay + turn) * header.streams + b
                starts.append(position - next(words(header.seed, index, 1)) % (span + 1))
                caches.append([Cache(self.settings) for _ in range(self.settings.layers)])
                traces: list[SimpleNamespace] = []
                for t in range(segment):
                    contexts = model.contexts(history, position - span, starts[b] + t)
                    traces.append(model.predict(contexts, traces[-1].blocks if traces else [], caches[b], 0, t))
                model.segment.append(traces)
            self.step(history, starts, positions[0], caches)

    def step(self, history: bytearray, at: list[int], now: int, caches: list[list[Cache]]) -> None:
        """One training step on the segments at `at`, predicted last."""
        self.decays = [decay if decay >= TINY else 0.0 for decay in map(mul, self.decays, (0.9, 0.99))]
        self.steps += 1
        rate = 7e-4 * min(1.0, self.steps / 50) / math.sqrt(1 + now / 400_000)
        first, second = (1 - decay for decay in self.decays)
        rates = f32(rate * math.sqrt(second) / first), f32(1e-8 * math.sqrt(second))

        traces = [position for stream in self.model.segment for position in stream]
        g, bias = self.head_gradient(traces, [history[a + t] for a in at for t in range(self.header.segment)])
        d = self.model.head.backward([p.integers for p in traces], [p.scale for p in traces], g, rates)
        zeros = [(ZERO,) * self.settings.width] * len(traces)
        dx = list(map(norm_backward, zeros, d, [p.x for p in traces], [p.x_norm for p in traces]))
        small_gradients = []
        for layer in range(self.settings.layers - 1, -1, -1):
            dx, small = self.block_backward(layer, dx, caches, rates)
            small_gradients[:0] = small
        small_gradients += bias
        self.model.small, self.small_mean, self.small_square = adam(
            self.model.small, self.small_mean, self.small_square, small_gradients, rates
        )
        self.step_rows(traces, dx, f32(0.5 / 7e-4 * rate))

    def head_gradient(self, traces: list[SimpleNamespace], targets: list[int]) -> tuple[list[Row], Row]:
        """p − 1 at the byte that came, clipped, and its sum."""
        g, total = [], ZERO
        for position, target in zip(traces, targets):
            row = list(scaled(2.0**-24, position.frequencies))
            row[target] = f32(row[target] - ONE)
            total = f32(total + halves(f32s(map(mul, row, row))))
            g.append(row)
        limit, norm = f32(f32(0.75) * root(len(traces))), root(total)
        factor = f32(limit / norm) if norm > limit else ONE
        bias: Sequence[float] = (ZERO,) * 256
        for k, row in enumerate(g):
            g[k] = scaled(factor, row)
            bias = f32s(map(add, bias, g[k]))
        return g, bias

    def block_backward(
        self, layer: int, dx: list[tuple[float, ...]], caches: list[list[Cache]], rates: Rates
    ) -> tuple[list[Row], list[float]]:
        """Step a block's matrices; gradients of what goes in, and of the small parameters."""
        block, small = self.model.blocks[layer], self.model.of_block(layer)
        streams = [[position.blocks[layer] for position in stream] for stream in self.model.segment]
        traces = [position for stream in streams for position in stream]

        def each(name: str) -> list:
            return [getattr(position, name) for position in traces]

        d = block["down"].backward(each("a_integers"), each("a_scale"), dx, rates)
        g = [f32s(map(mul, row, f32s([u + u for u in active]))) for row, active in zip(d, each("active"))]
        d = block["up"].backward(each("z_integers"), each("z_scale"), g, rates)
        dx = list(map(norm_backward, dx, d, each("z"), each("z_norm")))
        d = block["out"].backward(each("y_integers"), each("y_scale"), dx, rates)
        g, distances, sharpnesses = [], [], []
        size, segment = self.settings.width // self.settings.heads, self.header.segment
        distances = [(ZERO,) * self.settings.window] * self.settings.heads
        sharpnesses = [ZERO] * self.settings.heads
        for b, stream in enumerate(streams):
            of_heads = []
            for h in range(self.settings.heads):
                dy = [row[h * size : (h + 1) * size] for row in d[b * segment : (b + 1) * segment]]
                heads = [position.heads[h] for position in stream]
                rows, distances[h], along = attend_backward(
                    dy, heads, caches[b][layer].heads[h], small.sharpness[h], distances[h]
                )
                sharpnesses[h] = f32(sharpnesses[h] + along)
                of_heads.append(rows)
            for t in range(segment):  # queries of every head, then keys, then values
                g.append([v for part in range(3) for rows in of_heads for v in rows[part][t]])
        d = block["qkv"].backward(each("h_integers"), each("h_scale"), g, rates)
        mix: Sequence[float] = (ZERO,) * self.settings.width
        dh = list(d)
        for b in range(len(streams)):
            after: Sequence[float] = (ZERO,) * self.settings.width
            for t in range((b + 1) * segment - 1, b * segment - 1, -1):
                dh[t] = f32s(map(add, d[t], after))
                mix = f32s(map(add, mix, f32s(map(mul, d[t], traces[t].before))))
                after = f32s(map(mul, d[t], small.mix))
        dx = list(map(norm_backward, dx, dh, each("x"), each("x_norm")))
        return dx, [*mix, *(v for row in distances for v in row), *sharpnesses]

    def step_rows(self, traces: list[SimpleNamespace], dx: list[tuple[float, ...]], rate: float) -> None:
        """Adagrad on the rows of the tables, position by position."""
        zeros = (ZERO,) * self.settings.width
        for position, gradient in zip(traces, dx):
            d = [v if abs(v) >= TINY else ZERO for v in gradient]
            square = f32(f32(halves(f32s(map(mul, d, d))) / len(d)) + f32(1e-16))
            for table, squares, row in zip(self.model.tables, self.row_squares, position.contexts):
                squares[row] = f32(squares.get(row, ZERO) + square)
                step = f32(rate / root(squares[row]))
                table[row] = f32s(map(sub, table.get(row, zeros), scaled(step, d)))

    def arrays(self) -> Iterator[tuple[str, bytes]]:
        """Its part of the digest, by name."""
        m = self.settings
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
    mean = f32(halves(f32s(map(mul, dh, h))) / len(x))
    return f32s(map(add, dx, scaled(norm, f32s(map(sub, dh, scaled(mean, h))))))


def attend_backward(dy, heads: list[SimpleNamespace], cache: SimpleNamespace, sharpness: float, distance):
    """Gradients of one head's queries, keys and values, given those of y; its distance's so far; its sharpness's."""
    window, segment, size = len(heads[0].weights), len(heads), len(dy[0])
    shrink = f32(ONE / root(size))
    sharpness, total = f32(sharpness * shrink), ZERO
    queries: list = []
    keys, values = ([(ZERO,) * size for _ in range(segment)] for _ in range(2))
    for t, here in enumerate(heads):
        first = t + 1
        near = slice(first, first + window)
        ds = weighted_rows(dy[t], list(zip(*cache.values[near])))
        ds = f32s(map(mul, ds, cache.value_scale[near]))
        mean = halves(f32s(map(mul, ds, here.weights)))
        ds = f32s(map(mul, here.weights, f32s([v - mean for v in ds])))
        distance = f32s(map(add, distance, ds))
        for j in range(max(0, t + 1 - window), t + 1):
            w = window - 1 - (t - j)
            keys[j] = f32s(map(add, keys[j], scaled(f32(ds[w] * sharpness), here.query)))
            values[j] = f32s(map(add, values[j], scaled(here.weights[w], dy[t])))
        ds = f32s(map(mul, ds, cache.key_scale[near]))
        dq = weighted_rows(ds, cache.keys[near])
        along = halves(f32s(map(mul, dq, here.query)))
        total = f32(total + along)
        along = f32(f32(along * sharpness) / size)
        inner = f32s(map(sub, scaled(sharpness, dq), scaled(along, here.query)))
        queries.append(scaled(here.query_norm, inner))
    for t, here in enumerate(heads):
        along = f32(halves(f32s(map(mul, keys[t], here.key))) / size)
        keys[t] = scaled(here.key_norm, f32s(map(sub, keys[t], scaled(along, here.key))))
    return (queries, keys, values), distance, f32(total * shrink)
