"""What a GGUF file says, in the words of transformers: its configuration, its tensors' names and order, its tokens.

llama.cpp's conversion renames, and changes four things, which are undone or allowed for here: rows of q and k of llama
are in the order of its own rotation; GPT-NeoX's rows of q, k and v are sorted; GPT-2's matrices are transposed; and
Gemma's gains have 1 added.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..errors import PriorError
from .configuration import refused
from .families import Architecture, described
from .gguf import BlockTensor, Gguf
from .table import Vocabulary
from .tensors import Tensor

ARCHITECTURES = {  # of GGUF: model types of transformers
    "llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3": "gemma3_text", "olmo2": "olmo2", "phi3": "phi3",
    "gpt2": "gpt2", "gptneox": "gpt_neox",
}  # fmt: skip
KEYS = {  # below the architecture's name, and in config.json
    "block_count": "num_hidden_layers", "context_length": "max_position_embeddings", "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size", "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads", "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": "layer_norm_eps", "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window", "attention.sliding_window_pattern": "sliding_window_pattern",
    "rope.freq_base": "rope_theta", "rope.freq_base_swa": "rope_local_base_freq",
    "use_parallel_residual": "use_parallel_residual",
}  # fmt: skip
GPT2 = {
    "num_hidden_layers": "n_layer", "max_position_embeddings": "n_positions", "hidden_size": "n_embd",
    "intermediate_size": "n_inner", "num_attention_heads": "n_head", "layer_norm_eps": "layer_norm_epsilon",
}  # fmt: skip
HARMLESS = {"tensor_data_layout", "rope.scaling.finetuned", "rope.scaling.original_context_length"}
NEUTRAL: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("expert_count", "expert_used_count", "expert_shared_count", "expert_group_count"), (0,)),
    "attention.causal": (True,), "rope.scaling.attn_factor": (1.0,),
    "attn_logit_softcapping": (0.0,), "final_logit_softcapping": (0.0,), "rope.scale_linear": (1.0,),
}  # fmt: skip
PATTERN = "attention.sliding_window_pattern"
FACTORS = "rope_freqs.weight"  # by which rotations are slower
LARGEST_GEMMA = 62  # layers of the Gemma 3 whose scores are scaled by width / heads

_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
_AFTER = {"post_attention_norm": "post_attention_layernorm", "post_ffw_norm": "post_feedforward_layernorm"}
_OUTERS = {
    "gpt2": {"token_embd": "transformer.wte", "position_embd": "transformer.wpe", "output_norm": "transformer.ln_f",
             "output": "lm_head"},
    "gpt_neox": {"token_embd": "gpt_neox.embed_in", "output_norm": "gpt_neox.final_layer_norm", "output": "embed_out"},
}  # fmt: skip
_LAYERS = {
    "olmo2": {name: ours for name, ours in _LAYER.items() if name not in ("attn_norm", "ffn_norm")} | _AFTER,
    "gemma3_text": _LAYER | {"ffn_norm": "pre_feedforward_layernorm"} | _AFTER,
    "phi3": _LAYER | {"attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"},
    "gpt2": {"attn_norm": "ln_1", "attn_qkv": "attn.c_attn", "attn_output": "attn.c_proj", "ffn_norm": "ln_2",
             "ffn_up": "mlp.c_fc", "ffn_down": "mlp.c_proj"},
    "gpt_neox": {"attn_norm": "input_layernorm", "attn_qkv": "attention.query_key_value",
                 "attn_output": "attention.dense", "ffn_norm": "post_attention_layernorm",
                 "ffn_up": "mlp.dense_h_to_4h", "ffn_down": "mlp.dense_4h_to_h"},
}  # fmt: skip
_NAME = re.compile(r"blk\.(\d{1,4})\.(\w+)\.(weight|bias)")
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = range(1, 7)  # types of tokens


def architecture(file: Gguf) -> Architecture:
    """The network that a file describes; raises PriorError naming what is not supported."""
    result = described(_configuration(file), file.path)
    factors = file.tensors.get(FACTORS)
    if factors is not None:
        result.scaling = _factors(file, factors, result)
    return result


def _configuration(file: Gguf) -> dict[str, Any]:
    """The file's metadata as config.json would have it. Raises PriorError."""
    values, path = file.values, file.path
    kind = values.get("general.architecture")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise refused(path, f"the architecture {str(kind)[:40]!r}", f"there are {', '.join(ARCHITECTURES)}")
    part = values.get("general.type", "model"), values.get("split.count", 0)
    if not isinstance(part[0], str) or type(part[1]) is not int or part[0] != "model" or part[1] > 1:
        raise refused(path, "an adapter, or a part of a model")
    keys = {key.removeprefix(f"{kind}."): key for key in values if key.startswith(f"{kind}.")}
    config: dict[str, Any] = {"model_type": ARCHITECTURES[kind]}
    sliding = values.get(keys.get(PATTERN, ""))
    if isinstance(sliding, np.ndarray) and sliding.dtype == bool:
        config["layer_types"] = ["sliding_attention" if local else "full_attention" for local in sliding]
        del keys[PATTERN]
    found = {short: _uniform(file, key) for short, key in keys.items()}
    config |= {KEYS[key]: found.pop(key) for key in KEYS.keys() & found.keys()}
    _sizes(file, config, found)
    _rotation(file, config, found)
    _family(file, config)
    for key, value in found.items():
        if key not in HARMLESS and value not in NEUTRAL.get(key, ()):
            raise refused(path, f"{kind}.{key[:60]} = {str(value)[:60]}")
    for name in ("bos", "eos", "unknown"):
        config[f"{name.replace('unknown', 'unk')}_token_id"] = values.get(f"tokenizer.ggml.{name}_token_id")
    return config


def _uniform(file: Gguf, key: str) -> Any:
    """A value; if there is one for each layer, they must be the same. Raises PriorError."""
    value = file.values[key]
    if isinstance(value, np.ndarray) and len(value) and (value == value[0]).all():
        return value[0].item()
    if isinstance(value, (np.ndarray, list)):
        raise refused(file.path, f"{key[:80]} that differs from layer to layer")
    return value


def _sizes(file: Gguf, config: dict[str, Any], found: dict[str, Any]) -> None:
    """Vocabulary, heads, and whether the embedding is the head. Raises PriorError."""
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise PriorError(f"{file.path}: the tensor token_embd.weight is missing")
    config["vocab_size"] = embedding.shape[0]
    if found.pop("vocab_size", embedding.shape[0]) != embedding.shape[0]:
        raise PriorError(f"{file.path}: vocab_size is not that of the embedding, {embedding.shape[0]:,}")
    config["tie_word_embeddings"] = "output.weight" not in file.tensors
    width, heads = config.get("hidden_size"), config.get("num_attention_heads")
    if type(width) is not int or type(heads) is not int or not 1 <= heads <= width:
        raise PriorError(f"{file.path}: widths and heads make no sense")
    size = config.setdefault("head_dim", width // heads)
    if found.pop("attention.value_length", size) != size:
        raise refused(file.path, "keys and values of different sizes")
    if config["model_type"] in ("llama", "qwen3", "gemma3_text", "olmo2"):
        parts = ("q", "k", "v", "output")
        config["attention_bias"] = any(f"blk.0.attn_{part}.bias" in file.tensors for part in parts)


def _rotation(file: Gguf, config: dict[str, Any], found: dict[str, Any]) -> None:
    """Share of a head that turns, and scaling. Raises PriorError."""
    dims, size = found.pop("rope.dimension_count", None), config["head_dim"]
    kind, factor = found.pop("rope.scaling.type", "none"), found.pop("rope.scaling.factor", 1.0)
    if dims is not None:
        if type(dims) is not int or type(size) is not int or not 0 < dims <= size:
            raise PriorError(f"{file.path}: rope.dimension_count makes no sense")
        config["partial_rotary_factor"] = dims / size
    if kind == "linear":
        config["rope_scaling"] = {"rope_type": "linear", "factor": factor}
    elif kind != "none":
        raise refused(file.path, f"rope.scaling.type = {str(kind)[:40]}")


def _family(file: Gguf, config: dict[str, Any]) -> None:
    """What families have by other names, or not at all. Raises PriorError."""
    family = config["model_type"]
    if not config.get("sliding_window"):
        config.pop("sliding_window", None)
    elif family == "llama":
        config["model_type"] = "mistral"
    elif family == "olmo2":
        raise refused(file.path, "attention.sliding_window, of OLMo 3,")
    if family == "gemma3_text":
        if "sliding_window" not in config:
            config |= {"sliding_window": None, "sliding_window_pattern": 1}
        largest = config.get("num_hidden_layers") == LARGEST_GEMMA
        share = config["hidden_size"] // config["num_attention_heads"]
        config["query_pre_attn_scalar"] = share if largest else config["head_dim"]
    if family in ("gpt2", "gpt_neox"):
        config.pop("num_key_value_heads", None)
        del config["head_dim"]
    if family == "gpt2":
        config.pop("partial_rotary_factor", None)
        config |= {GPT2[name]: config.pop(name) for name in GPT2.keys() & config.keys()}


def _factors(file: Gguf, tensor: BlockTensor, found: Architecture) -> dict[str, Any]:
    """By what each frequency of the rotation is divided. Raises PriorError."""
    if found.family not in ("llama", "mistral") or found.scaling or tensor.shape != (found.rotary // 2,):
        raise refused(file.path, f"the tensor {FACTORS}", "it belongs to no layer of this architecture")
    factors = tensor.floats().tolist()
    if not all(1e-3 <= factor <= 1e6 for factor in factors):
        raise refused(file.path, "rotary embedding with such numbers")
    return {"kind": "factors", "factors": factors}


def tensors(file: Gguf, found: Architecture) -> dict[str, Tensor]:
    """The file's tensors by transformers' names; those that it has no name for keep theirs. Raises PriorError."""
    family = found.family
    result: dict[str, Tensor] = {}
    for name, tensor in file.tensors.items():
        ours = _name(name, family)
        if ours in result:
            raise PriorError(f"{file.path}: the tensor {name[:80]} is there twice")
        transposed = family == "gpt2" and ".c_" in ours and len(tensor.shape) == 2
        result[ours] = tensor.renamed(ours, _order(tensor, ours, found), transposed)
    result.pop(FACTORS, None)
    return result


def _name(name: str, family: str) -> str:
    """What transformers calls a tensor; a gain that has 1 added is called so."""
    stem, _, kind = name.rpartition(".")
    match = _NAME.fullmatch(name)
    layers, outer = _LAYERS.get(family, _LAYER), _OUTERS.get(family, _OUTER)
    if match and match[2] in layers:
        prefix = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers"}.get(family, "model.layers")
        stem = f"{prefix}.{match[1]}.{layers[match[2]]}"
    elif stem in outer:
        stem = outer[stem]
    else:
        return name
    return (
        f"{stem}.gain" if family == "gemma3_text" and stem.endswith("norm") and kind == "weight" else f"{stem}.{kind}"
    )


def _order(tensor: BlockTensor, name: str, found: Architecture) -> np.ndarray | None:
    """Where the rows stand that transformers has in this order; None: in the same."""
    rows = np.arange(tensor.shape[0]) if tensor.shape[0] < 1 << 24 else np.zeros(0, np.int64)
    if found.family in ("llama", "mistral") and (".q_proj." in name or ".k_proj." in name):
        heads = found.heads if ".q_proj." in name else found.shared
        if len(rows) == heads * found.size:
            return rows.reshape(heads, found.size // 2, 2).transpose(0, 2, 1).reshape(-1)
    if ".query_key_value." in name and len(rows) == 3 * found.width:
        return rows.reshape(3, found.heads, -1).transpose(1, 0, 2).reshape(-1)
    return None


def vocabulary(file: Gguf) -> Vocabulary:
    """How the file spells its tokens. Raises PriorError."""
    values, kind = file.values, file.values.get("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise refused(file.path, f"the tokenizer {str(kind)[:40]!r}", "there are gpt2 and llama")
    pieces = values.get("tokenizer.ggml.tokens")
    types = values.get("tokenizer.ggml.token_type")
    if types is None and isinstance(pieces, list):
        types = np.full(len(pieces), NORMAL)
    if not isinstance(pieces, list) or not isinstance(types, np.ndarray) or len(pieces) != len(types):
        raise PriorError(f"{file.path}: its tokens make no sense")
    special = set(np.flatnonzero(np.isin(types, (UNKNOWN, CONTROL, UNUSED))).tolist())
    literal = set(np.flatnonzero(types == USER).tolist())
    if kind == "gpt2":
        return Vocabulary(enumerate(pieces), "byte level", special, literal)
    return Vocabulary(enumerate(pieces), "sentencepiece", special, literal, fallback=True)
