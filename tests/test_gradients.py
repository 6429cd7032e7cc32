"""The backward pass of integers against automatic differentiation of the same network in float64.

Gradients are read off the optimiser's state after its first step: Adam's mean is then a tenth of them.
"""

import numpy as np
import pytest
import torch

from lmzip.codec.learner import Learner
from lmzip.codec.model import Model, hash_contexts
from lmzip.codec.product import Products
from lmzip.codec.settings import ModelSettings

SEGMENT = 32
TEXT = np.frombuffer(b"It is a truth universally acknowledged, that a single man in possession of", np.uint8)
CASES = {
    "one layer": ModelSettings(layers=1, width=64, heads=2, hidden=64, window=64, table_bits=8),
    "two layers, a window shorter than the segment": ModelSettings(2, 64, 4, 128, 16, 8),
}


def normalised(x):
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def network(settings, p, x, past):
    """Logits of every position, in float64; no gradient reaches what the caches hold of the first `past` positions."""

    def remembered(y):
        return torch.cat((y[:past].detach(), y[past:]))

    heads, size, window = settings.heads, settings.width // settings.heads, settings.window
    count = len(x)
    for layer in range(settings.layers):
        h = remembered(normalised(x))
        before = torch.cat((torch.zeros(1, settings.width, dtype=x.dtype), h[:-1]))
        qkv = ((h + p[f"{layer}.mix"] * before) @ p[f"{layer}.qkv"]).view(count, 3, heads, size).transpose(0, 2)
        q, k, v = normalised(qkv[:, 0]), normalised(qkv[:, 1]), qkv[:, 2]
        k, v = (torch.cat((y[:, :past].detach(), y[:, past:]), 1) for y in (k, v))
        distance = torch.arange(count)[:, None] - torch.arange(count)
        seen = (distance >= 0) & (distance < window)
        bias = p[f"{layer}.distance"][:, (window - 1 - distance).clamp(0, window - 1)]
        scores = p[f"{layer}.sharpness"][:, None, None] / size**0.5 * (q @ k.transpose(1, 2)) + bias
        y = torch.softmax(scores.masked_fill(~seen, -torch.inf), -1) @ v
        z = x + y.transpose(0, 1).reshape(count, -1) @ p[f"{layer}.out"]
        x = z + torch.relu(normalised(z) @ p[f"{layer}.up"]).square() @ p[f"{layer}.down"]
    return normalised(x) @ p["head"] + p["bias"]


def fill(matrix, random, deviation):
    """Random weights, and their integers."""
    matrix.weight[:] = random.normal(0, deviation, matrix.weight.shape)
    most = np.abs(matrix.weight).max(0)
    matrix.scale[:] = most / 64
    matrix.integers[:] = np.rint(matrix.weight / most * 64)


def parameters(model):
    """By name, as they are now."""
    named = {"head": model.net.head.weight, "bias": model.net.head_bias}
    for layer, block in enumerate(model.net.blocks):
        named |= {f"{layer}.{name}": getattr(block, name).weight for name in ("qkv", "out", "up", "down")}
        named |= {f"{layer}.mix": block.mix}
        named |= {f"{layer}.{name}": getattr(block.attention, name) for name in ("distance", "sharpness")}
    return {name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in named.items()}


def gradients(model, learner, tables, rate):
    """By name, from the state after one step; those of the embeddings of positions whose last rows nobody shares."""
    means = {"head": model.net.head.mean}
    small = model.slices(learner.arrays()["small.mean"].ravel())
    means |= {"bias": small[-1][0]}
    for layer, block in enumerate(model.net.blocks):
        means |= {f"{layer}.{name}": getattr(block, name).mean for name in ("qkv", "out", "up", "down")}
        means |= {f"{layer}.{name}": mean for name, mean in zip(("mix", "distance", "sharpness"), small[layer])}
    rows = model.net.contexts[0, :, -1]
    alone = np.flatnonzero(np.bincount(rows, minlength=rows.max() + 1)[rows] == 1)
    rows = rows[alone]
    squares, steps = learner.arrays()["squares"][-1, rows], tables[-1, rows] - model.net.tables[-1, rows]
    return {name: mean / 0.1 for name, mean in means.items()}, alone, steps * np.sqrt(squares)[:, None] / rate


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
@pytest.mark.parametrize("past", [0, SEGMENT])
def test_every_gradient_is_that_of_the_code_length(settings, past):
    random, products = np.random.default_rng(1), Products()
    model = Model(settings, 1, SEGMENT, 1, products)
    learner = Learner(model, products, 0, 1)
    for block in model.net.blocks:
        fill(block.out, random, 0.05)
        fill(block.down, random, 0.02)
        block.mix[:] = random.normal(0, 0.3, settings.width)
        block.attention.distance[:] = random.normal(0, 0.5, block.attention.distance.shape)
        block.attention.sharpness[:] = 4
    fill(model.net.head, random, 0.05)
    model.net.tables[1:] = random.normal(0, 0.2, model.net.tables[1:].shape)

    history, begin, embedded = np.zeros(1 << 8, np.uint8), np.zeros(1, np.int64), []
    history[: len(TEXT)] = TEXT
    for at in range(0, past + SEGMENT, SEGMENT):
        position = np.array([at])
        hash_contexts(history, begin, position, 0, SEGMENT, settings.table_bits, model.net.contexts)
        model.predict(model.caches, int(model.past[0]))
        embedded.append(model.net.x[0, 0].copy())
        if at < past:
            model.advance(SEGMENT)
    p, tables = parameters(model), model.net.tables.copy()
    x = torch.tensor(np.concatenate(embedded), dtype=torch.float64, requires_grad=True)
    targets = torch.tensor(TEXT[past : past + SEGMENT].astype(np.int64))
    logits = network(settings, p, x, past)[past:]
    torch.nn.functional.cross_entropy(logits, targets, reduction="sum").backward()
    surprise = torch.softmax(logits.detach(), -1) - torch.nn.functional.one_hot(targets, 256)
    clip = min(1, 0.75 * SEGMENT**0.5 / float(surprise.norm()))

    learner.learn(history, begin, position)
    rate = 0.5 / 50 / (1 + past / 400_000) ** 0.5
    ours, alone, ours_x = gradients(model, learner, tables, rate)
    ours["x"] = ours_x
    theirs = {name: clip * tensor.grad.numpy() for name, tensor in p.items()}
    theirs["x"] = clip * x.grad.numpy()[past:][alone]
    assert len(alone) > SEGMENT // 2
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():  # activations of seven bits are noisy
        layer, _, part = name.partition(".")
        error, size = np.linalg.norm(gradient - theirs[name]), np.linalg.norm(theirs[name])
        if part == "sharpness":  # a few numbers, each a sum in which much cancels: measured by what is summed
            size = np.linalg.norm(theirs[f"{layer}.distance"])
        assert error < 0.2 * size, name
