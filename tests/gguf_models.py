"""GGUF files for tests, of the models of pretrained_models.py: written by the gguf package, as llama.cpp converts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pretrained_models as made

from lmzip.pretrained import families, functions, gguf, table, tokenizer, translation

ARCHITECTURES = {
    "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3",
    "olmo2": "olmo2", "phi3": "phi3", "gpt2": "gpt2", "gpt_neox": "gptneox",
}  # fmt: skip
KINDS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")  # that the gguf package can make


def permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k in the order of llama.cpp's rotation."""
    return weights.reshape(heads, 2, -1, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def sorted_rows(weights: np.ndarray, heads: int) -> np.ndarray:
    """Rows of GPT-NeoX's q, k and v, those of all heads together."""
    return weights.reshape(heads, 3, -1, *weights.shape[1:]).swapaxes(0, 1).reshape(weights.shape)


def converted(family: str, name: str, weights: np.ndarray, config: Any) -> np.ndarray:
    """A tensor as llama.cpp's conversion writes it."""
    if family in ("llama", "mistral") and ".q_proj" in name:
        return permuted(weights, config.num_attention_heads)
    if family in ("llama", "mistral") and ".k_proj" in name:
        return permuted(weights, config.num_key_value_heads)
    if "query_key_value" in name:
        return sorted_rows(weights, config.num_attention_heads)
    if family == "gpt2" and ".c_" in name and weights.ndim == 2:
        return np.ascontiguousarray(weights.T)
    if family == "gemma3_text" and name.endswith("norm.weight"):
        return weights + np.float32(1)
    return weights


def add_sizes(writer: Any, family: str, config: Any) -> None:
    """The architecture's keys."""
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_head_count(config.num_attention_heads)
    if family == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.n_embd)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    writer.add_feed_forward_length(config.intermediate_size)
    rope = config.rope_parameters.get("full_attention", config.rope_parameters)
    writer.add_rope_freq_base(rope["rope_theta"])
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if family == "gpt_neox":
        writer.add_rope_dimension_count(int(size * rope["partial_rotary_factor"]))
        writer.add_parallel_residual(config.use_parallel_residual)
        writer.add_layer_norm_eps(config.layer_norm_eps)
        return
    writer.add_rope_dimension_count(int(size * rope.get("partial_rotary_factor", 1.0)))
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if family in ("qwen3", "gemma3_text") or size * config.num_attention_heads != config.hidden_size:
        writer.add_key_length(size)
        writer.add_value_length(size)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
    if rope["rope_type"] == "linear":
        import gguf as package

        writer.add_rope_scaling_type(package.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def add_tokenizer(writer: Any, kind: str) -> None:
    """A tokenizer of pretrained_models.py."""
    import json

    import gguf as package

    content = json.loads(made.tokenizer(kind).to_str())["model"]
    tokens = sorted(content["vocab"], key=content["vocab"].get)
    writer.add_tokenizer_model("gpt2" if kind == "byte level" else "llama")
    writer.add_token_list(tokens)
    types = [package.TokenType.BYTE if t.startswith("<0x") else package.TokenType.NORMAL for t in tokens]
    types[0] = package.TokenType.CONTROL if kind == "byte level" else package.TokenType.UNKNOWN
    writer.add_token_types(types)
    if kind == "byte level":
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges([" ".join(pair) for pair in content["merges"]])
    else:
        writer.add_token_scores([-float(n) for n in range(len(tokens))])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def save(path: Path, model: Any, quantised: str = "F32", tokenizer: str = "byte level", extra: Any = None) -> Path:
    """A model as a GGUF file; its matrices of this type where a row is made of whole blocks."""
    import gguf as package

    config, family = model.config, model.config.model_type
    writer = package.GGUFWriter(path, ARCHITECTURES[family])
    names = package.get_tensor_name_map(
        {v: k for k, v in package.MODEL_ARCH_NAMES.items()}[ARCHITECTURES[family]], config.num_hidden_layers
    )
    add_sizes(writer, family, config)
    add_tokenizer(writer, tokenizer)
    if extra is not None:
        extra(writer)
    kind = package.GGMLQuantizationType[quantised]
    for name, tensor in model.state_dict().items():
        if config.tie_word_embeddings and name in ("lm_head.weight", "embed_out.weight"):
            continue
        weights = converted(family, name, tensor.float().numpy(), config)
        whole = weights.ndim == 2 and weights.shape[1] % package.GGML_QUANT_SIZES[kind][0] == 0
        stored = kind if whole else package.GGMLQuantizationType.F32
        ours = names.get_name(name, try_suffixes=(".weight", ".bias"))
        writer.add_tensor(ours, package.quantize(weights, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


MERGES = ("Ġ t", "h e", "Ġt he", "Ġ i", "t e", "te m", "Ġi tem", "v a", "l u", "va lu", "Ġ valu", "o f", "i s", ", Ġ")


def pinned(path: Path) -> Path:
    """A Gemma 3 with windows whose bytes are the same everywhere: of integers of numpy, no trained tokenizer, no torch.

    Three layers, the second of which sees all of 512 positions, the others 40; weights in blocks of Q8_0.
    """
    import gguf as package
    from tokenizers.pre_tokenizers import ByteLevel

    random, width, hidden, heads, shared, size = np.random.default_rng(0), 32, 64, 4, 2, 16
    tokens = ["<|endoftext|>", *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]

    def numbers(shape: tuple[int, ...], centre: float, spread: float) -> np.ndarray:
        uniform = random.integers(-(1 << 15), 1 << 15, shape).astype(np.float32) / np.float32(1 << 15)
        return uniform * np.float32(spread) + np.float32(centre)

    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(tokens), width), "output_norm": (width,)}
    for layer in range(3):
        shapes |= {
            f"blk.{layer}.{name}": shape
            for name, shape in {
                "attn_norm": (width,), "attn_q": (heads * size, width), "attn_k": (shared * size, width),
                "attn_v": (shared * size, width), "attn_q_norm": (size,), "attn_k_norm": (size,),
                "attn_output": (width, heads * size), "post_attention_norm": (width,), "ffn_norm": (width,),
                "ffn_gate": (hidden, width), "ffn_up": (hidden, width), "ffn_down": (width, hidden),
                "post_ffw_norm": (width,),
            }.items()
        }  # fmt: skip
    writer = package.GGUFWriter(path, "gemma3")
    writer.add_block_count(3)
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(shared)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_sliding_window(40)
    writer.add_array("gemma3.attention.sliding_window_pattern", [True, False, True])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([package.TokenType.CONTROL, *[package.TokenType.NORMAL] * (len(tokens) - 1)])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    blocks, floats = package.GGMLQuantizationType.Q8_0, package.GGMLQuantizationType.F32
    for name, shape in shapes.items():
        kind = blocks if len(shape) == 2 else floats
        weights = numbers(shape, *((0.0, 0.3) if kind is blocks else (1.5, 0.5)))
        writer.add_tensor(f"{name}.weight", package.quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def everything(path: Path) -> None:
    """All that is read of a file before a byte is coded. Raises PriorError, and nothing else."""
    file = gguf.read(path)
    found = translation.architecture(file)
    table.made(translation.vocabulary(file), found.vocabulary, path)
    tokenizer.definition(file)
    weights = families.Weights(found, translation.tensors(file, found), path)
    weights.embedding().floats()
    weights.positions()
    for layer in range(found.layers):
        for which in ("qkv", "out", "up", "down"):
            weights.linear(layer, which)
        weights.norms(layer)
        weights.head_norms(layer)
    weights.last_norm()
    weights.head()[0].floats()
    weights.finish()
    functions.inverse_frequencies(found.rotary, found.base, found.scaling)
