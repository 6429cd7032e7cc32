"""The language model: a byte-level causal transformer with hashed n-gram embeddings, forward pass.

A byte's input is the embedding of the byte before it plus one row of each n-gram table, at the hash of the last 2 … 6
bytes. A block is token shift (a learnt part of the last position's input; RWKV, Peng et al. 2023), attention over a
bounded window with normalised queries and keys (Henry et al. 2020) and a learnt bias per distance, then a squared-ReLU
layer (So et al. 2021); all without gains, normalised by RMS before each.

`forward` serves a whole segment at once, its matrix products computed by `Products`, and one position, where it
computes them itself. Its parts loop over positions [start, stop) of every stream; arrays are [streams, segment, …]
float32, but integers and their products have the types of the `Products`; a `…_scale` turns them back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import rng
from .exact import (
    EXP2,
    FIRST,
    ONE,
    SECOND,
    TINY,
    ZERO,
    copy,
    exponentials,
    f4,
    frequencies,
    i4,
    inverse_rms,
    quantise,
    round_even,
    sqrt,
    weighted_rows,
)
from .kernel import call, heapless, inline
from .settings import ModelSettings
from .symbols import decode_row

if TYPE_CHECKING:  # torch stays away until a whole segment is predicted
    from .product import Products

ORDERS = 6  # embedding tables: the last byte, and n-grams of orders 2 … 6


class Matrix(NamedTuple):
    """A trained weight matrix [inputs, outputs], its integers (±64) and a scale per output, the optimiser's moments."""

    weight: np.ndarray
    integers: np.ndarray
    scale: np.ndarray
    mean: np.ndarray
    square: np.ndarray


class Attention(NamedTuple):
    """One block's attention: its parameters, then what the forward pass leaves for the backward pass."""

    distance: np.ndarray  # [heads, window], a bias for each distance, the position itself last
    sharpness: np.ndarray  # [heads]
    query: np.ndarray  # [streams, segment, heads, size], normalised
    query_integers: np.ndarray
    query_scale: np.ndarray
    query_norm: np.ndarray
    key: np.ndarray
    key_norm: np.ndarray
    weights: np.ndarray  # [streams, segment, heads, window]
    y: np.ndarray  # [streams, segment, width]


class Cache(NamedTuple):
    """What a block remembers of the `window` positions before the segment, with room for the segment behind them."""

    last: np.ndarray  # [streams, width], h of the last position
    keys: np.ndarray  # [streams, heads, window + segment, size], integers
    keys_across: np.ndarray  # the same, transposed
    key_scale: np.ndarray
    values: np.ndarray
    values_across: np.ndarray
    value_scale: np.ndarray


class Block(NamedTuple):
    """Parameters and activations of one block; what `forward` leaves here, the learner reads backwards."""

    qkv: Matrix
    out: Matrix
    up: Matrix
    down: Matrix
    mix: np.ndarray  # [width]
    attention: Attention
    x: np.ndarray
    x_norm: np.ndarray
    h: np.ndarray  # [streams, 1 + segment, width]
    h_integers: np.ndarray
    h_scale: np.ndarray
    qkv_product: np.ndarray
    y_integers: np.ndarray
    y_scale: np.ndarray
    out_product: np.ndarray
    z: np.ndarray
    z_integers: np.ndarray
    z_norm: np.ndarray
    z_scale: np.ndarray
    up_product: np.ndarray
    active: np.ndarray
    a_integers: np.ndarray
    a_scale: np.ndarray
    down_product: np.ndarray


class Network(NamedTuple):
    """Everything `forward` needs besides the cache."""

    blocks: tuple[Block, ...]
    head: Matrix
    head_bias: np.ndarray
    tables: np.ndarray
    contexts: np.ndarray
    x: np.ndarray
    x_integers: np.ndarray
    x_norm: np.ndarray
    x_scale: np.ndarray
    head_product: np.ndarray
    frequencies: np.ndarray
    exp2: np.ndarray
    scratch: np.ndarray  # float32 rows that kernels work in
    steps: np.ndarray  # int32


_HASH, _INDEX_HASH, _ONE64, _64 = (np.uint64(n) for n in (0x2F0B4C4784B6F5D1, 0x9E3779B97F4A7C15, 1, 64))


@heapless
def hash_contexts(history, begin, position, start, stop, table_bits, contexts):
    """contexts[b, t, n - 1] = table row of the n bytes before position[b] + t; bytes before begin[b] count as 0."""
    mask = history.shape[0] - 1
    shift = _64 - np.uint64(table_bits)
    for b in range(contexts.shape[0]):
        for t in range(start, stop):
            h = np.uint64(0)
            for order in range(ORDERS):
                at = position[b] + t - 1 - order
                byte = history[at & mask] if at >= begin[b] else np.uint8(0)
                h = (h + np.uint64(byte) + _ONE64) * _HASH
                contexts[b, t, order] = i4(byte) if order == 0 else i4((h * _INDEX_HASH) >> shift)


@inline
def embed(net, start, stop):
    """x = sum of the rows that the contexts name, lowest order first."""
    x = net.x[0]
    q = net.scratch[0, : x.shape[2]]
    for b in range(x.shape[0]):
        for t in range(start, stop):
            row = x[b, t]
            row[:] = ZERO
            for order in range(ORDERS):
                ngram = net.tables[order, net.contexts[b, t, order]]
                for k in range(row.shape[0]):
                    row[k] = row[k] + ngram[k]
            net.x_norm[0, b, t] = inverse_rms(q, quantise(row, q, SECOND))


@inline
def token_shift(net, block, last, start, stop):
    """h = x / rms(x); q = integers of h + mix * h of the position before, which is `last` at the segment's start."""
    mix, y = block.mix, net.scratch[0, : block.mix.shape[0]]
    for b in range(last.shape[0]):
        copy(last[b], block.h[b, 0])
        for t in range(start, stop):
            row, before, here, norm = block.x[b, t], block.h[b, t], block.h[b, t + 1], block.x_norm[b, t]
            for k in range(y.shape[0]):
                here[k] = row[k] * norm
                y[k] = here[k] + mix[k] * before[k]
            block.h_scale[b, t] = quantise(y, block.h_integers[b, t], SECOND)


@inline
def split_heads(net, block, cache, start, stop):
    """Queries and keys over their RMS, and values, as integers; keys and values go to the cache."""
    attention, column_scale = block.attention, block.qkv.scale
    streams, _, heads, size = attention.query.shape
    window = attention.distance.shape[1]
    v, q = net.scratch[0, :size], net.scratch[1, :size]
    for b in range(streams):
        for t in range(start, stop):
            for head in range(heads):
                for part in range(3):
                    first = (part * heads + head) * size
                    p, s = block.qkv_product[b, t, first : first + size], column_scale[first : first + size]
                    for k in range(size):
                        v[k] = f4(p[k]) * (block.h_scale[b, t] * s[k])
                    unit = quantise(v, q, FIRST)
                    norm = inverse_rms(q, unit)
                    if part == 0:
                        attention.query_norm[b, t, head] = norm
                        attention.query_scale[b, t, head] = unit * norm
                        normalised = attention.query[b, t, head]
                        for k in range(size):
                            normalised[k] = v[k] * norm
                        copy(q, attention.query_integers[b, t, head])
                        continue
                    rows, across = cache.values[b, head], cache.values_across[b, head]
                    if part == 1:
                        rows, across = cache.keys[b, head], cache.keys_across[b, head]
                        attention.key_norm[b, t, head] = norm
                        cache.key_scale[b, head, window + t] = unit * norm
                        normalised = attention.key[b, t, head]
                        for k in range(size):
                            normalised[k] = v[k] * norm
                    else:
                        cache.value_scale[b, head, window + t] = unit
                    copy(q, rows[window + t])
                    for k in range(size):
                        across[k, window + t] = q[k]


@inline
def attend(net, block, cache, past, start, stop):
    """Attention of each position over itself and the window - 1 before it; `past` positions precede the segment.

    A token's value scale goes into its weight before the weights become integers: no later token can change a row.
    """
    attention = block.attention
    streams, _, heads, size = attention.query.shape
    window = attention.distance.shape[1]
    a, v, e = net.scratch[0, :window], net.scratch[1, :window], net.steps[:window]
    shrink = ONE / sqrt(f4(size))
    for b in range(streams):
        for t in range(start, stop):
            for head in range(heads):
                first = t + 1
                unseen = max(0, window - 1 - t - past)
                weighted_rows(attention.query_integers[b, t, head], cache.keys_across[b, head], first, a)
                sharpness = attention.sharpness[head] * shrink * attention.query_scale[b, t, head]
                key_scale = cache.key_scale[b, head, first : first + window]
                value_scale = cache.value_scale[b, head, first : first + window]
                distance, weights = attention.distance[head], attention.weights[b, t, head]
                for w in range(window):
                    a[w] = (sharpness * key_scale[w]) * a[w] + distance[w]
                total = f4(exponentials(a[unseen:], e[unseen:], net.exp2))
                e[:unseen] = i4(0)
                for w in range(window):
                    weights[w] = f4(e[w]) / total
                    v[w] = weights[w] * value_scale[w]
                unit = quantise(v, a, FIRST)
                y = attention.y[b, t, head * size : (head + 1) * size]
                weighted_rows(a, cache.values[b, head, first : first + window], 0, y)
                for k in range(size):
                    y[k] = y[k] * unit
            block.y_scale[b, t] = quantise(attention.y[b, t], block.y_integers[b, t], SECOND)


@inline
def add(x, product, scale, column_scale, z, q, norm, normalised_scale, start, stop):
    """z = x + product * scales; q = integers of z / rms(z), whose scale is `normalised_scale`."""
    for b in range(x.shape[0]):
        for t in range(start, stop):
            row, p, out, s = x[b, t], product[b, t], z[b, t], scale[b, t]
            for k in range(row.shape[0]):
                out[k] = row[k] + f4(p[k]) * (s * column_scale[k])
            unit = quantise(out, q[b, t], SECOND)
            norm[b, t] = inverse_rms(q[b, t], unit)
            normalised_scale[b, t] = unit * norm[b, t]


@inline
def activate(net, block, start, stop):
    """active = max(0, product * scales); q = integers of its square."""
    active, column_scale = block.active, block.up.scale
    squared = net.scratch[0, : active.shape[2]]
    for b in range(active.shape[0]):
        for t in range(start, stop):
            p, u, s = block.up_product[b, t], active[b, t], block.z_scale[b, t]
            for k in range(u.shape[0]):
                value = f4(p[k]) * (s * column_scale[k])
                u[k] = value if value > ZERO else ZERO
                squared[k] = u[k] * u[k]
            block.a_scale[b, t] = quantise(squared, block.a_integers[b, t], SECOND)


@inline
def predict(net, start, stop):
    """Frequencies of the next byte, uint32 [streams, segment, 256], each positive, a row's sum 2^24."""
    column_scale, bias, logits, e = net.head.scale, net.head_bias, net.scratch[0, :256], net.steps[:256]
    for b in range(net.x_scale.shape[0]):
        for t in range(start, stop):
            p, s = net.head_product[b, t], net.x_scale[b, t]
            for k in range(256):
                logits[k] = f4(p[k]) * (s * column_scale[k]) + bias[k]
            frequencies(logits, e, net.exp2, net.frequencies[b, t])


@inline
def product(net, x, matrix, y, start, stop, products, number):
    """y = x · matrix, integers: product `number` of `products`, or if that is 0, position by position here."""
    if products:
        call(products, number)
        return
    total = net.scratch[0, : y.shape[2]]
    for b in range(x.shape[0]):
        for t in range(start, stop):
            weighted_rows(x[b, t], matrix.integers, 0, total)
            copy(total, y[b, t])


@heapless
def forward(net, caches, past, start, stop, products):
    """Frequencies of positions [start, stop), whose contexts are known; `past` positions precede the segment.

    products: 0, or where `Products` can be called; then the positions are all of the segment.
    """
    embed(net, start, stop)
    for layer in range(len(net.blocks)):
        block, cache, number = net.blocks[layer], caches[layer], 4 * layer
        token_shift(net, block, cache.last, start, stop)
        product(net, block.h_integers, block.qkv, block.qkv_product, start, stop, products, number)
        split_heads(net, block, cache, start, stop)
        attend(net, block, cache, past, start, stop)
        product(net, block.y_integers, block.out, block.out_product, start, stop, products, number + 1)
        add(block.x, block.out_product, block.y_scale, block.out.scale,
            block.z, block.z_integers, block.z_norm, block.z_scale, start, stop)  # fmt: skip
        product(net, block.z_integers, block.up, block.up_product, start, stop, products, number + 2)
        activate(net, block, start, stop)
        product(net, block.a_integers, block.down, block.down_product, start, stop, products, number + 3)
        add(block.z, block.down_product, block.a_scale, block.down.scale,
            net.x[layer + 1], net.x_integers, net.x_norm[layer + 1], net.x_scale, start, stop)  # fmt: skip
    product(net, net.x_integers, net.head, net.head_product, start, stop, products, 4 * len(net.blocks))
    predict(net, start, stop)


@heapless
def quantise_columns(matrix, most):
    """Each column of a matrix's weights as integers in ±64, and its scale; overwrites `most`, its largest |weight|."""
    for n in range(most.shape[0]):
        matrix.scale[n] = most[n] / SECOND
        most[n] = SECOND / most[n]
    for k in range(matrix.weight.shape[0]):
        row, q = matrix.weight[k], matrix.integers[k]
        for n in range(most.shape[0]):
            q[n] = round_even(row[n] * most[n])


@heapless
def decode_symbols(net, caches, past, table_bits, history, begin, position, first, count, state, message):
    """Read `count` positions, predicting each from those before it; returns their code length."""
    length = np.int64(0)
    for t in range(count):
        hash_contexts(history, begin, position, t, t + 1, table_bits, net.contexts)
        forward(net, caches, past, t, t + 1, np.int64(0))
        length += decode_row(net.frequencies, history, position, first, t, state, message)
    return length


class Model:
    """State of the language model for `streams` streams and segments of `segment` positions.

    `net` holds parameters and activations, `caches` one `Cache` a block, `past[0]` how many positions the caches
    remember. Arrays are only ever written in place.
    """

    def __init__(self, settings: ModelSettings, streams: int, segment: int, seed: int, products: Products) -> None:
        self.settings, self.streams, self.segment = settings, streams, segment
        d, hidden, layers = settings.width, settings.hidden, settings.layers
        operand, result = products.operand, products.result
        longest = max(3 * d, hidden, settings.window, 256)
        stream = (seed << 8) + 1

        def normal(*shape: int, deviation: float) -> np.ndarray:
            nonlocal stream
            stream += 1
            return rng.normal(stream, shape, deviation)

        def rows(*shape: int, kind: type = f4) -> np.ndarray:
            return np.zeros((streams, segment, *shape), kind)

        def matrix(inputs: int, outputs: int, deviation: float) -> Matrix:
            weight, moments = normal(inputs, outputs, deviation=deviation), np.zeros((2, inputs, outputs), f4)
            made = Matrix(weight, np.zeros((inputs, outputs), operand), np.zeros(outputs, f4), *moments)
            quantise_columns(made, np.maximum(abs(weight).max(0), TINY))
            return made

        self.parameters = np.zeros(layers * (d + settings.heads * (settings.window + 1)) + 256, f4)  # the small ones
        small = self.slices(self.parameters)
        x, x_norm = np.zeros((layers + 1, streams, segment, d), f4), np.zeros((layers + 1, streams, segment), f4)
        blocks = []
        scaled = float(np.float64(1) / np.sqrt(np.float64(d)))
        for layer in range(layers):
            mix, distance, sharpness = small[layer]
            sharpness[:] = f4(8)
            heads, size = settings.heads, d // settings.heads
            attention = Attention(
                distance, sharpness, rows(heads, size), rows(heads, size), rows(heads), rows(heads),
                rows(heads, size), rows(heads), rows(heads, settings.window), rows(d),
            )  # fmt: skip
            blocks.append(
                Block(
                    matrix(d, 3 * d, scaled), matrix(d, d, 0.0), matrix(d, hidden, scaled), matrix(hidden, d, 0.0),
                    mix, attention, x[layer], x_norm[layer], np.zeros((streams, segment + 1, d), f4),
                    rows(d, kind=operand), rows(), rows(3 * d, kind=result),
                    rows(d, kind=operand), rows(), rows(d, kind=result),
                    rows(d), rows(d, kind=operand), rows(), rows(), rows(hidden, kind=result),
                    rows(hidden), rows(hidden, kind=operand), rows(), rows(d, kind=result),
                )
            )  # fmt: skip
        self.net = Network(
            tuple(blocks), matrix(d, 256, 0.0), small[layers][0],
            np.zeros((ORDERS, 1 << settings.table_bits, d), f4), np.zeros((streams, segment, ORDERS), i4),
            x, rows(d, kind=operand), x_norm, rows(), rows(256, kind=result), rows(256, kind=np.uint32), EXP2,
            np.zeros((4, longest), f4), np.zeros(longest, i4),
        )  # fmt: skip
        self.net.tables[0, :256] = normal(256, d, deviation=0.5)
        self.caches = self.fresh_caches()
        self.past = np.zeros(1, np.int64)
        self._products = products
        for block in blocks:
            products.add(block.h_integers, block.qkv.integers, block.qkv_product)
            products.add(block.y_integers, block.out.integers, block.out_product)
            products.add(block.z_integers, block.up.integers, block.up_product)
            products.add(block.a_integers, block.down.integers, block.down_product)
        products.add(self.net.x_integers, self.net.head.integers, self.net.head_product)

    def slices(self, flat: np.ndarray) -> list[list[np.ndarray]]:
        """Views of the small parameters, or of their gradients: mix, distance, sharpness a block; the head's bias."""
        s, at = self.settings, 0
        views: list[list[np.ndarray]] = []
        shapes = [[(s.width,), (s.heads, s.window), (s.heads,)]] * s.layers + [[(256,)]]
        for group in shapes:
            views.append([])
            for shape in group:
                count = int(np.prod(shape))
                views[-1].append(flat[at : at + count].reshape(shape))
                at += count
        return views

    def fresh_caches(self) -> tuple[Cache, ...]:
        """Caches that remember nothing."""
        s = self.settings
        size, length = s.width // s.heads, s.window + self.segment
        shapes = ((length, size), (size, length), (length,))
        return tuple(
            Cache(
                np.zeros((self.streams, s.width), f4),
                *(np.zeros((self.streams, s.heads, *shape), f4) for shape in shapes * 2),
            )
            for _ in range(s.layers)
        )

    def predict_segment(self, history: np.ndarray, begin: np.ndarray, position: np.ndarray, count: int) -> np.ndarray:
        """Frequencies of bytes at `position` …, all but the last of which are in the history already."""
        hash_contexts(history, begin, position, 0, count, self.settings.table_bits, self.net.contexts)
        self.predict(self.caches, int(self.past[0]))
        return self.net.frequencies[:, :count]

    def decode_segment(
        self,
        history: np.ndarray,
        begin: np.ndarray,
        position: np.ndarray,
        first: int,
        count: int,
        state: np.ndarray,
        message: np.ndarray,
    ) -> int:
        """Read `count` positions of streams `first` … into the history; returns their code length."""
        bits, past = self.settings.table_bits, int(self.past[0])
        return decode_symbols(self.net, self.caches, past, bits, history, begin, position, first, count, state, message)

    def predict(self, caches: tuple[Cache, ...], past: int) -> None:
        """Frequencies of a whole segment's bytes at once, left in `net.frequencies`; contexts are already set."""
        self._products.run(forward, self.net, caches, past, 0, self.segment)

    def forget(self) -> None:
        """Start the caches anew, as at the first byte."""
        self.past[0] = 0
        for cache in self.caches:
            cache.last[:] = ZERO

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array that outlives a segment, by name; of the caches the part that is remembered."""
        named = {"parameters": self.parameters, "tables": self.net.tables, "past": self.past}
        window = self.settings.window
        for layer, (block, cache) in enumerate(zip(self.net.blocks, self.caches, strict=True)):
            for name in ("qkv", "out", "up", "down"):
                named.update({f"{layer}.{name}.{part}": a for part, a in getattr(block, name)._asdict().items()})
            named[f"{layer}.last"] = cache.last
            for name in ("keys", "key_scale", "values", "value_scale"):
                named[f"{layer}.{name}"] = getattr(cache, name)[:, :, :window]
            for name in ("keys_across", "values_across"):
                named[f"{layer}.{name}"] = getattr(cache, name)[..., :window]
        return named | {f"head.{part}": a for part, a in self.net.head._asdict().items()}

    def advance(self, count: int) -> None:
        """Move the caches on by `count` positions, the segment just coded."""
        window = self.settings.window
        for block, cache in zip(self.net.blocks, self.caches, strict=True):
            cache.last[:] = block.h[:, count]
            for rows in (cache.keys, cache.values, cache.key_scale, cache.value_scale):
                rows[:, :, :window] = rows[:, :, count : count + window].copy()
            for across in (cache.keys_across, cache.values_across):
                across[..., :window] = across[..., count : count + window].copy()
        self.past[0] = min(window, self.past[0] + count)
