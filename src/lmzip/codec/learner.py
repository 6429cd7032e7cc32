"""How the language model learns from a segment once it is coded: exact backward pass, optimiser, replay of the past.

Gradients of matrices are products of integers: each row of an output's gradient becomes integers for the gradient of
the input, each column (with the input's row scales folded in) for the gradient of the weights. The trunk is stepped by
Adam (Kingma and Ba 2015), embedding rows by Adagrad with one accumulator a row (Duchi et al. 2011), far faster.
Rows that repeat within a segment are stepped once per position, in order of position.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from . import rng
from .exact import (
    FIRST,
    ONE,
    TINY,
    ZERO,
    f4,
    i4,
    pairwise_sum,
    quantise,
    quantise_columns,
    round_even,
    sqrt,
    weighted_rows,
)
from .kernel import kernel
from .model import ORDERS, Cache, Matrix, Model, hash_contexts
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


@kernel
def head_backward(f, targets, g, bias_gradient):
    """g = p - 1{target}, the gradient of Σ -ln p[target] by the logits, clipped; and its sum over all positions.

    Where the norm over the segment passes CLIP per square root of a position, g is scaled down to it.
    """
    bias_gradient[:] = ZERO
    squares, total = np.empty(256, f4), ZERO
    for b in range(g.shape[0]):
        for t in range(g.shape[1]):
            row, counts = g[b, t], f[b, t]
            for k in range(256):
                row[k] = f4(i4(counts[k])) * _PROBABILITY
            row[targets[b, t]] -= ONE
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


@kernel
def split_gradient(g, weight_scale, x_scale, by_row, row_scale, by_column, column_scale):
    """Integers of the gradient g of x · W: a scale per row for dx, a scale per column for dW."""
    count = g.shape[2]
    v, most, inverse = np.empty(count, f4), np.full(count, TINY, f4), np.empty(count, f4)
    for b in range(g.shape[0]):
        for t in range(g.shape[1]):
            row, s = g[b, t], x_scale[b, t]
            for n in range(count):
                size = abs(row[n] * s)
                most[n] = size if size > most[n] else most[n]
                v[n] = row[n] * weight_scale[n]
            row_scale[b, t] = quantise(v, by_row[b, t], FIRST)
    for n in range(count):
        column_scale[n] = most[n] / FIRST
        inverse[n] = FIRST / most[n]
    for b in range(g.shape[0]):
        for t in range(g.shape[1]):
            row, q, s = g[b, t], by_column[b, t], x_scale[b, t]
            for n in range(count):
                q[n] = round_even((row[n] * s) * inverse[n])


@kernel
def norm_backward(gradient, scale, x, norm, dx):
    """dx += gradient of x, given that of h = x / rms(x), `gradient * scale`."""
    count = x.shape[2]
    p, dh = np.empty(count, f4), np.empty(count, f4)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            row, g, out, s, f = x[b, t], gradient[b, t], dx[b, t], scale[b, t], norm[b, t]
            for k in range(count):
                dh[k] = g[k] * s
                p[k] = dh[k] * (row[k] * f)
            mean = pairwise_sum(p, count) / f4(count)
            for k in range(count):
                out[k] = out[k] + f * (dh[k] - (row[k] * f) * mean)


@kernel
def activate_backward(gradient, scale, active, g):
    """g = gradient of u, where active = max(0, u), given that of active², `gradient * scale`."""
    for b in range(g.shape[0]):
        for t in range(g.shape[1]):
            d, u, out, s = gradient[b, t], active[b, t], g[b, t], scale[b, t]
            for k in range(u.shape[0]):
                out[k] = (d[k] * s) * (u[k] + u[k])


@kernel
def attend_backward(gradient, scale, attention, cache, distance_gradient, sharpness_gradient, g):
    """g[streams, segment, 3 * width] = gradient of queries, keys and values, given that of y, `gradient * scale`.

    The cache holds what was before the segment as well; gradient flows to keys and values inside the segment only.
    """
    streams, segment, heads, size = attention.query.shape
    window, width = attention.distance.shape[1], heads * size
    dy, dq, p = np.empty(size, f4), np.empty(size, f4), np.empty(max(size, window), f4)
    ds = np.empty(window, f4)
    shrink = ONE / sqrt(f4(size))
    distance_gradient[:] = ZERO
    sharpness_gradient[:] = ZERO
    g[:] = ZERO
    for b in range(streams):
        for head in range(heads):
            sharpness, total = attention.sharpness[head] * shrink, ZERO
            own = distance_gradient[head]
            at_query, at_key, at_value = head * size, width + head * size, 2 * width + head * size
            for t in range(segment):
                first = t + 1
                weights, row = attention.weights[b, t, head], gradient[b, t, at_query : at_query + size]
                key_scale = cache.key_scale[b, head, first : first + window]
                value_scale = cache.value_scale[b, head, first : first + window]
                for k in range(size):
                    dy[k] = row[k] * scale[b, t]
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
            sharpness_gradient[head] += total * shrink
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


@kernel
def shift_backward(gradient, scale, h, mix, mix_gradient, dh):
    """dh = gradient of h, given that of h + mix * h one before, `gradient * scale`."""
    mix_gradient[:] = ZERO
    after = np.empty(mix.shape[0], f4)
    for b in range(dh.shape[0]):
        after[:] = ZERO
        for t in range(dh.shape[1] - 1, -1, -1):
            g, before, out, s = gradient[b, t], h[b, t], dh[b, t], scale[b, t]
            for k in range(after.shape[0]):
                d = g[k] * s
                out[k] = d + after[k]
                mix_gradient[k] = mix_gradient[k] + d * before[k]
                after[k] = d * mix[k]


@kernel
def adam(weight, mean, square, gradient, scale, rate, epsilon):
    """One step on weight[inputs, outputs] with the gradient `gradient * scale`, scale[outputs]."""
    for n in range(weight.shape[0]):
        w, m, v, g = weight[n], mean[n], square[n], gradient[n]
        for k in range(w.shape[0]):
            d = g[k] * scale[k]
            a = m[k] * _MEAN + d * _NEW_MEAN
            b = v[k] * _SQUARE + ((d * d) * _NEW_SQUARE + TINY)
            a = ZERO if abs(a) < TINY else a
            m[k], v[k] = a, b
            w[k] = w[k] - (rate * a) / (sqrt(b) + epsilon)


@kernel
def adagrad_rows(tables, squares, contexts, dx, rate):
    """Step the embedding rows of every position, in order, each by the position's gradient dx."""
    p, d = np.empty(dx.shape[2], f4), np.empty(dx.shape[2], f4)
    for b in range(dx.shape[0]):
        for t in range(dx.shape[1]):
            for k in range(d.shape[0]):
                d[k] = dx[b, t, k] if abs(dx[b, t, k]) >= TINY else ZERO
                p[k] = d[k] * d[k]
            square = pairwise_sum(p, p.shape[0]) / f4(p.shape[0]) + _ROW_EPSILON
            for order in range(ORDERS):
                row, at = tables[order, contexts[b, t, order]], contexts[b, t, order]
                squares[order, at] += square
                step = rate / sqrt(squares[order, at])
                for k in range(d.shape[0]):
                    row[k] = row[k] - step * d[k]


class Learner:
    """The optimiser's state for one model, and its training step."""

    def __init__(self, model: Model, products: Products, replay: int, seed: int) -> None:
        self.model, self.products, self.replay, self.seed = model, products, replay, seed
        self.decays = np.ones(2, np.float64)  # Adam's 0.9^steps and 0.99^steps
        self.steps = np.zeros(1, np.int64)
        self.squares = np.zeros(model.net.tables.shape[:2], f4)  # Adagrad's, a number a row
        small = np.zeros((3, 1, len(model.parameters)), f4)
        self.small_gradient, self.small_mean, self.small_square = small
        self.small_gradients = model.slices(self.small_gradient[0])
        self._fresh = model.fresh_caches()
        shape, d, hidden = (model.streams, model.segment), model.settings.width, model.settings.hidden
        self._targets = np.zeros(shape, np.uint8)
        self._starts = np.zeros(model.streams, np.int64)
        self._dx, self._dh = np.zeros((2, *shape, d), f4)
        self._scale, self._unit = np.zeros(shape, f4), np.ones(shape, f4)
        self._ones = np.ones(len(model.parameters), f4)
        self._gradients = {n: [np.zeros((*shape, n), f4) for _ in range(3)] for n in (256, d, hidden, 3 * d)}
        self._inputs = {k: np.zeros((*shape, k), f4) for k in (d, hidden)}
        self._outers = {
            (k, n): np.zeros((k, n), f4) for k, n in ((d, 256), (d, d), (d, 3 * d), (d, hidden), (hidden, d))
        }
        self._column_scale = np.zeros(max(self._gradients), f4)

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
            "squares": self.squares,
            "small.mean": self.small_mean,
            "small.square": self.small_square,
        }

    def _step(self, history: np.ndarray, at: np.ndarray, now: np.ndarray, caches: tuple[Cache, ...]) -> None:
        """One step by the loss of the segments at `at`, predicted last; the schedule goes by the position `now`."""
        model, net, small, dx, scale = self.model, self.model.net, self.small_gradients, self._dx, self._scale
        indices = (at[:, None] + np.arange(model.segment)) & (len(history) - 1)
        np.take(history, indices, out=self._targets)
        self.decays *= (0.9, 0.99)
        self.decays[self.decays < TINY] = 0
        first, second = (float(1 - decay) for decay in self.decays)
        self.steps[0] += 1
        fall = math.sqrt(1 + int(now[0]) / HALVING)
        rate = RATE * min(1.0, int(self.steps[0]) / WARM_UP) / fall
        self._rate, self._epsilon = f4(rate * math.sqrt(second) / first), f4(EPSILON * math.sqrt(second))

        g = self._gradients[256][0]
        head_backward(net.frequencies, self._targets, g, small[-1][0])
        d = self._matrix_backward(net.head, g, net.x_integers, net.x_scale)
        dx[:] = ZERO
        norm_backward(d, scale, net.x[-1], net.x_norm[-1], dx)
        for layer in range(len(net.blocks) - 1, -1, -1):
            block = net.blocks[layer]
            mix, distance, sharpness = small[layer]
            d = self._matrix_backward(block.down, dx, block.a_integers, block.a_scale)
            g = self._gradients[d.shape[2]][0]
            activate_backward(d, scale, block.active, g)
            d = self._matrix_backward(block.up, g, block.z_integers, block.z_scale)
            norm_backward(d, scale, block.z, block.z_norm, dx)
            d = self._matrix_backward(block.out, dx, block.y_integers, block.y_scale)
            g = self._gradients[3 * d.shape[2]][0]
            attend_backward(d, scale, block.attention, caches[layer], distance, sharpness, g)
            d = self._matrix_backward(block.qkv, g, block.h_integers, block.h_scale)
            shift_backward(d, scale, block.h, block.mix, mix, self._dh)
            norm_backward(self._dh, self._unit, block.x, block.x_norm, dx)
        adam(model.parameters[None], self.small_mean, self.small_square, self.small_gradient, self._ones,
             self._rate, self._epsilon)  # fmt: skip
        adagrad_rows(net.tables, self.squares, net.contexts, dx, f4(ROW_RATE / RATE * rate))

    def _matrix_backward(self, matrix: Matrix, g: np.ndarray, x: np.ndarray, x_scale: np.ndarray) -> np.ndarray:
        """Step the matrix of y = x · W by the gradient g of y; returns that of x, its scales in `_scale`."""
        k, n = matrix.weight.shape
        _, by_row, by_column = self._gradients[n]
        column_scale = self._column_scale[:n]
        split_gradient(g, matrix.scale, x_scale, by_row, self._scale, by_column, column_scale)
        self.products.backward(by_row, matrix, self._inputs[k])
        self.products.outer(by_column, x, self._outers[k, n])
        adam(matrix.weight, matrix.mean, matrix.square, self._outers[k, n], column_scale, self._rate, self._epsilon)
        quantise_columns(matrix.weight, matrix.integers, matrix.scale)
        return self._inputs[k]
