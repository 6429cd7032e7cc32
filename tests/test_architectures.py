"""Other language models in the codec's harness: the same bits at both ends and on every backend, right gradients."""

import numpy as np
import pytest
import torch
from guard import guarded, kernel_violations
from numba.core.caching import NullCache

from benchmarks.predictors import architectures, lstm
from benchmarks.predictors.architectures import Architecture, code, decode, lengths_by_distance
from benchmarks.predictors.lstm import Lstm, LstmLearner, LstmSettings
from lmzip.codec.learner import RATE
from lmzip.codec.lockstep import Lockstep
from lmzip.codec.message import Header
from lmzip.codec.product import BACKENDS, Products
from lmzip.codec.settings import ExpertSettings, ModelSettings

TEXT = b"It is a truth universally acknowledged, that a single man in possession of a good fortune, " * 30
EXPERTS = ExpertSettings(14)
SMALL = {"width": 32, "window": 16, "table_bits": 10}
ARCHITECTURES = {
    "transformer": Architecture("transformer", **SMALL),
    "transformer without tables": Architecture("transformer", tables=False, **SMALL),
    "lstm": Architecture("lstm", **SMALL),
    "two layers without tables": Architecture("lstm", layers=2, tables=False, **SMALL),
    "tables": Architecture("tables", **SMALL),
}
each = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)


def bench(architecture, experts=None, *, products="float32", **options):
    """With products that every machine has: choosing the fastest takes longer than these, and so does testing int64."""
    return architectures.bench(architecture, experts, products=products, **options)


def assert_equal_states(ours, theirs):
    ours, theirs = ours.arrays(), theirs.arrays()
    assert [name for name in ours if not np.array_equal(ours[name], theirs[name])] == []


@each
@pytest.mark.parametrize("experts", [None, EXPERTS], ids=["alone", "with experts"])
def test_transcripts_are_read_back_and_both_ends_are_equal(architecture, experts):
    sender, receiver = (bench(architecture, experts, segment=16) for _ in range(2))
    for length in (200, 500):  # neither is a whole number of segments
        transcript, nll = code(sender, TEXT[:length])
        assert decode(receiver, transcript, length) == TEXT[:length]
        assert abs(len(transcript) - nll / 2**23) <= 1e-4 * len(transcript) + 9
        assert_equal_states(sender, receiver)


@pytest.mark.parametrize("name", ["lstm", "transformer without tables"])
def test_several_streams_are_read_back(name):
    sender, receiver = (bench(ARCHITECTURES[name], segment=8, streams=3) for _ in range(2))
    transcript, _ = code(sender, TEXT[:500])
    assert decode(receiver, transcript, 500) == TEXT[:500]
    assert_equal_states(sender, receiver)


def test_the_transformer_is_the_codecs_own():
    settings = ModelSettings(layers=1, width=32, heads=2, hidden=32, window=16, table_bits=10)
    ours = bench(Architecture("transformer", rate=RATE, **SMALL), EXPERTS, segment=16)
    theirs = Lockstep(Header(segment=16, frame_size=4096, model=settings, experts=EXPERTS), products="float32")
    assert code(ours, TEXT[:800]) == code(theirs, TEXT[:800])
    assert_equal_states(ours, theirs)


@pytest.mark.parametrize("name", ["lstm", "two layers without tables", "tables"])
def test_every_backend_gives_the_same_bits(name):
    results = set()
    for products in BACKENDS:
        state = bench(ARCHITECTURES[name], segment=16, products=products)
        results.add((code(state, TEXT[:400]), state.digest()))
    assert len(results) == 1


@each
def test_a_byte_changes_no_prediction_before_it(architecture):
    def lengths(data):
        encoding, seen = bench(architecture, segment=16).encode(np.frombuffer(data, np.uint8)), []
        while not encoding.done:
            encoding.advance(1)
            seen.append(encoding.nll)
        return seen

    data = bytearray(TEXT[:400])
    whole = lengths(data)
    data[203] ^= 0x55
    assert lengths(data)[:12] == whole[:12]
    assert lengths(data)[12] != whole[12]


@each
def test_it_learns(architecture):
    state = bench(architecture, segment=16)
    costs = [code(state, TEXT[at : at + 800])[1] / (800 << 20) for at in (0, 800, 1600)]
    assert costs[2] < costs[0] - 1


def test_without_tables_no_byte_but_the_last_is_embedded():
    state = bench(ARCHITECTURES["two layers without tables"], segment=16)
    code(state, TEXT[:400])
    assert state.model.net.tables[0].any()
    assert not state.model.net.tables[1:].any()


def test_products_keep_to_the_contract():
    sender, receiver = (bench(ARCHITECTURES["lstm"], segment=16) for _ in range(2))
    with guarded():
        assert decode(receiver, code(sender, TEXT[:100])[0], 100) == TEXT[:100]


@pytest.mark.portability
def test_kernels_keep_to_the_contract():
    found = [function for function in vars(lstm).values() if hasattr(function, "inspect_llvm")]
    kernels = [function for function in found if function.__module__ == lstm.__name__]
    for function in kernels:  # compiled afresh: cached ones can't be read
        function._cache = NullCache()
    sender, receiver = (bench(Architecture("lstm", width=16, table_bits=8), segment=8) for _ in range(2))
    assert decode(receiver, code(sender, TEXT[:40])[0], 40) == TEXT[:40]
    compiled = [function for function in kernels if function.signatures]
    assert len(compiled) >= 6
    assert {str(k): lines[:2] for k in compiled if (lines := kernel_violations(k))} == {}


def test_the_bits_are_pinned():
    """What this machine computes is what others did."""
    state = bench(ARCHITECTURES["lstm"], EXPERTS, segment=16)
    transcript, _ = code(state, TEXT[:600])
    assert (len(transcript), state.digest().hex()) == (68, "1087279899f5f35b")


def test_the_table_is_the_logistic_function():
    x = np.arange(-1024, 1025) / 64
    assert lstm.SIGMOID[:-1] == pytest.approx(1 / (1 + np.exp(-x)), abs=2**-24)
    assert (lstm.SIGMOID[:-1] + lstm.SIGMOID[-2::-1] == 1).all()


def test_sizes_are_those_that_are_counted():
    for architecture in (Architecture("transformer", layers=2, **SMALL), Architecture("lstm", layers=2, **SMALL)):
        model, _ = architecture.build(1, 16, 0, Products("int64"))
        layers = getattr(model, "layers", None) or model.net.blocks
        names = ("input", "recurrent", "out") if architecture.kind == "lstm" else ("qkv", "out", "up", "down")
        assert sum(getattr(layer, name).weight.size for layer in layers for name in names) == architecture.trunk
        assert model.net.head.weight.size + model.net.tables[0, :256].size == architecture.head
        assert model.net.tables[1:].size == architecture.table_weights


def test_what_costs_a_byte_by_its_distance_from_a_reset():
    """At distance 0 nothing is known, whatever came before; further on the context tells."""
    data = np.frombuffer(TEXT * 3, np.uint8)
    for name in ("transformer", "lstm"):
        state = bench(ARCHITECTURES[name], segment=16)
        code(state, data[:3200].tobytes())
        lengths = lengths_by_distance(state, data, 3200, 14, 64)
        assert lengths.shape == (14, 64)
        assert lengths[:, 32:].mean() < lengths[:, 0].mean() - 2
        other = data.copy()
        other[: 3200 + 64] ^= 0x55
        assert (lengths_by_distance(state, other, 3200, 14, 64)[1:] == lengths[1:]).all()


def test_beyond_its_window_a_transformer_of_one_layer_has_forgotten_and_an_lstm_has_not():
    """Without a reset the same bytes cost as much, once what was before it has left the window and the n-grams."""
    data, differs = np.frombuffer(TEXT * 3, np.uint8), {}
    for name in ("transformer", "lstm"):
        state = bench(ARCHITECTURES[name], segment=16)
        code(state, data[:3200].tobytes())
        known, forgotten = (lengths_by_distance(state, data, 3200, 14, 64, reset) for reset in (False, True))
        differs[name] = (known != forgotten).any(0)
    assert differs["transformer"][:16].all()
    assert not differs["transformer"][16 + 6 :].any()
    assert differs["lstm"][48:].any()


# Gradients


def normalised(x):
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def network(p, x, states, cells):
    """Logits in float64, from the embeddings of a segment and what each layer's cells and h were before it."""
    for layer, (cell, h) in enumerate(states):
        cell, h, outputs = torch.tensor(cell), torch.tensor(h), []
        for z in normalised(x) @ p[f"{layer}.input"]:
            z = z + h @ p[f"{layer}.recurrent"] + p[f"{layer}.bias"]
            i, f, o = torch.sigmoid(z[: 3 * cells]).view(3, -1)
            cell = f * cell + i * torch.tanh(z[3 * cells :])
            h = o * torch.tanh(cell)
            outputs.append(h)
        x = x + torch.stack(outputs) @ p[f"{layer}.out"]
    return normalised(x) @ p["head"] + p["bias"]


@pytest.mark.parametrize("past", [0, 32])
def test_every_gradient_is_that_of_the_code_length(past):
    """Against automatic differentiation in float64; gradients are a tenth of Adam's mean after its first step."""
    random, products = np.random.default_rng(1), Products("int64")
    model = Lstm(LstmSettings(layers=2, width=64, cells=48, table_bits=8), 1, 32, 1, products)
    learner = LstmLearner(model, products)

    def fill(matrix, deviation):
        matrix.weight[:] = random.normal(0, deviation, matrix.weight.shape)
        most = np.abs(matrix.weight).max(0)
        matrix.scale[:] = most / 64
        matrix.integers[:] = np.rint(matrix.weight / most * 64)

    for layer in model.layers:
        fill(layer.out, 0.15)
    fill(model.net.head, 0.05)
    model.net.tables[1:] = random.normal(0, 0.2, model.net.tables[1:].shape)
    history, begin = np.zeros(1 << 8, np.uint8), np.zeros(1, np.int64)
    history[: past + 32] = np.frombuffer(TEXT[: past + 32], np.uint8)
    if past:
        model.predict_segment(history, begin, np.array([0]), past)
        model.advance(past)
    states = [
        (layer.cell[0, 0].astype(np.float64), layer.before[0, 0].astype(np.float64) * float(layer.before_scale[0, 0]))
        for layer in model.layers
    ]
    frequencies = model.predict_segment(history, begin, np.array([past]), 32)[0] / 2**24
    named = {"head": model.net.head.weight, "bias": model.net.head_bias}
    for number, layer in enumerate(model.layers):
        named |= {f"{number}.{name}": getattr(layer, name).weight for name in ("input", "recurrent", "out")}
        named[f"{number}.bias"] = layer.bias
    p = {name: torch.tensor(array, dtype=torch.float64, requires_grad=True) for name, array in named.items()}
    x = torch.tensor(model.net.x[0, 0].astype(np.float64), requires_grad=True)
    targets = torch.tensor(history[past : past + 32].astype(np.int64))
    logits = network(p, x, states, 48)
    torch.nn.functional.cross_entropy(logits, targets, reduction="sum").backward()
    expected = torch.softmax(logits.detach(), -1)
    assert frequencies == pytest.approx(expected.numpy(), abs=0.02)
    surprise = expected - torch.nn.functional.one_hot(targets, 256)
    clip = min(1, 0.75 * 32**0.5 / float(surprise.norm()))

    learner.learn(history, begin, np.array([past]))
    *biases, head_bias = model.slices(learner.arrays()["small.mean"])
    means = {"head": model.net.head.mean, "bias": head_bias}
    for number, (layer, bias) in enumerate(zip(model.layers, biases)):
        means |= {f"{number}.{name}": getattr(layer, name).mean for name in ("input", "recurrent", "out")}
        means[f"{number}.bias"] = bias
    ours = {name: mean / 0.1 for name, mean in means.items()} | {"x": learner.dx[0]}
    theirs = {name: clip * tensor.grad.numpy() for name, tensor in p.items()} | {"x": clip * x.grad.numpy()}
    for name, gradient in ours.items():  # activations of seven bits are noisy
        error, size = np.linalg.norm(gradient - theirs[name]), np.linalg.norm(theirs[name])
        assert size > 0 or (name.endswith("recurrent") and not past), name
        assert error < 0.2 * size + 1e-9, name
