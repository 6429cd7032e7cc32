"""A stacked LSTM that stands where the codec's transformer stands: the same embeddings, head, optimiser and arithmetic.

A layer is h, c = LSTM(x / rms(x)) (Hochreiter and Schmidhuber 1997; with forget gates, Gers et al. 2000) and
x + out · h, so the embeddings reach the head whatever the layers do, as they do past the transformer's blocks. Without
a layer what is left is the n-gram tables and the head. It learns by backpropagation truncated at the segment's begin;
h and c go on from segment to segment.

The codec's contract holds (codec/exact.py): products of integers, float32 operations in a stated order, sigmoid and
tanh in straight lines between entries of a table of integers. What is h before a position and after it is kept as
integers with one scale, so a segment at once and byte by byte give the same bits.

This file holds all kernels of the lab: numba then notices when one of them changes. A change of the codec gives them
another folder, see codec/cache.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from lmzip.codec import rng
from lmzip.codec.exact import EXP2, FIRST, ONE, SECOND, TINY, ZERO, copy, f4, i4, inverse_rms, quantise, weighted_rows
from lmzip.codec.kernel import heapless, inline
from lmzip.codec.learner import (
    EPSILON,
    HALVING,
    RATE,
    ROW_RATE,
    WARM_UP,
    Gradient,
    adagrad_rows,
    adam,
    head_backward,
    matrix_backward,
    norm_backward,
)
from lmzip.codec.model import ORDERS, Matrix, add, embed, predict, product, quantise_columns
from lmzip.codec.product import Products

from .positions import ByPosition
from .sigmoid import END, SIGMOID, STEPS

LONGEST = 512  # cells: the way back through time sums 4 * cells products of integers, 2,048 at most

_PER_UNIT, _MIDDLE, _LAST, _TWO = f4(STEPS), f4(STEPS * END), f4(2 * STEPS * END), f4(2)


@dataclass(frozen=True)
class LstmSettings:
    """Sizes of the LSTM. Width must be a power of two, as the transformer's. `rate` is the trunk's, of Adam."""

    layers: int = 1
    width: int = 128
    cells: int = 96
    table_bits: int = 17
    tables: bool = True
    rate: float = RATE

    def __post_init__(self) -> None:
        if self.width & (self.width - 1) or self.cells % 4 or not 0 < self.cells <= LONGEST or self.layers < 0:
            raise ValueError(f"width must be a power of two, cells a multiple of 4 up to {LONGEST}, layers 0 or more")


class Rows(NamedTuple):
    """What flows between layers, [streams, segment, width], and the integers of x / rms(x)."""

    x: np.ndarray
    integers: np.ndarray
    norm: np.ndarray
    scale: np.ndarray


class Layer(NamedTuple):
    """Parameters and activations; of `cell` the first, of `before` the first are what the segment before left."""

    input: Matrix  # [width, 4 * cells]: input, forget and output gates, candidates
    recurrent: Matrix  # [cells, 4 * cells]
    out: Matrix  # [cells, width]
    bias: np.ndarray  # [4 * cells]
    across: np.ndarray  # [4 * cells, cells], recurrent's integers transposed, float32
    rows: Rows
    input_product: np.ndarray
    before: np.ndarray  # [streams, segment, cells], integers of h before each position
    before_scale: np.ndarray
    gates: np.ndarray  # [streams, segment, 4 * cells], in (0, 1), and in (-1, 1)
    cell: np.ndarray  # [streams, 1 + segment, cells]
    squashed: np.ndarray  # [streams, segment, cells], tanh of the cell after each position
    after: np.ndarray  # [streams, segment, cells], integers of h after each position
    after_scale: np.ndarray
    out_product: np.ndarray


class Ends(NamedTuple):
    """What is before the first layer and behind the last, by the names that the codec's kernels know."""

    head: Matrix
    head_bias: np.ndarray
    tables: np.ndarray
    contexts: np.ndarray
    x: np.ndarray  # [1, streams, segment, width], the embeddings
    x_norm: np.ndarray
    x_scale: np.ndarray  # [streams, segment], of the head's input
    head_product: np.ndarray
    frequencies: np.ndarray
    exp2: np.ndarray
    scratch: np.ndarray
    steps: np.ndarray


class LayerGradients(NamedTuple):
    """Gradients of a layer's matrices and bias; those of both matrices before the gates share their outputs."""

    input: Gradient
    recurrent: Gradient
    out: Gradient
    bias: np.ndarray


@inline
def sigmoid(x, table):
    """In (0, 1), of 24 bits at the entries of the table."""
    place = x * _PER_UNIT + _MIDDLE
    place = place if place > ZERO else ZERO
    place = place if place < _LAST else _LAST
    i = i4(place)
    low, high = table[np.uint32(i)], table[np.uint32(i + i4(1))]
    return low + (place - f4(i)) * (high - low)


@inline
def tanh(x, table):
    return sigmoid(x + x, table) * _TWO - ONE


@heapless
def enter(ends, rows, start, stop):
    """The embeddings that the contexts name, and their integers."""
    embed(ends, start, stop)
    for b in range(rows.x.shape[0]):
        for t in range(start, stop):
            unit = quantise(rows.x[b, t], rows.integers[b, t], SECOND)
            rows.norm[b, t] = inverse_rms(rows.integers[b, t], unit)
            rows.scale[b, t] = unit * rows.norm[b, t]


@inline
def recur(layer, table, scratch, start, stop):
    """Cells and h of positions [start, stop), one after the other."""
    streams, segment, cells = layer.after.shape
    z, h = scratch[0, : 4 * cells], scratch[1, :cells]
    for b in range(streams):
        for t in range(start, stop):
            weighted_rows(layer.before[b, t], layer.recurrent.integers, 0, z)
            p, gates, s, r = (
                layer.input_product[b, t],
                layer.gates[b, t],
                layer.rows.scale[b, t],
                layer.before_scale[b, t],
            )
            for n in range(4 * cells):
                z[n] = (f4(p[n]) * (s * layer.input.scale[n]) + z[n] * (r * layer.recurrent.scale[n])) + layer.bias[n]
            for n in range(3 * cells):
                gates[n] = sigmoid(z[n], table)
            for n in range(3 * cells, 4 * cells):
                gates[n] = tanh(z[n], table)
            before, after, squashed = layer.cell[b, t], layer.cell[b, t + 1], layer.squashed[b, t]
            for k in range(cells):
                c = gates[cells + k] * before[k] + gates[k] * gates[3 * cells + k]
                after[k] = ZERO if abs(c) < TINY else c
                squashed[k] = tanh(after[k], table)
                h[k] = gates[2 * cells + k] * squashed[k]
            layer.after_scale[b, t] = quantise(h, layer.after[b, t], SECOND)
            if t + 1 < segment:
                copy(layer.after[b, t], layer.before[b, t + 1])
                layer.before_scale[b, t + 1] = layer.after_scale[b, t]


@heapless
def forward_layer(ends, layer, behind, table, number, start, stop, products):
    """Rows behind a layer, from those before it; products as in the codec's `forward`."""
    product(ends, layer.rows.integers, layer.input, layer.input_product, start, stop, products, number)
    recur(layer, table, ends.scratch, start, stop)
    product(ends, layer.after, layer.out, layer.out_product, start, stop, products, number + 1)
    add(layer.rows.x, layer.out_product, layer.after_scale, layer.out.scale,
        behind.x, behind.integers, behind.norm, behind.scale, start, stop)  # fmt: skip


@heapless
def leave(ends, rows, number, start, stop, products):
    """Frequencies, from the rows behind the last layer."""
    product(ends, rows.integers, ends.head, ends.head_product, start, stop, products, number)
    predict(ends, start, stop)


@inline
def recur_backward(layer, from_out, scale, gates_gradient, bias_gradient, scratch):
    """Gradient of what the gates are made from, given that of h, `from_out * scale`, from the last position on back.

    A row of it goes back to the h before through integers, as in every other product.
    """
    streams, segment, cells = layer.after.shape
    later, dc = scratch[0, :cells], scratch[1, :cells]
    v, q = scratch[2, : 4 * cells], scratch[3, : 4 * cells]
    bias_gradient[:] = ZERO
    for b in range(streams):
        later[:] = ZERO
        dc[:] = ZERO
        for t in range(segment - 1, -1, -1):
            row, g, gates, s = gates_gradient[b, t], from_out[b, t], layer.gates[b, t], scale[b, t]
            for k in range(cells):
                i, f, o, new = gates[k], gates[cells + k], gates[2 * cells + k], gates[3 * cells + k]
                squashed, dh = layer.squashed[b, t, k], f4(g[k]) * s + later[k]
                d = dc[k] + (dh * o) * (ONE - squashed * squashed)
                row[k] = (d * new) * (i * (ONE - i))
                row[cells + k] = (d * layer.cell[b, t, k]) * (f * (ONE - f))
                row[2 * cells + k] = (dh * squashed) * (o * (ONE - o))
                row[3 * cells + k] = (d * i) * (ONE - new * new)
                d = d * f
                dc[k] = ZERO if abs(d) < TINY else d
            for n in range(4 * cells):
                row[n] = ZERO if abs(row[n]) < TINY else row[n]
                bias_gradient[n] = bias_gradient[n] + row[n]
                v[n] = row[n] * layer.recurrent.scale[n]
            unit = quantise(v, q, FIRST)
            weighted_rows(q, layer.across, 0, later)
            for k in range(cells):
                d = later[k] * unit
                later[k] = ZERO if abs(d) < TINY else d


@inline
def transpose(matrix, across):
    for k in range(matrix.shape[0]):
        for n in range(matrix.shape[1]):
            across[n, k] = f4(matrix[k, n])


@heapless
def train_head(ends, rows, gradient, bias_gradient, dx, scale, history, at, rate, epsilon, products):
    """Step the head by the loss of the segments at `at`, predicted last; dx becomes the gradient of the last rows."""
    head_backward(ends, gradient.outputs, bias_gradient, history, at)
    matrix_backward(ends.head, gradient, rows.scale, scale, rate, epsilon, ends.scratch, products)
    dx[:] = ZERO
    norm_backward(gradient.inputs, scale, rows.x, rows.norm, dx, ends.scratch)


@heapless
def train_layer(ends, layer, own, dx, scale, rate, epsilon, products):
    """Step a layer's matrices by dx, the gradient of the rows behind it, which becomes that of the rows before it."""
    scratch = ends.scratch
    matrix_backward(layer.out, own.out, layer.after_scale, scale, rate, epsilon, scratch, products)
    recur_backward(layer, own.out.inputs, scale, own.input.outputs, own.bias, scratch)
    matrix_backward(layer.recurrent, own.recurrent, layer.before_scale, scale, rate, epsilon, scratch, products)
    transpose(layer.recurrent.integers, layer.across)
    matrix_backward(layer.input, own.input, layer.rows.scale, scale, rate, epsilon, scratch, products)
    norm_backward(own.input.inputs, scale, layer.rows.x, layer.rows.norm, dx, scratch)


@heapless
def train_ends(ends, parameters, small, squares, dx, rate, row_rate, epsilon):
    """Step the small parameters and the embeddings."""
    adam(parameters, small[1], small[2], small[0], rate, epsilon)
    adagrad_rows(ends, squares, dx, row_rate)


class Lstm(ByPosition):
    """State of the LSTM for `streams` streams and segments of `segment` positions; methods as in `codec.model`."""

    def __init__(self, settings: LstmSettings, streams: int, segment: int, seed: int, products: Products) -> None:
        self.settings, self.streams, self.segment, self.tables = settings, streams, segment, settings.tables
        self.table_bits = settings.table_bits
        d, cells, layers = settings.width, settings.cells, settings.layers
        operand, result = products.operand, products.result
        stream = (seed << 8) + 1

        def matrix(inputs: int, outputs: int, deviation: float) -> Matrix:
            nonlocal stream
            stream += 1
            weight = rng.normal(stream, (inputs, outputs), deviation)
            made = Matrix(weight, np.zeros((inputs, outputs), operand), np.zeros(outputs, f4),
                          *np.zeros((2, inputs, outputs), f4))  # fmt: skip
            quantise_columns(made, np.maximum(abs(weight).max(0), TINY))
            return made

        def rows(*shape: int, kind: type = f4) -> np.ndarray:
            return np.zeros((streams, segment, *shape), kind)

        self.parameters = np.zeros(layers * 4 * cells + 256, f4)  # the small ones
        *biases, head_bias = self.slices(self.parameters)
        self.rows = [Rows(rows(d), rows(d, kind=operand), rows(), rows()) for _ in range(layers + 1)]
        self.layers = []
        for bias, before in zip(biases, self.rows, strict=False):
            bias[cells : 2 * cells] = ONE  # remember, at first (Jozefowicz et al. 2015)
            self.layers.append(
                Layer(
                    matrix(d, 4 * cells, 1 / math.sqrt(d)), matrix(cells, 4 * cells, 1 / math.sqrt(cells)),
                    matrix(cells, d, 0.0), bias, np.zeros((4 * cells, cells), f4), before,
                    rows(4 * cells, kind=result), rows(cells, kind=operand), rows(), rows(4 * cells),
                    np.zeros((streams, segment + 1, cells), f4), rows(cells), rows(cells, kind=operand), rows(),
                    rows(d, kind=result),
                )
            )  # fmt: skip
            self.layers[-1].across[:] = self.layers[-1].recurrent.integers.T
        longest = max(4 * cells, d, 256)
        self.net = Ends(
            matrix(d, 256, 0.0), head_bias, np.zeros((ORDERS, 1 << settings.table_bits, d), f4),
            np.zeros((streams, segment, ORDERS), i4), self.rows[0].x[None], self.rows[0].norm[None],
            self.rows[-1].scale, rows(256, kind=result), rows(256, kind=np.uint32), EXP2,
            np.zeros((4, longest), f4), np.zeros(longest, i4),
        )  # fmt: skip
        self.net.tables[0, :256] = rng.normal(stream + 1, (256, d), 0.5)
        for layer in self.layers:
            products.add(layer.rows.integers, layer.input.integers, layer.input_product)
            products.add(layer.after, layer.out.integers, layer.out_product)
        products.add(self.rows[-1].integers, self.net.head.integers, self.net.head_product)
        self._products = products

    def slices(self, flat: np.ndarray) -> list[np.ndarray]:
        """Views of the small parameters, or of their gradients: a bias a layer, the head's."""
        return np.split(flat, [4 * self.settings.cells * (layer + 1) for layer in range(self.settings.layers)])

    def predict_segment(self, history: np.ndarray, begin: np.ndarray, position: np.ndarray, count: int) -> np.ndarray:
        """Frequencies of bytes at `position` …, all but the last of which are in the history already."""
        self.find_contexts(history, begin, position, 0, count)
        enter(self.net, self.rows[0], 0, self.segment)
        for number, (layer, behind) in enumerate(zip(self.layers, self.rows[1:], strict=True)):
            self._products.run(forward_layer, self.net, layer, behind, SIGMOID, 2 * number, 0, self.segment)
        self._products.run(leave, self.net, self.rows[-1], 2 * len(self.layers), 0, self.segment)
        return self.net.frequencies[:, :count]

    def predict_position(self, history: np.ndarray, begin: np.ndarray, position: np.ndarray, t: int) -> np.ndarray:
        """Frequencies [streams, segment, 256], those of position t set, from the bytes before it."""
        self.find_contexts(history, begin, position, t, t + 1)
        enter(self.net, self.rows[0], t, t + 1)
        for number, (layer, behind) in enumerate(zip(self.layers, self.rows[1:], strict=True)):
            forward_layer(self.net, layer, behind, SIGMOID, 2 * number, t, t + 1, 0)
        leave(self.net, self.rows[-1], 2 * len(self.layers), t, t + 1, 0)
        return self.net.frequencies

    def forget(self) -> None:
        """Start from nothing, as at the first byte."""
        for layer in self.layers:
            layer.cell[:, 0] = layer.before[:, 0] = layer.before_scale[:, 0] = 0

    def advance(self, count: int) -> None:
        """Move on by `count` positions, the segment just coded."""
        for layer in self.layers:
            layer.cell[:, 0] = layer.cell[:, count]
            layer.before[:, 0], layer.before_scale[:, 0] = layer.after[:, count - 1], layer.after_scale[:, count - 1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array that outlives a segment, by name."""
        named = {"parameters": self.parameters, "tables": self.net.tables}
        named |= {f"head.{part}": array for part, array in self.net.head._asdict().items()}
        for number, layer in enumerate(self.layers):
            for name in ("input", "recurrent", "out"):
                named |= {f"{number}.{name}.{part}": a for part, a in getattr(layer, name)._asdict().items()}
            for name in ("cell", "before", "before_scale"):
                named[f"{number}.{name}"] = getattr(layer, name)[:, :1]
        return named


def rates(decays: np.ndarray, steps: np.ndarray, now: int, rate: float) -> tuple[np.float32, np.float32, np.float32]:
    """One more step of the schedule in `codec.learner`: the rates of trunk and embedding rows, and Adam's epsilon.

    `rate` takes the place of the codec's RATE for the trunk; equal, they give the same bits.
    """
    decays *= (0.9, 0.99)
    decays[decays < TINY] = 0
    first, second = (float(1 - decay) for decay in decays)
    steps[0] += 1
    base = RATE * min(1.0, int(steps[0]) / WARM_UP) / math.sqrt(1 + now / HALVING)
    trunk = base * (rate / RATE)
    return f4(trunk * math.sqrt(second) / first), f4(ROW_RATE / RATE * base), f4(EPSILON * math.sqrt(second))


class LstmLearner:
    """The optimiser's state for one LSTM, and its training step, scheduled as the codec's."""

    def __init__(self, model: Lstm, products: Products) -> None:
        self.model, self.products = model, products
        self.decays = np.ones(2, np.float64)  # Adam's 0.9^steps and 0.99^steps
        self.steps = np.zeros(1, np.int64)
        net, shape, d = model.net, (model.streams, model.segment), model.settings.width
        self.small = np.zeros((3, len(model.parameters)), f4)  # gradients, the optimiser's moments
        *biases, self._head_bias = model.slices(self.small[0])
        self.squares = np.zeros(net.tables.shape[:2], f4)
        self.dx, self._scale = np.zeros((*shape, d), f4), np.zeros(shape, f4)

        @cache
        def shared(name: str, *shape: int, kind: type = f4) -> np.ndarray:
            return np.zeros(shape, kind)

        def gradient(matrix: Matrix, x: np.ndarray, outputs: np.ndarray) -> Gradient:
            k, n = matrix.weight.shape
            by_row, by_column = (shared(name, *shape, n, kind=products.operand) for name in ("by_row", "by_column"))
            inputs = shared("inputs", *shape, k, kind=products.result)
            weights = shared("weights", k, n, kind=products.result)
            number = products.add(by_row, matrix.integers.T, inputs)
            products.add(x.reshape(-1, k).T, by_column.reshape(-1, n), weights)
            return Gradient(number, outputs, by_row, by_column, shared("scale", n), inputs, weights)

        gates = np.zeros((*shape, 4 * model.settings.cells), f4)
        self.gradients = [
            LayerGradients(
                gradient(layer.input, layer.rows.integers, gates),
                gradient(layer.recurrent, layer.before, gates),
                gradient(layer.out, layer.after, self.dx),
                bias,
            )
            for layer, bias in zip(model.layers, biases, strict=True)
        ]
        self._head = gradient(net.head, model.rows[-1].integers, np.zeros((*shape, 256), f4))

    def learn(self, history: np.ndarray, begin: np.ndarray, position: np.ndarray) -> None:
        """Train on the segment just predicted."""
        model, run = self.model, self.products.run
        rate, row_rate, epsilon = rates(self.decays, self.steps, int(position[0]), model.settings.rate)
        run(train_head, model.net, model.rows[-1], self._head, self._head_bias, self.dx, self._scale,
            history, position, rate, epsilon)  # fmt: skip
        for layer, own in zip(model.layers[::-1], self.gradients[::-1], strict=True):
            run(train_layer, model.net, layer, own, self.dx, self._scale, rate, epsilon)
        train_ends(model.net, model.parameters, self.small, self.squares, self.dx, rate, row_rate, epsilon)
        model.forget_rows(model.net.tables, self.squares)
        model.advance(model.segment)

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array that outlives a segment, by name."""
        return {
            "decays": self.decays,
            "steps": self.steps,
            "squares": self.squares,
            "small.mean": self.small[1],
            "small.square": self.small[2],
        }
