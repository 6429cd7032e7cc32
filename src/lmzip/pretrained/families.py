"""Architectures: from config.json and tensors' names to the network of inference.py, all else refused by its name.

Whatever in a configuration could change a prediction is taken into account here, or has the one value under which it
changes nothing; a key that is neither in use here nor listed as harmless is refused, and so is any tensor left over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PriorError
from .activations import GELU, GELU_NEW, QUICK_GELU, RELU, RELU2, SILU
from .tensors import Tensor, load_json

CONTEXT = 2048  # positions that one sees, unless it is told otherwise
BITS = {8: (1, 127), 12: (2, 2047), 16: (2, 127 * 256)}  # of weights: limbs, and the largest integer
ACTIVATIONS = {
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh"), GELU_NEW),
    **dict.fromkeys(("gelu", "gelu_python"), GELU),
    **dict.fromkeys(("silu", "swish"), SILU),
    "quick_gelu": QUICK_GELU, "relu": RELU, "relu2": RELU2,
}  # fmt: skip
LIMITS = {
    "layers": (1, 256), "width": (4, 1 << 15), "heads": (1, 1 << 10), "shared": (1, 1 << 10), "size": (4, 512),
    "hidden": (1, 1 << 17), "vocabulary": (2, 1 << 20), "positions": (2, 1 << 24),
}  # fmt: skip
# What says nothing about predictions: of training, of generation, of how transformers computes
HARMLESS = {
    "architectures", "model_type", "torch_dtype", "dtype", "transformers_version",
    "_name_or_path", "_model_name_or_path",
    "use_cache",
    "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id",
    "task_specific_params",
    "attn_pdrop", "embd_pdrop", "resid_pdrop", "summary_activation", "summary_first_dropout", "summary_proj_to_labels",
    "summary_type", "summary_use_proj", "attention_dropout", "hidden_dropout", "pretraining_tp", "classifier_dropout",
    "gradient_checkpointing", "reorder_and_upcast_attn", "_attn_implementation", "attn_implementation", "use_bfloat16",
    "output_attentions", "output_hidden_states", "return_dict", "is_encoder_decoder", "id2label", "label2id",
    "_attn_implementation_autoset", "tokenizer_class", "chunk_size_feed_forward", "problem_type", "prefix",
    "max_window_layers", "layer_types", "is_decoder", "_num_labels", "n_ctx",
    "is_llama_config", "model_max_length", "max_sequence_length", "unsloth_version",
}  # fmt: skip
NEUTRAL: dict[str, tuple[Any, ...]] = {  # what must have one of these values, or be absent
    "add_cross_attention": (False,), "scale_attn_by_inverse_layer_idx": (False,), "scale_attn_weights": (True,),
    "cross_attention_hidden_size": (None,), "pruned_heads": ({}, None), "quantization_config": (None,),
    "rope_interleaved": (False, None), "use_mrope": (False, None), "use_sliding_window": (False, None),
    "partial_rotary_factor": (1, 1.0, None), "logit_scale": (1, 1.0, None),
}  # fmt: skip


@dataclass
class Architecture:
    """The network in the one form that inference.py has; rows of q, k and v are stacked in that order."""

    family: str
    layers: int
    width: int
    heads: int
    shared: int  # heads of keys and values
    size: int  # of a head
    hidden: int
    vocabulary: int
    positions: int  # that the model was trained with
    activation: int
    epsilon: float
    rms: bool = False  # norm by root mean square, no mean taken off
    gated: bool = False
    parallel: bool = False  # attention and feed-forward read the same x
    rotary: int = 0  # dimensions that turn; 0: learned positions
    base: float = 10000.0
    scaling: dict[str, Any] | None = None
    bias: bool = True  # may linear layers have one
    tied: bool = False
    start: int | None = None  # the id a window begins with
    unknown: int | None = None
    norms: str = "before"
    head_norm: str = ""
    embedding_scale: float = 1.0
    attention_scale: float = 0.0
    windows: tuple[int, ...] = ()
    local_base: float = 0.0


class _Config:
    """A configuration that notes which names were read."""

    def __init__(self, path: Path) -> None:
        self.path, self.values = path, load_json(path)
        self.names = set(HARMLESS)  # that were read, or need not be

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return self.values.get(name, default)

    def number(self, name: str, limit: str, default: Any = None) -> int:
        low, high = LIMITS[limit]
        value = self.get(name)
        value = default if value is None else value
        if type(value) is not int or not low <= value <= high:
            raise PriorError(f"{self.path}: {name} must be a number from {low} to {high}, not {str(value)[:40]}")
        return value

    def real(self, name: str, default: float, low: float, high: float) -> float:
        value = self.get(name)
        value = default if value is None else value
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            raise PriorError(f"{self.path}: {name} must be from {low} to {high}, not {str(value)[:40]}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if type(value) is not bool:
            raise PriorError(f"{self.path}: {name} must be true or false, not {str(value)[:40]}")
        return value

    def identity(self, name: str) -> int | None:
        value = self.get(name)
        return value[0] if isinstance(value, list) and value else value

    def activation(self, name: str, default: str) -> int:
        value = self.get(name, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise refused(self.path, f"activation {str(value)[:40]!r}", f"there are {', '.join(sorted(ACTIVATIONS))}")
        return ACTIVATIONS[value]

    def finish(self) -> None:
        for name, allowed in NEUTRAL.items():
            if name not in self.names and name in self.values and self.values[name] not in allowed:
                raise refused(self.path, f"{name} = {str(self.values[name])[:60]}")
        for name in self.values:
            if name not in self.names and name not in NEUTRAL:
                raise refused(self.path, f"{name[:60]} = {str(self.values[name])[:60]}")


def refused(path: Path, what: str, why: str = "") -> PriorError:
    """The error that says what of a model has no place in this arithmetic."""
    return PriorError(
        f"{path}: {what} is not supported in exact arithmetic" + (f": {why}" if why else "") + "; use another model"
    )


def _rotary(config: _Config, size: int, share: float) -> tuple[int, float, dict[str, Any] | None]:
    """Dimensions that turn, their base, their scaling, as either generation of transformers writes it."""
    parameters = config.get("rope_parameters") or {}
    older = config.get("rope_scaling") or {}
    if not isinstance(parameters, dict) or not isinstance(older, dict):
        raise refused(config.path, "rope_parameters or rope_scaling that is no object")
    values = {**older, **parameters}
    base = values.get("rope_theta", config.get("rope_theta", config.get("rotary_emb_base", 10000.0)))
    base = 10000.0 if base is None else base
    share = values.get("partial_rotary_factor", share)
    kind = values.get("rope_type", values.get("type", "default")) or "default"
    config.names |= {"rope_theta", "rotary_emb_base", "partial_rotary_factor"}
    factors = values.get("factor", 1), values.get("low_freq_factor", 1), values.get("high_freq_factor", 4)
    numbers = (base, share, *factors)
    if not all(isinstance(n, (int, float)) and not isinstance(n, bool) and 1e-3 <= n <= 1e12 for n in numbers):
        raise refused(config.path, "rotary embedding with such numbers")
    if base < 1.0 or share > 1.0:
        raise refused(config.path, f"rope_theta {base} or a share of {share} dimensions")
    dims = int(size * share) // 2 * 2
    if kind == "default":
        return dims, float(base), None
    if kind == "linear":
        return dims, float(base), {"kind": "linear", "factor": float(values["factor"])}
    if kind == "llama3":
        low, high = float(values["low_freq_factor"]), float(values["high_freq_factor"])
        context = values.get("original_max_position_embeddings", config.values.get("max_position_embeddings"))
        if not (type(context) is int and 1 <= context < 1 << 24 and low < high):
            raise refused(config.path, "llama3 rotary scaling with such numbers")
        return dims, float(base), {
            "kind": "llama3", "factor": float(values["factor"]), "low": low, "high": high, "context": float(context)
        }  # fmt: skip
    raise refused(config.path, f"rope type {str(kind)[:40]!r}", "there are default, linear and llama3")


def _gpt2(c: _Config) -> Architecture:
    width, heads = c.number("n_embd", "width", 768), c.number("n_head", "heads", 12)
    return Architecture(
        "gpt2", c.number("n_layer", "layers", 12), width, heads, heads, width // heads,
        c.number("n_inner", "hidden", 4 * width), c.number("vocab_size", "vocabulary", 50257),
        c.number("n_positions", "positions", 1024), c.activation("activation_function", "gelu_new"),
        c.real("layer_norm_epsilon", 1e-5, 1e-12, 1.0), tied=c.flag("tie_word_embeddings", True),
    )  # fmt: skip


def _llama(c: _Config) -> Architecture:
    family = c.values["model_type"]
    width, heads = c.number("hidden_size", "width", 4096), c.number("num_attention_heads", "heads", 32)
    size = c.number("head_dim", "size", width // heads)
    positions = c.number("max_position_embeddings", "positions", 2048)
    dims, base, scaling = _rotary(c, size, 1.0)
    bias = True
    if family in ("llama", "mistral"):
        bias = c.flag("attention_bias", False) | c.flag("mlp_bias", False)
    result = Architecture(
        family, c.number("num_hidden_layers", "layers", 32), width, heads,
        c.number("num_key_value_heads", "shared", heads), size, c.number("intermediate_size", "hidden", 11008),
        c.number("vocab_size", "vocabulary", 32000), positions, c.activation("hidden_act", "silu"),
        c.real("rms_norm_eps", 1e-6, 1e-12, 1.0), rms=True, gated=True, rotary=dims, base=base, scaling=scaling,
        bias=bias, tied=c.flag("tie_word_embeddings", False),
    )  # fmt: skip
    window = c.get("sliding_window")
    if window is not None and (family == "mistral" or c.get("use_sliding_window")) and window < result.context:
        raise refused(c.path, f"sliding_window = {str(window)[:40]}")
    layers = c.values.get("layer_types")
    if layers and any(kind != "full_attention" for kind in layers) and (window is None or window < result.context):
        raise refused(c.path, f"layer_types {str(sorted(set(map(str, layers))))[:60]}")
    return result


def _neox(c: _Config) -> Architecture:
    c.flag("attention_bias", True)  # its tensors say it
    width, heads = c.number("hidden_size", "width", 6144), c.number("num_attention_heads", "heads", 64)
    dims, base, scaling = _rotary(c, width // heads, c.real("rotary_pct", 0.25, 0.001, 1.0))
    return Architecture(
        "gpt_neox", c.number("num_hidden_layers", "layers", 44), width, heads, heads, width // heads,
        c.number("intermediate_size", "hidden", 24576), c.number("vocab_size", "vocabulary", 50432),
        c.number("max_position_embeddings", "positions", 2048), c.activation("hidden_act", "gelu"),
        c.real("layer_norm_eps", 1e-5, 1e-12, 1.0), parallel=c.flag("use_parallel_residual", True), rotary=dims,
        base=base, scaling=scaling, tied=c.flag("tie_word_embeddings", False),
    )  # fmt: skip


FAMILIES: dict[str, Callable[[_Config], Architecture]] = {
    "gpt2": _gpt2, "llama": _llama, "mistral": _llama, "qwen2": _llama, "gpt_neox": _neox
}  # fmt: skip


def architecture(folder: Path) -> Architecture:
    """What config.json describes; raises PriorError naming what is not supported."""
    path = folder / "config.json"
    config = _Config(path)
    family = config.values.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise refused(path, f"model type {str(family)[:40]!r}", f"there are {', '.join(FAMILIES)}")
    if "auto_map" in config.values:
        raise PriorError(
            f"{path}: the model asks for code of its own (auto_map), which is never run; use another model"
        )
    named = config.values.get("architectures") or []
    if not isinstance(named, list) or any(not str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in named):
        raise refused(path, f"architecture {str(named)[:60]}", "it is no causal language model")
    result = FAMILIES[family](config)
    config.finish()
    heads, shared, size = result.heads, result.shared, result.size
    if (family == "gpt2" and result.width % heads) or heads % shared or size % 4:
        raise refused(path, f"{heads} heads of {size} with {shared} for keys", "sizes must divide, by 4")
    start = config.identity("bos_token_id")
    start = config.identity("eos_token_id") if start is None else start
    result.start, result.unknown = (
        value if type(value) is int and 0 <= value < result.vocabulary else None
        for value in (start, config.identity("unk_token_id"))
    )
    return result


class Weights:
    """A model's tensors under the names that inference.py asks for; what is not asked for is refused by `finish`."""

    def __init__(self, architecture: Architecture, tensors: dict[str, Tensor], folder: Path) -> None:
        self.architecture, self.tensors, self.folder = architecture, tensors, folder
        self.names: set[str] = set()  # of the tensors that were read
        prefix = {"gpt2": "transformer.", "gpt_neox": "gpt_neox."}.get(architecture.family, "model.")
        self.prefix = prefix if any(name.startswith(prefix) for name in tensors) else ""

    def find(self, name: str, shape: tuple[int, ...], optional: bool = False) -> Tensor | None:
        """The tensor of this name, with or without prefix; None if an optional one is missing. Raises PriorError."""
        for full in (self.prefix + name, name):
            if full in self.tensors:
                self.names.add(full)
                tensor = self.tensors[full]
                if tensor.shape != shape:
                    raise PriorError(f"{self.folder}: {full} has shape {tensor.shape}, its configuration means {shape}")
                return tensor
        if optional:
            return None
        raise PriorError(f"{self.folder}: the tensor {self.prefix + name} is missing")

    def vector(self, name: str, size: int, optional: bool = False) -> np.ndarray:
        """A tensor of one dimension, float32[size]; zeros if an optional one is missing."""
        tensor = self.find(name, (size,), optional)
        return np.zeros(size, np.float32) if tensor is None else tensor.floats()

    def embedding(self) -> Tensor:
        """A row for every token, [vocabulary, width]."""
        names = {"gpt2": "wte.weight", "gpt_neox": "embed_in.weight"}
        name = names.get(self.architecture.family, "embed_tokens.weight")
        tensor = self.find(name, (self.architecture.vocabulary, self.architecture.width))
        assert tensor is not None
        return tensor

    def positions(self) -> np.ndarray | None:
        """A row for every position that a window may have, float32[context, width]; None: positions are rotations."""
        if self.architecture.rotary:
            return None
        tensor = self.find("wpe.weight", (self.architecture.positions, self.architecture.width))
        assert tensor is not None
        return tensor.floats(slice(0, self.architecture.context))

    def head(self) -> tuple[Tensor, np.ndarray]:
        """Weight [vocabulary, width] and bias float32[vocabulary] of the logits. Raises PriorError, see `refused`."""
        name = "embed_out.weight" if self.architecture.family == "gpt_neox" else "lm_head.weight"
        shape = (self.architecture.vocabulary, self.architecture.width)
        tensor = self.find(name, shape, optional=self.architecture.tied)
        if self.architecture.tied and tensor is not None:
            embedding = self.embedding()
            if not (tensor.kind == embedding.kind and np.array_equal(tensor.raw, embedding.raw)):
                raise refused(self.folder, f"{name} beside tie_word_embeddings", "it differs from the embedding")
        return tensor if tensor is not None else self.embedding(), np.zeros(self.architecture.vocabulary, np.float32)

    def norm(self, layer: int | None, second: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Gain and bias: of a layer's first or second norm, or of the last one."""
        family, width = self.architecture.family, self.architecture.width
        if family == "gpt2":
            name = "ln_f" if layer is None else f"h.{layer}.ln_{2 if second else 1}"
        elif layer is None:
            name = "final_layer_norm" if family == "gpt_neox" else "norm"
        else:
            name = f"layers.{layer}.{'post_attention_layernorm' if second else 'input_layernorm'}"
        gain = self.vector(f"{name}.weight", width)
        bias = np.zeros(width, np.float32) if self.architecture.rms else self.vector(f"{name}.bias", width)
        return gain, bias

    def norms(self, layer):
        return self.norm(layer), None, self.norm(layer, True), None

    def head_norms(self, layer):
        return None

    def _linear(self, name: str, inputs: int, outputs: int, transposed: bool = False) -> tuple[np.ndarray, np.ndarray]:
        tensor = self.find(f"{name}.weight", (inputs, outputs) if transposed else (outputs, inputs))
        assert tensor is not None
        weight = tensor.floats()
        bias = np.zeros(outputs, np.float32)
        if self.architecture.bias:
            bias = self.vector(f"{name}.bias", outputs, optional=True)
        return np.ascontiguousarray(weight.T) if transposed else weight, bias

    def linear(self, layer: int, which: str) -> tuple[np.ndarray, np.ndarray]:
        """Weight [outputs, inputs] and bias of a layer's `qkv`, `out`, `up` (behind the gate, if any), `down`."""
        architecture = self.architecture
        width, hidden, attention = architecture.width, architecture.hidden, architecture.heads * architecture.size
        keys = architecture.shared * architecture.size
        if architecture.family == "gpt2":
            name = {"qkv": "attn.c_attn", "out": "attn.c_proj", "up": "mlp.c_fc", "down": "mlp.c_proj"}[which]
            sizes = {"qkv": (width, 3 * width), "out": (width, width), "up": (width, hidden), "down": (hidden, width)}
            return self._linear(f"h.{layer}.{name}", *sizes[which], transposed=True)
        if architecture.family == "gpt_neox":
            name = {"qkv": "attention.query_key_value", "out": "attention.dense",
                    "up": "mlp.dense_h_to_4h", "down": "mlp.dense_4h_to_h"}[which]  # fmt: skip
            sizes = {"qkv": (width, 3 * width), "out": (width, width), "up": (width, hidden), "down": (hidden, width)}
            weight, bias = self._linear(f"layers.{layer}.{name}", *sizes[which])
            if which == "qkv":  # there a head's q, k and v lie together
                order = np.arange(3 * width).reshape(architecture.heads, 3, -1).transpose(1, 0, 2).reshape(-1)
                weight, bias = np.ascontiguousarray(weight[order]), bias[order]
            return weight, bias
        names = {
            "qkv": [("self_attn.q_proj", width, attention), ("self_attn.k_proj", width, keys),
                    ("self_attn.v_proj", width, keys)],
            "out": [("self_attn.o_proj", attention, width)],
            "up": [("mlp.gate_proj", width, hidden), ("mlp.up_proj", width, hidden)],
            "down": [("mlp.down_proj", hidden, width)],
        }  # fmt: skip
        parts = [self._linear(f"layers.{layer}.{name}", inputs, outputs) for name, inputs, outputs in names[which]]
        return np.concatenate([w for w, _ in parts]), np.concatenate([b for _, b in parts])

    def finish(self) -> None:
        """Raises PriorError if anything is left over but what older versions saved: masks, rotary frequencies."""
        buffers = (
            ".attn.bias",
            ".attn.masked_bias",
            ".attention.bias",
            ".attention.masked_bias",
            "rotary_emb.inv_freq",
        )
        for name in sorted(set(self.tensors) - self.names):
            if not name.endswith(buffers):
                raise refused(self.folder, f"the tensor {name[:80]}", "it belongs to no layer of this architecture")
