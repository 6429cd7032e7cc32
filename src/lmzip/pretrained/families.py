"""Architectures: from a configuration and tensors' names to the network of inference.py, all else refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import PriorError
from .configuration import Configuration, refused
from .tensors import Tensor, load_json

CONTEXT = 2048  # positions that one sees, unless it is told otherwise
WINDOWS = tuple(1 << n for n in range(8, 16))  # what it may be told
BITS = {8: (1, 127), 12: (2, 2047), 16: (2, 127 * 256)}  # of weights: limbs, and the largest integer
CONFIGURATION = "config.json"


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
    norms: str = "before"  # each sublayer; "after": on its output, before the residual is added; "both"
    head_norm: str = ""  # by root mean square, of q and k: "head", of each head; "all", over all heads
    embedding_scale: float = 1.0  # a float32 number
    attention_scale: float = 0.0  # of scores; 0: 1/sqrt(size)
    windows: tuple[int, ...] = ()  # by layer, how many positions a query sees, itself among them; 0, or (): all
    local_base: float = 0.0  # base of the rotation in layers with a window, without scaling; 0: as elsewhere


class _Defaults(NamedTuple):
    """What transformers assumes where a configuration is silent."""

    width: int
    hidden: int
    layers: int
    heads: int
    vocabulary: int
    positions: int
    epsilon: float
    shared: int | None = None  # None: as many as heads
    size: int | None = None  # None: width / heads
    window: int | None = None
    tied: bool = False


_LLAMA = {
    "llama": _Defaults(4096, 11008, 32, 32, 32000, 2048, 1e-6),
    "mistral": _Defaults(4096, 14336, 32, 32, 32000, 1 << 17, 1e-6, shared=8, window=4096),
    "qwen2": _Defaults(4096, 22016, 32, 32, 151936, 1 << 15, 1e-6, shared=32, window=4096),
    "qwen3": _Defaults(4096, 22016, 32, 32, 151936, 1 << 15, 1e-6, shared=32, size=128, window=4096),
    "gemma3_text": _Defaults(2304, 9216, 26, 8, 262208, 1 << 17, 1e-6, shared=4, size=256, window=4096, tied=True),
    "olmo2": _Defaults(4096, 11008, 32, 32, 50304, 2048, 1e-5),
    "phi3": _Defaults(3072, 8192, 32, 32, 32064, 4096, 1e-5),
}
_CLASSES = {"gpt2": "GPT2LMHeadModel", "gpt_neox": "GPTNeoXForCausalLM", "llama": "LlamaForCausalLM",
            "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
            "gemma3_text": "Gemma3ForCausalLM", "olmo2": "Olmo2ForCausalLM", "phi3": "Phi3ForCausalLM"}  # fmt: skip


def _rotation(
    config: Configuration, values: dict[str, Any], size: int, base: Any, share: Any
) -> tuple[int, float, dict[str, Any] | None]:
    """Dimensions that turn, their base, their scaling."""
    kind = values.get("rope_type", values.get("type", "default")) or "default"
    wanted = {"default": (), "linear": ("factor",), "llama3": ("factor", "low_freq_factor", "high_freq_factor")}
    if not isinstance(kind, str) or kind not in wanted:
        raise refused(config.path, f"rope type {str(kind)[:40]!r}", f"there are {', '.join(wanted)}")
    factors = [values.get(name) for name in wanted[kind]]
    numbers = (base, share, *factors)
    if not all(isinstance(n, (int, float)) and not isinstance(n, bool) and 1e-3 <= n <= 1e12 for n in numbers):
        raise refused(config.path, "rotary embedding with such numbers")
    dims = int(size * share) // 2 * 2
    if base < 1.0 or share > 1.0 or dims == 0:
        raise refused(config.path, f"rope_theta {base} or a share of {share} dimensions")
    scaling = dict(zip(("factor", "low", "high"), map(float, factors)))  # type: ignore[arg-type]
    if kind == "llama3":
        context = values.get("original_max_position_embeddings", config.values.get("max_position_embeddings"))
        if not (type(context) is int and 1 <= context < 1 << 24 and scaling["low"] < scaling["high"]):
            raise refused(config.path, "llama3 rotary scaling with such numbers")
        scaling["context"] = float(context)
    return dims, float(base), {"kind": kind} | scaling if scaling else None


def _rotary(
    config: Configuration, size: int, share: float = 1.0, base: float = 10000.0
) -> tuple[int, float, dict[str, Any] | None]:
    """The rotation, as either generation of transformers writes it; where layers differ, that of full attention."""
    older, parameters = config.get("rope_scaling", {}), config.get("rope_parameters", {})
    if isinstance(parameters, dict):
        parameters = parameters.get("full_attention", parameters)
    if not isinstance(parameters, dict) or not isinstance(older, dict):
        raise refused(config.path, "rope_parameters or rope_scaling that is no object")
    values = older | parameters
    base = config.get("rotary_emb_base", base)
    base = values.get("rope_theta", config.get("rope_theta", base))
    return _rotation(config, values, size, base, values.get("partial_rotary_factor", share))


def _local_base(config: Configuration) -> float:
    """Base of the rotation in layers with a window, where layers differ."""
    values = config.get("rope_parameters", {}).get("sliding_attention", {})
    if not isinstance(values, dict):
        raise refused(config.path, "rope_parameters that is no object")
    base = values.get("rope_theta", config.real("rope_local_base_freq", 10000.0, 1.0, 1e12))
    _, base, scaling = _rotation(config, values, 4, base, 1.0)
    if scaling:
        raise refused(config.path, "rotary scaling of layers with a window")
    return base


def _windows(config: Configuration, layers: int, default: int | None) -> tuple[int, ...]:
    """By layer, how many positions a query sees; 0: all."""
    family = config.values["model_type"]
    sliding, full = "sliding_attention", "full_attention"
    window, most = config.get("sliding_window"), config.get("max_window_layers", 28)
    if window is None and "sliding_window" not in config.values:
        window = default
    if family in ("qwen2", "qwen3") and not config.flag("use_sliding_window", False):
        window = None
    pattern = config.get("sliding_window_pattern", config.get("_sliding_window_pattern", 6))
    if not all(type(number) is int and 0 < number < 1 << 24 for number in (window or 1, most or 1, pattern)):
        raise refused(config.path, f"sliding_window = {str(window)[:40]}")
    if family == "gemma3_text":
        kinds = [sliding if (layer + 1) % pattern else full for layer in range(layers)]
    elif family in ("qwen2", "qwen3"):
        kinds = [sliding if window and layer >= most else full for layer in range(layers)]
    else:
        kinds = [sliding if window and family in ("mistral", "phi3") else full] * layers
    listed = config.get("layer_types", kinds)
    if not isinstance(listed, list) or len(listed) != layers or not all(kind in (sliding, full) for kind in listed):
        raise refused(config.path, f"layer_types {str(listed)[:60]}")
    if (listed != kinds and family in ("llama", "mistral", "phi3", "olmo2")) or (sliding in listed and not window):
        raise refused(config.path, f"layer_types {str(sorted(set(listed)))[:60]}")
    return tuple(window if kind == sliding else 0 for kind in listed)


def _gpt2(c: Configuration) -> Architecture:
    width, heads = c.number("n_embd", "width", 768), c.number("n_head", "heads", 12)
    if width % heads:
        raise refused(c.path, f"{heads} heads in {width} dimensions")
    return Architecture(
        "gpt2", c.number("n_layer", "layers", 12), width, heads, heads, width // heads,
        c.number("n_inner", "hidden", 4 * width), c.number("vocab_size", "vocabulary", 50257),
        c.number("n_positions", "positions", 1024), c.activation("activation_function", "gelu_new"),
        c.real("layer_norm_epsilon", 1e-5, 1e-12, 1.0), tied=c.flag("tie_word_embeddings", True),
    )  # fmt: skip


def _llama(c: Configuration) -> Architecture:
    family = c.values["model_type"]
    gemma, usual = family == "gemma3_text", _LLAMA[family]
    width, heads = c.number("hidden_size", "width", usual.width), c.number("num_attention_heads", "heads", usual.heads)
    layers = c.number("num_hidden_layers", "layers", usual.layers)
    size = c.number("head_dim", "size", usual.size or width // heads)
    share = c.real("partial_rotary_factor", 1.0, 1e-3, 1.0)
    dims, base, scaling = _rotary(c, size, share, 1e6 if gemma else 1e4)
    if dims < size // 2 * 2 and family != "phi3":
        raise refused(c.path, f"partial_rotary_factor = {dims / size}")
    bias = family == "qwen2"
    if family in ("llama", "mistral"):
        bias = c.flag("attention_bias", False) | c.flag("mlp_bias", False)
    elif family in ("qwen3", "olmo2", "gemma3_text"):
        bias = c.flag("attention_bias", False)
    if family == "phi3":
        c.get("original_max_position_embeddings")  # of longrope
    return Architecture(
        family, layers, width, heads, c.number("num_key_value_heads", "shared", usual.shared or heads), size,
        c.number("intermediate_size", "hidden", usual.hidden), c.number("vocab_size", "vocabulary", usual.vocabulary),
        c.number("max_position_embeddings", "positions", usual.positions),
        c.activation("hidden_activation", "gelu_pytorch_tanh") if gemma else c.activation("hidden_act", "silu"),
        c.real("rms_norm_eps", usual.epsilon, 1e-12, 1.0), rms=True, gated=True, rotary=dims, base=base,
        scaling=scaling, bias=bias, tied=c.flag("tie_word_embeddings", usual.tied),
        norms={"gemma3_text": "both", "olmo2": "after"}.get(family, "before"),
        head_norm={"gemma3_text": "head", "qwen3": "head", "olmo2": "all"}.get(family, ""),
        embedding_scale=float(np.float32(width**0.5)) if gemma else 1.0,
        attention_scale=c.real("query_pre_attn_scalar", 256, 1e-3, 1e6) ** -0.5 if gemma else 0.0,
        windows=_windows(c, layers, usual.window), local_base=_local_base(c) if gemma else 0.0,
    )  # fmt: skip


def _neox(c: Configuration) -> Architecture:
    c.flag("attention_bias", True)  # its tensors say it
    width, heads = c.number("hidden_size", "width", 6144), c.number("num_attention_heads", "heads", 64)
    if width % heads:
        raise refused(c.path, f"{heads} heads in {width} dimensions")
    share = c.real("rotary_pct", c.real("partial_rotary_factor", 0.25, 1e-3, 1.0), 1e-3, 1.0)
    dims, base, scaling = _rotary(c, width // heads, share)
    return Architecture(
        "gpt_neox", c.number("num_hidden_layers", "layers", 44), width, heads, heads, width // heads,
        c.number("intermediate_size", "hidden", 24576), c.number("vocab_size", "vocabulary", 50432),
        c.number("max_position_embeddings", "positions", 2048), c.activation("hidden_act", "gelu"),
        c.real("layer_norm_eps", 1e-5, 1e-12, 1.0), parallel=c.flag("use_parallel_residual", True), rotary=dims,
        base=base, scaling=scaling, tied=c.flag("tie_word_embeddings", False),
    )  # fmt: skip


FAMILIES: dict[str, Callable[[Configuration], Architecture]] = {
    "gpt2": _gpt2, "gpt_neox": _neox, **dict.fromkeys(_LLAMA, _llama)
}  # fmt: skip


def architecture(folder: Path) -> Architecture:
    """What config.json describes; raises PriorError naming what is not supported."""
    path = folder / CONFIGURATION
    return described(load_json(path), path)


def described(values: dict[str, Any], path: Path) -> Architecture:
    """What a configuration describes, `path`: where it stands. Raises PriorError naming what is not supported."""
    config = Configuration(values, path)
    family = values.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        raise refused(path, f"model type {str(family)[:40]!r}", f"there are {', '.join(FAMILIES)}")
    _check_code(config, _CLASSES[family])
    named = values.get("architectures") or []
    if not isinstance(named, list) or any(not str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in named):
        raise refused(path, f"architecture {str(named)[:60]}", "it is no causal language model")
    result = FAMILIES[family](config)
    config.finish()
    heads, shared, size = result.heads, result.shared, result.size
    if heads % shared or size % 4:
        raise refused(path, f"{heads} heads of {size} with {shared} for keys", "sizes must divide, by 4")
    if all(window == 0 or window >= result.positions for window in result.windows) and not result.local_base:
        result.windows = ()
    start = config.token("bos_token_id", result.vocabulary)
    result.start = config.token("eos_token_id", result.vocabulary) if start is None else start
    result.unknown = config.token("unk_token_id", result.vocabulary)
    return result


def _check_code(config: Configuration, usual: str) -> None:
    """Raises PriorError if a model names code of its own, other than an older home of transformers' class."""
    named = config.get("auto_map", {})
    model = named.get("AutoModelForCausalLM", "") if isinstance(named, dict) else named
    if "auto_map" in config.values and str(model).rpartition(".")[2] != usual:
        raise PriorError(
            f"{config.path}: the model asks for code of its own (auto_map), which is never run; use another model"
        )


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
        return tensor.floats()

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

    def _gain(self, name: str, size: int) -> np.ndarray:
        """Gain of a norm by root mean square: as it is (.gain, of GGUF), or less 1 in Gemma's .weight."""
        if self.architecture.family != "gemma3_text":
            return self.vector(f"{name}.weight", size)
        tensor = self.find(f"{name}.gain", (size,), optional=True)
        return np.float32(1.0) + self.vector(f"{name}.weight", size) if tensor is None else tensor.floats()

    def _norm(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        width = self.architecture.width
        if self.architecture.rms:
            return self._gain(name, width), np.zeros(width, np.float32)
        return self.vector(f"{name}.weight", width), self.vector(f"{name}.bias", width)

    def norms(self, layer: int) -> tuple[tuple[np.ndarray, np.ndarray] | None, ...]:
        """Gain and bias of a layer's norms: before and after attention, before and after the feed-forward."""
        if self.architecture.family == "gpt2":
            return self._norm(f"h.{layer}.ln_1"), None, self._norm(f"h.{layer}.ln_2"), None
        attention, feed = "post_attention_layernorm", "post_feedforward_layernorm"
        names = {
            "before": ("input_layernorm", None, attention, None),
            "after": (None, attention, None, feed),
            "both": ("input_layernorm", attention, "pre_feedforward_layernorm", feed),
        }[self.architecture.norms]
        return tuple(name if name is None else self._norm(f"layers.{layer}.{name}") for name in names)

    def last_norm(self) -> tuple[np.ndarray, np.ndarray]:
        """Gain and bias of the norm behind all layers."""
        return self._norm({"gpt2": "ln_f", "gpt_neox": "final_layer_norm"}.get(self.architecture.family, "norm"))

    def head_norms(self, layer: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Gains of a layer's norms of q and k: float32[size] if each head's, else of all heads, see `head_norm`."""
        architecture, name = self.architecture, f"layers.{layer}.self_attn"
        if not architecture.head_norm:
            return None
        counts = (architecture.heads, architecture.shared) if architecture.head_norm == "all" else (1, 1)
        q, k = (self._gain(f"{name}.{which}_norm", count * architecture.size) for which, count in zip("qk", counts))
        return q, k

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
        if architecture.family == "phi3":
            names |= {"qkv": [("self_attn.qkv_proj", width, attention + 2 * keys)],
                      "up": [("mlp.gate_up_proj", width, 2 * hidden)]}  # fmt: skip
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
