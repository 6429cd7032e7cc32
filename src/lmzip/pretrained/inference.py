"""The network: tokens in, logits out, in exact arithmetic. Keys and values of a window are a cache, no more.

`logits` serves any number of positions at once. With several rows products go to the fastest exact matrix unit that
codec/product.py knows, with few to `layers.multiply`; both give the same integers.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from ..codec.exact import f4
from ..errors import PriorError
from . import functions, layers
from .activations import GELU, RELU, RELU2
from .families import BITS, Architecture, Weights
from .tensors import Tensor

FEW = 8  # rows up to which kernels multiply
ROWS = 128  # most rows at once
DEPTH = 1920  # 128 * 64 * DEPTH < 2^24


class Linear(NamedTuple):
    """Weights as integers, int8[limbs, outputs, inputs], the scale and the bias of each output."""

    weight: np.ndarray
    scale: np.ndarray
    bias: np.ndarray


class Layer(NamedTuple):
    """A layer's norms (gain and bias), its matrices, and its keys and values of the window."""

    norm: tuple[np.ndarray, np.ndarray]
    qkv: Linear
    out: Linear
    norm2: tuple[np.ndarray, np.ndarray]
    up: Linear
    down: Linear
    keys: np.ndarray  # float32[shared, size, context]
    values: np.ndarray  # float32[shared, context, size]


def quantised(weight: np.ndarray, bias: np.ndarray, bits: int) -> Linear:
    """Weights float32[outputs, inputs] as integers, a scale for every output, rounded to nearest."""
    limbs, limit = BITS[bits]
    integers = np.zeros((limbs, *weight.shape), np.int8)
    most = np.maximum(np.abs(weight).max(1), f4(1e-20))
    for start in range(0, len(weight), 4096):  # a copy of a part of it at a time
        rows = slice(start, start + 4096)
        q = np.rint(weight[rows] * (f4(limit) / most[rows])[:, None]).astype(np.int32)
        for limb in range(limbs - 1, 0, -1):
            high = (q + 128) >> 8
            integers[limb, rows] = q - (high << 8)
            q = high
        integers[0, rows] = q
    return Linear(integers, most / f4(limit), bias)


class Network:
    """A model's layers, and the window whose keys and values it remembers."""

    def __init__(self, architecture: Architecture, weights: Weights, bits: int, products: str | None = None) -> None:
        self.architecture = architecture
        context = architecture.context
        self.embedding: Tensor = weights.embedding()
        self.embedding.floats()  # once, to see that all of it is finite
        self.positions = weights.positions()
        self.layers = [self._layer(weights, layer, bits) for layer in range(architecture.layers)]
        self.norm = weights.norm(None)
        head, bias = weights.head()
        self.head = quantised(head.floats(), bias, bits)
        weights.finish()
        dims, frequencies = architecture.rotary, []
        if dims:
            frequencies = functions.inverse_frequencies(dims, architecture.base, architecture.scaling)
        tables = functions.rotations(frequencies, context)
        self.cosines, self.sines = (table.reshape(context, dims // 2) for table in tables)
        kind = architecture.activation
        self.table = functions.normal() if kind == GELU else functions.sigmoid() if kind < RELU else np.zeros(2, f4)
        assert kind <= RELU2
        self.tokens = np.zeros(0, np.int32)  # whose keys and values are in the cache
        longest = max(architecture.width, context, layers.LANES) + 4
        self.work, self.steps = np.zeros((2, longest), f4), np.zeros(context + 4, np.int32)
        self._products = products

    def _layer(self, weights: Weights, layer: int, bits: int) -> Layer:
        architecture = self.architecture
        linear = {which: quantised(*weights.linear(layer, which), bits) for which in ("qkv", "out", "up", "down")}
        keys = np.zeros((architecture.shared, architecture.size, architecture.context), f4)
        values = np.zeros((architecture.shared, architecture.context + 4, architecture.size), f4)
        return Layer(
            weights.norm(layer), linear["qkv"], linear["out"], weights.norm(layer, True), linear["up"], linear["down"],
            keys, values,
        )  # fmt: skip

    def logits(self, window: np.ndarray, first: int) -> np.ndarray:
        """Logits behind window[first], window[first + 1] …, float32[n, vocabulary]; window: int32, at most `context`.

        What the last call left in the cache is used as far as the windows begin alike; it changes no bit.
        """
        alike = min(len(window), len(self.tokens))
        differs = np.flatnonzero(self.tokens[:alike] != window[:alike])
        alike = min(int(differs[0]) if len(differs) else alike, first)
        self.tokens = self.tokens[:alike]
        logits = np.zeros((len(window) - first, self.architecture.vocabulary), f4)
        for start in range(alike, len(window), ROWS):
            part = window[start : start + ROWS]
            x = self._forward(part, start)
            self.tokens = np.concatenate((self.tokens, part)).astype(np.int32)
            if start + len(part) > first:
                skip = max(0, first - start)
                self._head(x[skip:], logits[start + skip - first : start + len(part) - first])
        return logits

    def _forward(self, tokens: np.ndarray, start: int) -> np.ndarray:
        architecture, rows = self.architecture, len(tokens)
        x = self.embedding.floats(tokens)
        if self.positions is not None:
            x = x + self.positions[start : start + rows]
        q, scale = np.zeros((rows, architecture.width), np.int16), np.zeros(rows, f4)
        attended = np.zeros((rows, architecture.heads * architecture.size), f4)
        active = np.zeros((rows, architecture.hidden), f4)
        for layer in self.layers:
            self._norm(layer.norm, x, q, scale)
            qkv = self._multiply(q, scale, layer.qkv)
            layers.take_heads(qkv, self.cosines, self.sines, architecture.heads, start, layer.keys, layer.values)
            layers.attend(qkv, architecture.heads, start, layer.keys, layer.values, self.work, self.steps, attended)
            y = self._multiply(*_integers(attended), layer.out)
            if not architecture.parallel:
                layers.add(x, y)
            self._norm(layer.norm2, x, q, scale)
            h = self._multiply(q, scale, layer.up)
            layers.activate(architecture.activation, self.table, architecture.gated, h, active)
            if architecture.parallel:
                layers.add(x, y)
            layers.add(x, self._multiply(*_integers(active), layer.down))
        return x

    def _head(self, x: np.ndarray, logits: np.ndarray) -> None:
        q, scale = np.zeros(x.shape, np.int16), np.zeros(len(x), f4)
        self._norm(self.norm, x, q, scale)
        self._multiply(q, scale, self.head, logits)
        if not (layers.are_finite(x) and layers.are_finite(logits)):
            raise PriorError("the model's numbers grow beyond what can be computed; use another model")

    def _norm(self, norm: tuple[np.ndarray, np.ndarray], x: np.ndarray, q: np.ndarray, scale: np.ndarray) -> None:
        epsilon = f4(self.architecture.epsilon)
        if self.architecture.rms:
            layers.rms_norm(x, norm[0], epsilon, self.work, q, scale)
        else:
            layers.layer_norm(x, *norm, epsilon, self.work, q, scale)

    def _multiply(self, q: np.ndarray, scale: np.ndarray, linear: Linear, y: np.ndarray | None = None) -> np.ndarray:
        if y is None:
            y = np.empty((len(q), linear.weight.shape[1]), f4)
        if len(q) <= FEW:
            layers.multiply(q, scale, *linear, y)
        else:
            halves = np.zeros((2 * len(q), q.shape[1]), np.int8)
            layers.split_limbs(q, halves)
            work = np.zeros((layers.TILE, len(q)), f4)
            layers.combine(unit(self._products)(linear.weight, halves), scale, linear.scale, linear.bias, work, y)
        return y


@cache
def unit(name: str | None) -> Unit:
    """What multiplies matrices; torch is loaded, and units compared, when one is first needed."""
    return Unit(name)


class Unit:
    """Exact products of integer matrices by a backend of codec/product.py, the fastest if none is named."""

    def __init__(self, name: str | None) -> None:
        import torch  # start-up: loaded when the first product is computed

        from ..codec.product import Products  # start-up: loads torch

        products = Products(name)
        self.torch, self.name, self.call = torch, products.backend, products.multiply
        self.operand = torch.from_numpy(np.zeros(0, products.operand)).dtype
        self.result = torch.from_numpy(np.zeros(0, products.result)).dtype

    def __call__(self, weight: np.ndarray, halves: np.ndarray) -> np.ndarray:
        """int32[limbs, outputs, rows] = weight · halves^T; weight: int8[limbs, outputs, inputs], halves in ±64.

        float32 holds sums of DEPTH products; int32 of all that a model may have, see families.LIMITS.
        """
        torch = self.torch
        limbs, outputs, inputs = weight.shape
        left, right = torch.from_numpy(weight), torch.from_numpy(halves)
        if self.result == torch.int32:
            sums = torch.empty(limbs, outputs, len(halves), dtype=torch.int32)
            for limb in range(limbs):
                self.call(left[limb], right.t(), sums[limb])
            return sums.numpy()
        sums = torch.zeros(limbs, outputs, len(halves), dtype=torch.int32)
        for start in range(0, inputs, DEPTH):
            part = slice(start, start + DEPTH)
            for limb in range(limbs):
                out = torch.empty(outputs, len(halves), dtype=self.result)
                self.call(left[limb, :, part].to(self.operand), right[:, part].to(self.operand).t(), out)
                sums[limb] += out.to(torch.int32)
        return sums.numpy()


def _integers(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    q, scale = np.zeros(x.shape, np.int16), np.zeros(len(x), f4)
    layers.quantise_rows(x, q, scale)
    return q, scale
