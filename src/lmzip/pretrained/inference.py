"""The network: tokens in, logits out, in exact arithmetic. What a window remembers is a cache, no more.

Positions go through the layers together, as many as there are; a row depends on the other rows only through keys and
values, so steps, batches and several windows at once give equal bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..codec.exact import f4
from ..errors import PriorError
from . import attention, functions, layers, product
from .activations import GELU, RELU, RELU2
from .families import CONTEXT, Architecture
from .numbers import MATRICES, NORMS, Numbers
from .tensors import Tensor

ROWS = attention.ROWS_AHEAD  # most positions of a window that are read at once
SINK = attention.BLOCK  # positions at a window's beginning that all later ones see (Xiao et al. 2024)


class Linear(NamedTuple):
    """Weights as integers in panels, int8[limbs, panels, pairs, LANES, 2], the scale and the bias of each output."""

    weight: np.ndarray
    scale: np.ndarray
    bias: np.ndarray


Products = Callable[..., None]  # product.multiply, or what gives its very results
Norm = tuple[np.ndarray, np.ndarray]  # gain and bias


class Layer(NamedTuple):
    """A layer's norms: before and behind attention, before and behind the feed-forward part; its matrices."""

    norms: tuple[Norm | None, ...]
    head_norms: tuple[np.ndarray, np.ndarray] | None
    qkv: Linear
    out: Linear
    up: Linear
    down: Linear


class Window:
    """What is remembered of one sequence of tokens: every layer's keys and values."""

    def __init__(self, memories: list[attention.Memory]) -> None:
        self.tokens = np.zeros(0, np.int32)  # that were read
        self.memories = memories

    def rewind(self, tokens: np.ndarray, first: int) -> int:
        """How many of `tokens` are remembered, `first` at most; what follows them is forgotten."""
        alike = min(len(tokens), len(self.tokens))
        differs = np.flatnonzero(self.tokens[:alike] != tokens[:alike])
        alike = min(int(differs[0]) if len(differs) else alike, first)
        if len(self.tokens) - alike > attention.FORGOTTEN:  # what those before saw may have been overwritten
            alike = 0
        self.tokens = self.tokens[:alike]
        return alike


class Network:
    """A model's weights as integers, and how they turn tokens into logits.

    products: what multiplies integer matrices. context: positions that one sees, itself included, beside the first SINK
    of its window. A window of `span` tokens is longer where the model was made for more positions, so that it need not
    begin anew so often.
    """

    def __init__(
        self,
        architecture: Architecture,
        numbers: Numbers,
        embedding: Tensor,
        bits: int,
        context: int = CONTEXT,
        products: Products = product.multiply,
    ) -> None:
        self.architecture, self.bits, self.embedding, self._products = architecture, bits, embedding, products
        self.context, self.span = context_and_span(architecture, context)
        self.positions = numbers.get("positions")
        self.layers = [_layer(numbers, layer) for layer in range(architecture.layers)]
        self.norm = numbers["final.gain"], numbers["final.bias"]
        self.head = _linear(numbers, "head")
        self.turns = self.local_turns = numbers["cosines"], numbers["sines"]
        if architecture.local_base:
            self.local_turns = numbers["local_cosines"], numbers["local_sines"]
        activation = architecture.activation
        assert activation <= RELU2
        self.table = functions.normal() if activation == GELU else np.zeros(2, f4)
        if activation not in (GELU, RELU, RELU2):
            self.table = functions.sigmoid()
        self._lanes, self._scratch = np.zeros(layers.LANES, f4), np.zeros(architecture.size, np.int16)
        self._sums, self._totals = (np.zeros((product.ROWS, product.LANES), kind) for kind in (np.int32, np.int64))
        slots = attention.slots(self.context)
        self._work = attention.work(slots, architecture.heads // architecture.shared, architecture.size)
        self._sharpness = f4(architecture.attention_scale) or f4(1) / np.sqrt(f4(architecture.size))

    def window(self) -> Window:
        """A window that has read nothing."""
        shape, kind = (self.architecture.shared, self.architecture.size), np.int8 if self.bits == 8 else np.int16
        return Window([attention.memory(*shape, self.reach(layer), kind) for layer in range(self.architecture.layers)])

    def reach(self, layer: int) -> int:
        """Positions that one of this layer sees, itself included."""
        windows = self.architecture.windows
        return min(windows[layer] or self.context, self.context) if windows else self.context

    def logits(self, asked: Sequence[tuple[Window, np.ndarray, int]]) -> list[np.ndarray]:
        """Logits behind tokens[first], tokens[first + 1] … for each (window, tokens, first).

        tokens: all that the window is to hold, int32[n]; logits: float32[n - first, vocabulary]. What a window knows is
        used as far as its tokens are the same; it changes no bit. Raises PriorError if numbers grow without bounds.
        """
        rests, outputs = [], []
        for window, tokens, first in asked:
            start, rows = window.rewind(tokens, first), []
            while len(tokens) - start > ROWS:
                rows.append(self._forward([(window, start, tokens[start : start + ROWS])])[max(0, first - start) :])
                start += ROWS
            rests.append((window, start, tokens[start:]))
            outputs.append(rows)
        x, end = self._forward(rests), 0
        for rows, (_, start, tokens), (_, _, first) in zip(outputs, rests, asked):
            rows.append(x[end + max(0, first - start) : end + len(tokens)])
            end += len(tokens)
        logits = self._head(np.concatenate([row for rows in outputs for row in rows]))
        return np.split(logits, np.cumsum([sum(map(len, rows)) for rows in outputs])[:-1])

    def _forward(self, parts: Sequence[tuple[Window, int, np.ndarray]]) -> np.ndarray:
        """The last layer's output behind each of the tokens, float32[all rows, width]; windows remember them."""
        architecture, group = self.architecture, self.architecture.heads // self.architecture.shared
        x = np.concatenate([self._embedded(tokens, start) for _, start, tokens in parts])
        ends = np.cumsum([len(tokens) for _, _, tokens in parts]).tolist()
        rows = [slice(end - len(tokens), end) for (_, _, tokens), end in zip(parts, ends)]
        queries = np.zeros((architecture.shared, len(x) * group, architecture.size), np.int16)
        scales = np.zeros((architecture.shared, len(x) * group), f4)
        attended = np.zeros((len(x), architecture.heads * architecture.size), f4)
        active = np.zeros((len(x), architecture.hidden), f4)
        for number, layer in enumerate(self.layers):
            before, behind, before_second, behind_second = layer.norms
            qkv = self._multiply(self._normed(before, x), layer.qkv)
            if layer.head_norms is not None:
                self._normalise_heads(qkv, layer.head_norms)
            local = architecture.windows[number] if architecture.windows else 0
            turns, sink = self.local_turns if local else self.turns, 0 if 0 < local <= self.context else SINK
            for (window, start, _), here in zip(parts, rows):
                memory = window.memories[number]
                attention.take_heads(
                    qkv[here], architecture.heads, start, *turns, self._sharpness, self._scratch, queries, scales,
                    memory,
                )  # fmt: skip
                attention.attend(
                    queries, scales, group, start, self.reach(number), sink, memory, self._work, attended[here]
                )
            y = self._normed(behind, self._multiply(attended, layer.out))
            if not architecture.parallel:
                layers.add(x, y)
            h = self._multiply(self._normed(before_second, x), layer.up, spare=product.LANES)
            layers.activate(architecture.activation, self.table, architecture.gated, h, active)
            if architecture.parallel:
                layers.add(x, y)
            layers.add(x, self._normed(behind_second, self._multiply(active, layer.down)))
        for window, start, tokens in parts:
            window.tokens = np.concatenate((window.tokens[:start], tokens)).astype(np.int32)
        return x

    def _embedded(self, tokens: np.ndarray, start: int) -> np.ndarray:
        x = self.embedding.floats(tokens)
        if self.positions is not None:
            x = x + self.positions[start : start + len(tokens)]
        if self.architecture.embedding_scale != 1.0:
            x = x * f4(self.architecture.embedding_scale)
        return x

    def _head(self, x: np.ndarray) -> np.ndarray:
        logits = self._multiply(self._normed(self.norm, x), self.head, spare=product.LANES)
        if not (layers.are_finite(x) and layers.are_finite(logits)):
            raise PriorError("the model's numbers grow beyond what can be computed; use another model")
        return logits[:, : self.architecture.vocabulary]

    def _normed(self, norm: Norm | None, x: np.ndarray) -> np.ndarray:
        if norm is None:
            return x
        y, epsilon = np.empty_like(x), f4(self.architecture.epsilon)
        if self.architecture.rms:
            layers.rms_norm(x, norm[0], epsilon, self._lanes, y)
        else:
            layers.layer_norm(x, *norm, epsilon, self._lanes, y)
        return y

    def _normalise_heads(self, qkv: np.ndarray, gains: tuple[np.ndarray, np.ndarray]) -> None:
        queries = self.architecture.heads * self.architecture.size
        keys = self.architecture.shared * self.architecture.size
        epsilon = f4(self.architecture.epsilon)
        for gain, first, stop in zip(gains, (0, queries), (queries, queries + keys)):
            layers.normalise_heads(qkv, first, stop, gain, epsilon, self._lanes)

    def _multiply(self, x: np.ndarray, linear: Linear, spare: int = 0) -> np.ndarray:
        """x · weights^T + bias, float32[rows, outputs + spare]: of x as integers, a scale for each row.

        Spare columns keep rows from lying a power of two apart, where all would share a few lines of the cache.
        """
        q, scale = np.zeros((len(x), 2 * linear.weight.shape[2]), np.int16), np.zeros(len(x), f4)
        layers.quantise_rows(x, q, scale)
        y = np.zeros((len(x), len(linear.bias) + spare), f4)
        self._products(q, scale, *linear, self._sums, self._totals, y)
        return y


def context_and_span(architecture: Architecture, context: int) -> tuple[int, int]:
    """Positions that one sees, and tokens of a window, when the model is to see `context`."""
    return min(context, architecture.positions), min(4 * context, architecture.positions)


def _linear(numbers: Numbers, name: str) -> Linear:
    return Linear(numbers[f"{name}.weight"], numbers[f"{name}.scale"], numbers[f"{name}.bias"])


def _layer(numbers: Numbers, layer: int) -> Layer:
    norms, gains = [], None
    for name in NORMS:
        gain = numbers.get(f"{layer}.{name}.gain")
        norms.append(None if gain is None else (gain, numbers[f"{layer}.{name}.bias"]))
    if f"{layer}.queries" in numbers:
        gains = numbers[f"{layer}.queries"], numbers[f"{layer}.keys"]
    return Layer(tuple(norms), gains, *(_linear(numbers, f"{layer}.{name}") for name in MATRICES))
