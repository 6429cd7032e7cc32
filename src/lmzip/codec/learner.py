"""How the language model learns from a segment once it is coded: exact backward pass, optimiser, replay of the past.

Gradients of matrices are products of integers: each row of an output's gradient becomes integers for the gradient of
the input, each column (with the input's row scales folded in) for the gradient of the weights. The trunk is stepped by
Adam (Kingma and Ba 2015), embedding rows by Adagrad with one accumulator a row (Duchi et al. 2011), far faster.
Rows that repeat within a segment are stepped once per position, in order of position.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import rng
from .exact import (
    FIRST,
    ONE,
    SECOND,
    TINY,
    ZERO,
    f4,
    i4,
    pairwise_sum,
    quantise,
    round_even,
    sqrt,
    weighted_rows,
)
from .kernel import call, heapless, inline
from .model import ORDERS, Cache, Matrix, Model, hash_contexts, quantise_columns
from .symbols import FREQUENCY_BITS

if TYPE_CHECKING:
    from .product import Products

RATE, ROW_RATE, EPSILON = 7e-4, 0.5, 1e-8
WARM_UP = 50  # steps until the rate is whole
HALVING = 400_000  # bytes: the rate falls as 1 / sqrt(1 + position / HALVING)
CLIP = f4(0.75)  # of the norm of the logits' gradient, per square root of a position; at most sqrt(2) is possible
_MEAN, _SQUARE = f4(0.9), f4(0.99)
_NEW_MEAN, _NEW_SQUARE = f4(0.1), f4(0.01)
_ROW_EPSILON = f4(1e-16)
_PROBABILITY = f4(1 / (1 << FREQUENCY_BITS))


class Gradient(NamedTuple):
    """What a training step needs to bring a gradient back through one matrix; matrices of a size share arrays."""

    number: int  # of the product for the inputs; the one for the weights is next
    outputs: np.ndarray  # [streams, segment, outputs], gradient of the outputs
    by_row: np.ndarray  # its integers, with a scale per row
    by_column: np.ndarray  # and with a scale per column
    column_scale: np.ndarray
    inputs: np.ndarray  # [streams, segment, inputs], integers
    weights: np.ndarray  # [inputs, outputs], integers


class BlockGradients(NamedTuple):
    """Gradients of a block's matrices and of its small parameters."""

    qkv: Gradient
    out: Gradient
    up: Gradient
    down: Gradient
    mix: np.ndarray
    distance: np.ndarray
    sharpness: np.ndarray


class Gradients(NamedTuple):
    """All that a training step works on besides the network and its caches."""

    blocks: tuple[BlockGradients, ...]
    head: Gradient
    head_bias: np.ndarray
    parameters: np.ndarray  # the small ones, in a row
    small: np.ndarray  # [3, parameters]: their gradients, the optimiser's moments
    squares: np.ndarray  # [orders, rows], Adagrad's sums
    dx: np.ndarray
    dh: np.ndarray
    scale: np.ndarray  # [streams, segment], of the inputs' gradient just computed


@inline
def head_backward(net, g, bias_gradient, history, at):
    """g = p - 1{target}, the gradient of Σ -ln p[target] by the logits, clipped; and its sum over all positions.

    Where the norm over the segment passes CLIP per square root of a position, g is scaled down to it.
    """
    bias_gradient[:] = ZERO
    squares, total = net.scratch[0, :256], ZERO
    for b in range(g.shape[0]):
        for t in range(g.shape[1]):
            row, counts = g[b, t], net.frequencies[b, t]
            for k in range(256):
                row[k] = f4(i4(counts[k])) * _PROBABILITY
            row[history[(at[b] + t) & (history.shape[0] - 1)]] -= ONE
            for k in range(256):
                squares[k] = row[k] * row[k]
            total += pairwise_sum(squares, 256)
    limit = CLIP * sqrt(f4(g.shape[0] * g.shape[1]))
    norm = sqrt(total)
    factor = limit / norm if norm > limit else ONE
    for b in range(g.shape[0]):
        for t in range(g.shape[1]):
            row = g[b, t]
            for k in range(256):
                row[k] = row[k] * factor
                bias_gradient[k] = bias_gradient[k] + row[k]


@inline
def split_gradient(matrix, gradient, x_scale, row_scale, scratch):
    """Integers of the gradient of x · W: a scale per row for dx, a scale per column for dW."""
    g, weight_scale, count = gradient.outputs, matrix.scale, matrix.scale.shape[0]
    v, most, inverse = scratch[0, :count], scratch[1, :count], scratch[2, :count]
    most[:] = TINY
    for b in range(g.shape[0]):
        for t in range(g.shape[1]):
            row, s = g[b, t], x_scale[b, t]
            for n in range(count):
                size = abs(row[n] * s)
                most[n] = size if size > most[n] else most[n]
                v[n] = row[n] * weight_scale[n]
            row_scale[b, t] = quantise(v, gradient.by_row[b, t], FIRST)
    for n in range(count):
        gradient.column_scale[n] = most[n] / SECOND
        inverse[n] = SECOND / most[n]
    for b in range(g.shape[0]):
        for t in range(g.shape[1]):
            row, q, s = g[b, t], gradient.by_column[b, t], x_scale[b, t]
            for n in range(count):
                q[n] = round_even((row[n] * s) * inverse[n])


@inline
def norm_backward(gradient, scale, x, norm, dx, scratch):
    """dx += gradient of x, given that of h = x / rms(x), `gradient * scale`."""
    count = x.shape[2]
    p, dh = scratch[0, :count], scratch[1, :count]
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            row, g, out, s, f = x[b, t], gradient[b, t], dx[b, t], scale[b, t], norm[b, t]
            for k in range(count):
                dh[k] = f4(g[k]) * s
                p[k] = dh[k] * (row[k] * f)
            mean = pairwise_sum(p, count) / f4(count)
            for k in range(count):
                out[k] = out[k] + f * (dh[k] - (row[k] * f) * mean)


@inline
def activate_backward(gradient, scale, active, g):
    """g = gradient of u, where active = max(0, u), given that of active², `gradient * scale`."""
    for b in range(g.shape[0]):
        for t in range(g.shape[1]):
            d, u, out, s = gradient[b, t], active[b, t], g[b, t], scale[b, t]
            for k in range(u.shape[0]):
                out[k] = (f4(d[k]) * s) * (u[k] + u[k])


@inline
def attend_backward(gradient, scale, attention, cache, own_gradients, scratch):
    """Gradient of queries, keys and values [streams, segment, 3 * width], given that of y, `gradient * scale`.

    The cache holds what was before the segment as well; gradient flows to keys and values inside the segment only.
    """
    g = own_gradients.qkv.outputs
    streams, segment, heads, size = attention.query.shape
    window, width = attention.distance.shape[1], heads * size
    dy, dq, ds, p = scratch[0, :size], scratch[1, :size], scratch[2, :window], scratch[3]
    shrink = ONE / sqrt(f4(size))
    own_gradients.distance[:] = ZERO
    own_gradients.sharpness[:] = ZERO
    g[:] = ZERO
    for b in range(streams):
        for head in range(heads):
            sharpness, total = attention.sharpness[head] * shrink, ZERO
            own = own_gradients.distance[head]
            at_query, at_key, at_value = head * size, width + head * size, 2 * width + head * size
            for t in range(segment):
                first = t + 1
                weights, row = attention.weights[b, t, head], gradient[b, t, at_query : at_query + size]
                key_scale = cache.key_scale[b, head, first : first + window]
                value_scale = cache.value_scale[b, head, first : first + window]
                for k in range(size):
                    dy[k] = f4(row[k]) * scale[b, t]
                weighted_rows(dy, cache.values_across[b, head], first, ds)
                for w in range(window):
                    ds[w] = ds[w] * value_scale[w]
                    p[w] = ds[w] * weights[w]
                mean = pairwise_sum(p, window)
                for w in range(window):
                    ds[w] = weights[w] * (ds[w] - mean)
                    own[w] = own[w] + ds[w]
                query = attention.query[b, t, head]
                for j in range(max(0, t + 1 - window), t + 1):
                    w = window - 1 - (t - j)
                    by_key, by_value = ds[w] * sharpness, weights[w]
                    dk, dv = g[b, j, at_key : at_key + size], g[b, j, at_value : at_value + size]
                    for k in range(size):
                        dk[k] = dk[k] + by_key * query[k]
                        dv[k] = dv[k] + by_value * dy[k]
                for w in range(window):
                    ds[w] = ds[w] * key_scale[w]
                weighted_rows(ds, cache.keys[b, head, first : first + window], 0, dq)
                for k in range(size):
                    p[k] = dq[k] * query[k]
                along = pairwise_sum(p, size)
                total = total + along
                along = along * sharpness / f4(size)
                out, norm = g[b, t, at_query : at_query + size], attention.query_norm[b, t, head]
                for k in range(size):
                    out[k] = norm * (dq[k] * sharpness - query[k] * along)
            own_gradients.sharpness[head] += total * shrink
            for t in range(segment):
                key, out, norm = (
                    attention.key[b, t, head],
                    g[b, t, at_key : at_key + size],
                    attention.key_norm[b, t, head],
                )
                for k in range(size):
                    p[k] = out[k] * key[k]
                along = pairwise_sum(p, size) / f4(size)
                for k in range(size):
                    out[k] = norm * (out[k] - key[k] * along)


@inline
def shift_backward(gradient, scale, h, mix, mix_gradient, dh, scratch):
    """dh = gradient of h, given that of h + mix * h one before, `gradient * scale`; scale becomes dh's, 1."""
    after = scratch[0, : mix.shape[0]]
    mix_gradient[:] = ZERO
    for b in range(dh.shape[0]):
        after[:] = ZERO
        for t in range(dh.shape[1] - 1, -1, -1):
            g, before, out, s = gradient[b, t], h[b, t], dh[b, t], scale[b, t]
            scale[b, t] = ONE
            for k in range(after.shape[0]):
                d = f4(g[k]) * s
                out[k] = d + after[k]
                mix_gradient[k] = mix_gradient[k] + d * before[k]
                after[k] = d * mix[k]


@inline
def adam(w, m, v, gradient, rate, epsilon):
    """One step on a row of weights."""
    for k in range(w.shape[0]):
        d = gradient[k]
        a = m[k] * _MEAN + d * _NEW_MEAN
        b = v[k] * _SQUARE + ((d * d) * _NEW_SQUARE + TINY)
        a = ZERO if abs(a) < TINY else a
        m[k], v[k] = a, b
        w[k] = w[k] - (rate * a) / (sqrt(b) + epsilon)


@heapless
def matrix_backward(matrix, gradient, x_scale, scale, rate, epsilon, scratch, products):
    """Step the matrix of y = x · W by the gradient of y; leaves that of x in `gradient.inputs` and `scale`."""
    split_gradient(matrix, gradient, x_scale, scale, scratch)
    call(products, gradient.number)
    call(products, gradient.number + 1)
    count = matrix.scale.shape[0]
    d, most = scratch[0, :count], scratch[1, :count]
    most[:] = TINY
    for k in range(matrix.weight.shape[0]):
        row, weight = gradient.weights[k], matrix.weight[k]
        for n in range(count):
            d[n] = f4(row[n]) * gradient.column_scale[n]
        adam(weight, matrix.mean[k], matrix.square[k], d, rate, epsilon)
        for n in range(count):
            size = abs(weight[n])
            most[n] = size if size > most[n] else most[n]
    quantise_columns(matrix, most)


@inline
def adagrad_rows(net, squares, dx, rate):
    """Step the embedding rows of every position, in order, each by the position's gradient dx."""
    p, d = net.scratch[0, : dx.shape[2]], net.scratch[1, : dx.shape[2]]
    for b in range(dx.shape[0]):
        for t in range(dx.shape[1]):
            for k in range(d.shape[0]):
                d[k] = dx[b, t, k] if abs(dx[b, t, k]) >= TINY else ZERO
                p[k] = d[k] * d[k]
            square = pairwise_sum(p, p.shape[0]) / f4(p.shape[0]) + _ROW_EPSILON
            for order in range(ORDERS):
                at = net.contexts[b, t, order]
                row = net.tables[order, at]
                squares[order, at] += square
                step = rate / sqrt(squares[order, at])
                for k in range(d.shape[0]):
                    row[k] = row[k] - step * d[k]


@heapless
def train(net, caches, gradients, history, at, rate, row_rate, epsilon, products):
    """One step by the loss of the segments at `at`, which were predicted last."""
    dx, scale, scratch, g = gradients.dx, gradients.scale, net.scratch, gradients.head
    head_backward(net, g.outputs, gradients.head_bias, history, at)
    matrix_backward(net.head, g, net.x_scale, scale, rate, epsilon, scratch, products)
    dx[:] = ZERO
    norm_backward(g.inputs, scale, net.x[-1], net.x_norm[-1], dx, scratch)
    for layer in range(len(net.blocks) - 1, -1, -1):
        block, own = net.blocks[layer], gradients.blocks[layer]
        matrix_backward(block.down, own.down, block.a_scale, scale, rate, epsilon, scratch, products)
        activate_backward(own.down.inputs, scale, block.active, own.up.outputs)
        matrix_backward(block.up, own.up, block.z_scale, scale, rate, epsilon, scratch, products)
        norm_backward(own.up.inputs, scale, block.z, block.z_norm, dx, scratch)
        matrix_backward(block.out, own.out, block.y_scale, scale, rate, epsilon, scratch, products)
        attend_backward(own.out.inputs, scale, block.attention, caches[layer], own, scratch)
        matrix_backward(block.qkv, own.qkv, block.h_scale, scale, rate, epsilon, scratch, products)
        shift_backward(own.qkv.inputs, scale, block.h, block.mix, own.mix, gradients.dh, scratch)
        norm_backward(gradients.dh, scale, block.x, block.x_norm, dx, scratch)
    small = gradients.small
    adam(gradients.parameters, small[1], small[2], small[0], rate, epsilon)
    adagrad_rows(net, gradients.squares, dx, row_rate)


class Learner:
    """The optimiser's state for one model, and its training step."""

    def __init__(self, model: Model, products: Products, replay: int, seed: int) -> None:
        self.model, self.products, self.replay, self.seed = model, products, replay, seed
        self.decays = np.ones(2, np.float64)  # Adam's 0.9^steps and 0.99^steps
        self.steps = np.zeros(1, np.int64)
        self._fresh = model.fresh_caches()
        self._starts = np.zeros(model.streams, np.int64)
        net, shape, d = model.net, (model.streams, model.segment), model.settings.width
        small = np.zeros((3, len(model.parameters)), f4)
        views = model.slices(small[0])
        dx = np.zeros((*shape, d), f4)

        @cache
        def shared(name: str, *shape: int, kind: type = f4) -> np.ndarray:
            return np.zeros(shape, kind)

        def gradient(matrix: Matrix, x: np.ndarray, given: np.ndarray | None = None) -> Gradient:
            k, n = matrix.weight.shape
            by_row, by_column = (shared(name, *shape, n, kind=products.operand) for name in ("by_row", "by_column"))
            inputs, weights = (
                shared(*what, kind=products.result) for what in (("inputs", *shape, k), ("weights", k, n))
            )
            number = products.add(by_row, matrix.integers.T, inputs)
            products.add(x.reshape(-1, k).T, by_column.reshape(-1, n), weights)
            outputs = shared("outputs", *shape, n) if given is None else given
            return Gradient(number, outputs, by_row, by_column, shared("scale", n), inputs, weights)

        blocks = tuple(
            BlockGradients(
                gradient(block.qkv, block.h_integers),
                gradient(block.out, block.y_integers, dx),
                gradient(block.up, block.z_integers),
                gradient(block.down, block.a_integers, dx),
                *own,
            )
            for block, own in zip(net.blocks, views, strict=False)
        )
        self.gradients = Gradients(
            blocks, gradient(net.head, net.x_integers), views[-1][0], model.parameters, small,
            np.zeros(net.tables.shape[:2], f4), dx, np.zeros((*shape, d), f4), np.zeros(shape, f4),
        )  # fmt: skip

    def learn(self, history: np.ndarray, begin: np.ndarray, position: np.ndarray) -> None:
        """Train on the segment just predicted, then on `replay` random segments of each stream's decoded past.

        `begin` and `position`, int64[streams]: where each stream and its segment begin in the history.
        """
        model = self.model
        self._step(history, position, position, model.caches)
        model.advance(model.segment)
        span = np.minimum(position - begin, len(history) - model.segment)
        for turn in range(self.replay):
            for b in range(model.streams):
                index = (int(position[b]) * self.replay + turn) * model.streams + b
                self._starts[b] = position[b] - rng.below(self.seed, index, int(span[b]) + 1)
            hash_contexts(
                history, position - span, self._starts, 0, model.segment, model.settings.table_bits, model.net.contexts
            )
            model.predict(self._fresh, 0)
            self._step(history, self._starts, position, self._fresh)

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array that outlives a segment, by name."""
        return {
            "decays": self.decays,
            "steps": self.steps,
            "squares": self.gradients.squares,
            "small.mean": self.gradients.small[1:2],
            "small.square": self.gradients.small[2:],
        }

    def _step(self, history: np.ndarray, at: np.ndarray, now: np.ndarray, caches: tuple[Cache, ...]) -> None:
        """One step by the loss of the segments at `at`, predicted last; the schedule goes by the position `now`."""
        self.decays *= (0.9, 0.99)
        self.decays[self.decays < TINY] = 0
        first, second = (float(1 - decay) for decay in self.decays)
        self.steps[0] += 1
        fall = math.sqrt(1 + int(now[0]) / HALVING)
        rate = RATE * min(1.0, int(self.steps[0]) / WARM_UP) / fall
        rates = f4(rate * math.sqrt(second) / first), f4(ROW_RATE / RATE * rate), f4(EPSILON * math.sqrt(second))
        self.products.run(train, self.model.net, caches, self.gradients, history, at, *rates)
