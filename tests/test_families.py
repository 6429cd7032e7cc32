"""Architectures: what a configuration and tensors mean, against transformers, by a plain forward pass in float64."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pretrained_models as made
import pytest

from lmzip.errors import PriorError
from lmzip.pretrained import families, functions, tensors
from lmzip.pretrained.activations import GELU, GELU_NEW, SILU
from lmzip.pretrained.families import Architecture, Weights

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {}),
    "gpt2, untied": ("gpt2", {"tie_word_embeddings": False, "n_inner": 40}),
    "gpt_neox": ("gpt_neox", {}),
    "gpt_neox, one after the other": ("gpt_neox", {"use_parallel_residual": False, "tie_word_embeddings": True}),
    "llama": ("llama", {}),
    "llama, tied, with biases": (
        "llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "head_dim": 12}
    ),
    "llama 3": (
        "llama",
        {"rope_parameters": {"rope_type": "llama3", "factor": 4.0, "rope_theta": 500000.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 4.0, "original_max_position_embeddings": 24}},
    ),
    "mistral, a window": ("mistral", {"sliding_window": 9}),
    "qwen2": ("qwen2", {}),
    "qwen2, windows from a layer on": (
        "qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1, "num_hidden_layers": 3}
    ),
    "qwen3": ("qwen3", {}),
    "qwen3, tied, one head of keys": ("qwen3", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
    "gemma3": ("gemma3_text", {}),
    "gemma3, untied, layers listed": (
        "gemma3_text",
        {"num_hidden_layers": 3, "tie_word_embeddings": False,
         "layer_types": ["full_attention", "sliding_attention", "full_attention"],
         "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5e4},
                             "sliding_attention": {"rope_type": "default", "rope_theta": 1e3}}},
    ),
    "gemma3, windows beyond the context": ("gemma3_text", {"sliding_window": 4096}),
    "olmo2": ("olmo2", {}),
    "olmo2, tied, all heads have keys": ("olmo2", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
    "phi3": ("phi3", {}),
    "phi3, a window, part of each head turns": (
        "phi3", {"sliding_window": 11, "rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}
    ),
}  # fmt: skip
COUNT = 40
PUBLISHED = {path.stem: path for path in sorted((Path(__file__).parent / "configurations").glob("*.json"))}


def reference(architecture: Architecture, weights: Weights, tokens: np.ndarray) -> np.ndarray:
    """Logits behind every token, float64[n, vocabulary]: what families.py says, in the plainest way."""
    a, n = architecture, len(tokens)
    x = weights.embedding().floats(tokens).astype(np.float64) * a.embedding_scale
    positions = weights.positions()
    if positions is not None:
        x = x + positions[:n]

    def norm(x: np.ndarray, gain: np.ndarray, bias: np.ndarray | float = 0.0, rms: bool = a.rms) -> np.ndarray:
        x = x if rms else x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + a.epsilon) * gain + bias

    def rotated(x: np.ndarray, base: float, scaling: dict[str, Any] | None) -> np.ndarray:
        if not a.rotary:
            return x
        frequencies = functions.inverse_frequencies(a.rotary, base, scaling)
        angles = np.arange(n)[:, None] * np.array([value / functions.ONE for value in frequencies])
        cosine, sine, half = np.cos(angles)[:, None], np.sin(angles)[:, None], a.rotary // 2
        first, second = x[..., :half], x[..., half : a.rotary]
        turned = first * cosine - second * sine, second * cosine + first * sine
        return np.concatenate((*turned, x[..., a.rotary :]), -1)

    def attention(x: np.ndarray, layer: int) -> np.ndarray:
        weight, bias = weights.linear(layer, "qkv")
        sizes = np.cumsum([a.heads, a.shared]) * a.size
        q, k, v = np.split(x @ weight.T.astype(np.float64) + bias, sizes, -1)
        gains = weights.head_norms(layer)
        if gains is not None and a.head_norm == "all":
            q, k = norm(q, gains[0]), norm(k, gains[1])
        q, k, v = (part.reshape(n, -1, a.size) for part in (q, k, v))
        if gains is not None and a.head_norm == "head":
            q, k = norm(q, gains[0]), norm(k, gains[1])
        window = a.windows[layer] if a.windows else 0
        local = bool(window and a.local_base)
        turn = (a.local_base, None) if local else (a.base, a.scaling)
        q, k = rotated(q, *turn), rotated(k, *turn)
        k, v = (np.repeat(part, a.heads // a.shared, 1) for part in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) * (a.attention_scale or a.size**-0.5)
        distance = np.arange(n)[:, None] - np.arange(n)
        scores[:, (distance < 0) | (distance >= (window or n))] = -np.inf
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        out, bias = weights.linear(layer, "out")
        return np.einsum("hqk,khd->qhd", share, v).reshape(n, -1) @ out.T + bias

    def active(x: np.ndarray) -> np.ndarray:
        if a.activation == SILU:
            return x / (1 + np.exp(-x))
        if a.activation == GELU_NEW:
            return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        assert a.activation == GELU
        return x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))

    def feed_forward(x: np.ndarray, layer: int) -> np.ndarray:
        (up, up_bias), (down, down_bias) = weights.linear(layer, "up"), weights.linear(layer, "down")
        h = x @ up.T + up_bias
        h = active(h[:, : a.hidden]) * h[:, a.hidden :] if a.gated else active(h)
        return h @ down.T + down_bias

    for layer in range(a.layers):
        norms = [(lambda y, pair=pair: norm(y, *pair)) if pair else (lambda y: y) for pair in weights.norms(layer)]
        y = norms[1](attention(norms[0](x), layer))
        if a.parallel:
            x = x + y + feed_forward(norms[2](x), layer)
        else:
            x = x + y
            x = x + norms[3](feed_forward(norms[2](x), layer))
    head, bias = weights.head()
    return norm(x, *weights.last_norm()) @ head.floats().T + bias


def read(folder: Path) -> tuple[Architecture, Weights]:
    found = families.architecture(folder)
    return found, Weights(found, tensors.tensors(folder), folder)


@pytest.mark.parametrize("case", CASES)
def test_an_architecture_means_what_transformers_computes(tmp_path, case):
    import torch

    family, options = CASES[case]
    model = made.model(family, **options)
    model.save_pretrained(tmp_path)
    tokens = np.random.default_rng(3).integers(0, made.VOCABULARY, COUNT)
    with torch.no_grad():
        expected = model(torch.from_numpy(tokens)[None]).logits[0].double().numpy()
    found, weights = read(tmp_path)
    assert np.abs(reference(found, weights, tokens) - expected).max() < 2e-4
    weights.finish()


def test_what_a_sliding_window_hides_is_hidden(tmp_path):
    made.model("mistral", sliding_window=9).save_pretrained(tmp_path)
    found, weights = read(tmp_path)
    assert found.windows == (9, 9)
    tokens = np.arange(COUNT)
    before = reference(found, weights, tokens)
    tokens[3] += 1
    changed = np.abs(reference(found, weights, tokens) - before).max(1) > 0
    assert np.flatnonzero(changed).tolist() == list(range(3, 3 + 2 * 8 + 1))  # two layers, each sees 8 others


def default_configurations() -> dict[str, dict[str, Any]]:
    """What transformers assumes for each family, as config.json has it."""
    import transformers as tf

    return {family: getattr(tf, f"{kind}Config")().to_dict() for family, kind in made.CLASSES.items()}


@pytest.mark.parametrize("family", made.CLASSES)
def test_configurations_of_transformers_are_read_and_their_defaults_are_ours(family):
    config, path = default_configurations()[family], Path("config.json")
    whole = families.described(config, path)
    for name in set(config) - {"model_type", "bos_token_id", "eos_token_id"}:
        rest = {key: value for key, value in config.items() if key != name}
        if name == "head_dim":  # written where it is the width's share
            rest = {**rest, "hidden_size": config["hidden_size"]}
        assert families.described(rest, path) == whole, name


@pytest.mark.parametrize("family", made.CLASSES)
def test_every_other_value_of_a_configuration_is_taken_into_account_or_refused(family):
    """Whatever key transformers has for a family: another value of it changes the architecture, or is refused."""
    config, path = default_configurations()[family], Path("config.json")
    whole = families.described(config, path)
    without_effect = set(families.Configuration({}, path).names) | {"use_sliding_window", "max_window_layers"}
    without_effect |= {"sliding_window"} if family in ("qwen2", "qwen3") else set()  # not in use
    without_effect |= {"attention_bias"} if family == "gpt_neox" else set()  # its tensors say it
    without_effect |= {"_sliding_window_pattern", "original_max_position_embeddings"}  # layer_types; longrope
    others = {bool: lambda v: not v, int: lambda v: v // 4, float: lambda v: v / 2 + 0.125, str: lambda v: "relu"}
    for name in set(config) - without_effect:
        value = config[name]
        if value is None:
            other: Any = 8
        elif name == "layer_types":
            other = [{"full_attention": "sliding_attention"}.get(kind, "full_attention") for kind in value]
        elif name == "rope_parameters":
            other = json.loads(json.dumps(value).replace("10000.0", "20000.0"))
        else:
            other = others[type(value)](value)
        try:
            assert families.described(config | {name: other}, path) != whole, name
        except PriorError:
            continue


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_are_read(name):
    path = PUBLISHED[name]
    values = json.loads(path.read_text("utf-8"))
    expected = values.pop("expected")
    found = families.described(values, path)
    assert {name: getattr(found, name) for name in expected} == {
        name: tuple(value) if isinstance(value, list) else value for name, value in expected.items()
    }


@pytest.mark.parametrize(
    ("family", "values", "named"),
    [
        ("gemma3_text", {"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ("gemma3_text", {"layer_types": ["full_attention"]}, "layer_types"),
        ("gemma3_text", {"sliding_window": None}, "layer_types"),
        ("gemma3_text", {"rope_parameters": {"full_attention": 3}}, "no object"),
        ("gemma3_text", {"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2}}}, "window"),
        ("phi3", {"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0]}}, "longrope"),
        ("phi3", {"auto_map": {"AutoModelForCausalLM": "modeling_phi3.Phi4ForCausalLM"}}, "auto_map"),
        ("llama", {"rope_parameters": {"rope_type": "linear"}}, "rotary"),
        ("llama", {"rope_parameters": {"rope_type": ["x"]}}, "rope type"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ("mistral", {"sliding_window": "all"}, "sliding_window"),
        ("qwen3", {"layer_types": ["chunked_attention"] * 32}, "layer_types"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(family, values, named):
    with pytest.raises(PriorError, match=named):
        families.described(default_configurations()[family] | values, Path("config.json"))


MORE_KEYS = (
    "sliding_window", "sliding_window_pattern", "layer_types", "auto_map", "architectures", "rotary_pct", "rope_theta",
    "rotary_emb_base", "rope_local_base_freq", "partial_rotary_factor", "use_sliding_window", "quantization_config",
)  # fmt: skip
ROTARY_KEYS = (
    "rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor", "full_attention",
    "original_max_position_embeddings", "partial_rotary_factor", "sliding_attention",
)  # fmt: skip
ODD = (None, True, -1, 0, 3, 2**70, -0.5, 1e308, math.nan, math.inf, "", "x", [], ["x"], [[]], [3], {}, {"a": {}}, [{}])


@pytest.mark.parametrize("family", made.CLASSES)
def test_no_value_of_a_configuration_is_more_than_refused(family):
    config, path = default_configurations()[family], Path("config.json")
    places: list[tuple[str, ...]] = [(name,) for name in [*config, *MORE_KEYS]]
    for outer in ("rope_parameters", "rope_scaling"):
        kinds = ({"rope_type": "linear"}, {"rope_type": "llama3", "factor": 2.0})
        places += [(outer, name) for name in ROTARY_KEYS]
        for kind in kinds:
            for name in ROTARY_KEYS:
                for value in ODD:
                    _described_or_refused(config | {outer: kind | {name: value}}, path)
    for place in places:
        for value in ODD:
            inner = value if len(place) == 1 else dict(config.get(place[0]) or {}) | {place[1]: value}
            _described_or_refused(config | {place[0]: inner}, path)


def _described_or_refused(config: dict[str, Any], path: Path) -> None:
    try:
        found = families.described(config, path)
    except PriorError:
        return
    assert all(type(window) is int and window >= 0 for window in found.windows)
    assert (
        len(functions.inverse_frequencies(min(found.rotary, 8), found.base, found.scaling)) == min(found.rotary, 8) // 2
    )
