"""Configurations as transformers writes them: which keys were read, which change no prediction, which are refused.

Whatever in a configuration could change a prediction is read by families.py, or has the one value under which it
changes nothing; any other key is refused by its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import PriorError
from .activations import GELU, GELU_NEW, QUICK_GELU, RELU, RELU2, SILU

ACTIVATIONS = {
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh"), GELU_NEW),
    **dict.fromkeys(("gelu", "gelu_python"), GELU),
    **dict.fromkeys(("silu", "swish"), SILU),
    "quick_gelu": QUICK_GELU, "relu": RELU, "relu2": RELU2,
}  # fmt: skip
LIMITS = {
    "layers": (1, 256), "width": (4, 1 << 15), "heads": (1, 1 << 10), "shared": (1, 1 << 10), "size": (4, 512),
    "hidden": (1, 1 << 17), "vocabulary": (2, 1 << 20), "positions": (2, 1 << 24), "window": (1, 1 << 24),
}  # fmt: skip
HARMLESS = {
    # names, types, places
    "architectures", "model_type", "torch_dtype", "dtype", "transformers_version", "_name_or_path",
    "_model_name_or_path", "tokenizer_class", "is_llama_config", "unsloth_version", "unsloth_fixed",
    # tokens
    "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id", "decoder_start_token_id", "prefix",
    # training
    "initializer_range", "attn_pdrop", "embd_pdrop", "resid_pdrop", "attention_dropout", "hidden_dropout",
    "classifier_dropout", "gradient_checkpointing", "pretraining_tp", "finetuning_task", "problem_type", "id2label",
    "label2id", "_num_labels", "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type",
    "summary_use_proj", "task_specific_params",
    # how it is computed
    "use_cache", "cache_implementation", "reorder_and_upcast_attn", "_attn_implementation", "attn_implementation",
    "_attn_implementation_autoset", "use_bfloat16", "torchscript", "tf_legacy_loss", "chunk_size_feed_forward",
    "output_attentions", "output_hidden_states", "return_dict", "is_decoder", "is_encoder_decoder",
    "tie_encoder_decoder",
    # lengths that nothing is computed from
    "n_ctx", "model_max_length", "max_sequence_length",
    # generation
    "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty",
    "temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "output_scores",
    "return_dict_in_generate", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
    "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
}  # fmt: skip
NEUTRAL: dict[str, tuple[Any, ...]] = {  # what must have one of these values, or be absent
    "add_cross_attention": (False,), "scale_attn_by_inverse_layer_idx": (False,), "scale_attn_weights": (True,),
    "cross_attention_hidden_size": (None,), "pruned_heads": ({}, None), "quantization_config": (None,),
    "rope_interleaved": (False, None), "use_mrope": (False, None), "use_sliding_window": (False, None),
    "partial_rotary_factor": (1, 1.0, None), "logit_scale": (1, 1.0, None),
    "final_logit_softcapping": (None,), "attn_logit_softcapping": (None,), "use_bidirectional_attention": (False, None),
    "attention_bias": (False,), "mlp_bias": (False,),
}  # fmt: skip


class Configuration:
    """The values of a configuration, and which of them were read."""

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        self.path, self.values = path, values
        self.names = set(HARMLESS)  # that were read, or need not be

    def get(self, name: str, default: Any = None) -> Any:
        """This value; the default if there is none, or null."""
        self.names.add(name)
        value = self.values.get(name)
        return default if value is None else value

    def number(self, name: str, limit: str, default: Any = None) -> int:
        """A whole number within one of LIMITS. Raises PriorError."""
        return self.within(name, self.get(name, default), limit)

    def within(self, name: str, value: Any, limit: str) -> int:
        """The value, if it is a whole number within one of LIMITS. Raises PriorError."""
        low, high = LIMITS[limit]
        if type(value) is not int or not low <= value <= high:
            raise PriorError(f"{self.path}: {name} must be a number from {low} to {high}, not {str(value)[:40]}")
        return value

    def real(self, name: str, default: float, low: float, high: float) -> float:
        """A number in [low, high]. Raises PriorError."""
        value = self.get(name, default)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            raise PriorError(f"{self.path}: {name} must be from {low} to {high}, not {str(value)[:40]}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false. Raises PriorError."""
        value = self.get(name, default)
        if type(value) is not bool:
            raise PriorError(f"{self.path}: {name} must be true or false, not {str(value)[:40]}")
        return value

    def token(self, name: str, vocabulary: int) -> int | None:
        """The id of a token, the first of several; None: there is none."""
        value = self.get(name)
        value = value[0] if isinstance(value, list) and value else value
        return value if type(value) is int and 0 <= value < vocabulary else None

    def activation(self, name: str, default: str) -> int:
        """An activation's number. Raises PriorError."""
        value = self.get(name, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            raise refused(self.path, f"activation {str(value)[:40]!r}", f"there are {', '.join(sorted(ACTIVATIONS))}")
        return ACTIVATIONS[value]

    def finish(self) -> None:
        """Raises PriorError if a key was not read and is not known to change nothing."""
        for name, value in self.values.items():
            if name not in self.names and not (name in NEUTRAL and value in NEUTRAL[name]):
                raise refused(self.path, f"{name[:60]} = {str(value)[:60]}")


def refused(path: Path, what: str, why: str = "") -> PriorError:
    """The error that says what of a model has no place in this arithmetic."""
    return PriorError(
        f"{path}: {what} is not supported in exact arithmetic" + (f": {why}" if why else "") + "; use another model"
    )
