"""The backward pass of integers against automatic differentiation of the same network in float64."""

import numpy as np
import pytest
import torch

from lmzip.codec import learner as learner_module
from lmzip.codec.exact import quantise_columns
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


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
@pytest.mark.parametrize("past", [0, SEGMENT])
def test_every_gradient_is_that_of_the_code_length(monkeypatch, settings, past):
    products, random, steps, rows = Products(), np.random.default_rng(1), [], []
    model = Model(settings, 1, SEGMENT, 1, products)
    learner = Learner(model, products, 0, 1)
    for block in model.net.blocks:
        for matrix, size in ((block.out, 0.05), (block.down, 0.02), (model.net.head, 0.05)):
            matrix.weight[:] = random.normal(0, size, matrix.weight.shape)
            quantise_columns(*matrix[:3])
        block.mix[:] = random.normal(0, 0.3, settings.width)
        block.attention.distance[:] = random.normal(0, 0.5, block.attention.distance.shape)
        block.attention.sharpness[:] = 4
    model.net.tables[1:] = random.normal(0, 0.2, model.net.tables[1:].shape)

    def step(weight, mean, square, gradient, scale, rate, epsilon):
        steps.append(gradient * scale)

    monkeypatch.setattr(learner_module, "adam", step)
    monkeypatch.setattr(learner_module, "adagrad_rows", lambda t, s, contexts, dx, rate: rows.append(dx[0].copy()))

    history, begin, embedded = np.zeros(1 << 8, np.uint8), np.zeros(1, np.int64), []
    history[: len(TEXT)] = TEXT
    for at in range(0, past + SEGMENT, SEGMENT):
        position = np.array([at])
        hash_contexts(history, begin, position, 0, SEGMENT, settings.table_bits, model.net.contexts)
        model.predict(model.caches, int(model.past[0]))
        embedded.append(model.net.x[0, 0].copy())
        if at < past:
            model.advance(SEGMENT)

    p = {"head": model.net.head.weight, "bias": model.net.head_bias}
    for layer, block in enumerate(model.net.blocks):
        p |= {f"{layer}.{name}": getattr(block, name).weight for name in ("qkv", "out", "up", "down")}
        p |= {f"{layer}.mix": block.mix}
        p |= {f"{layer}.{name}": getattr(block.attention, name) for name in ("distance", "sharpness")}
    p = {name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in p.items()}
    x = torch.tensor(np.concatenate(embedded), dtype=torch.float64, requires_grad=True)
    targets = torch.tensor(TEXT[past : past + SEGMENT].astype(np.int64))
    logits = network(settings, p, x, past)[past:]
    torch.nn.functional.cross_entropy(logits, targets, reduction="sum").backward()
    surprise = torch.softmax(logits.detach(), -1) - torch.nn.functional.one_hot(targets, 256)
    clip = min(1, 0.75 * SEGMENT**0.5 / float(surprise.norm()))

    learner.learn(history, begin, position)
    names = ["head"]
    names += [f"{layer}.{name}" for layer in reversed(range(settings.layers)) for name in ("down", "up", "out", "qkv")]
    ours = dict(zip(names, steps)) | {"bias": learner.small_gradients[-1][0], "x": rows[0]}
    for layer in range(settings.layers):
        small = zip(("mix", "distance", "sharpness"), learner.small_gradients[layer])
        ours |= {f"{layer}.{name}": gradient for name, gradient in small}
    theirs = {name: clip * tensor.grad.numpy() for name, tensor in p.items()} | {"x": clip * x.grad.numpy()[past:]}
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():  # activations of seven bits are noisy
        layer, _, part = name.partition(".")
        error, size = np.linalg.norm(gradient - theirs[name]), np.linalg.norm(theirs[name])
        if part == "sharpness":  # a few numbers, each a sum in which much cancels: measured by what is summed
            size = np.linalg.norm(theirs[f"{layer}.distance"])
        assert error < 0.2 * size, name
