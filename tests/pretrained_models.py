"""Models of transformers for tests: a few thousand random weights, and tokenizers trained on the sample. No network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parent.parent / "samples" / "tom-sawyer.txt"
VOCABULARY, CONTEXT = 400, 48
CLASSES = {
    "llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma3_text": "Gemma3Text",
    "olmo2": "Olmo2", "phi3": "Phi3", "gpt2": "GPT2", "gpt_neox": "GPTNeoX",
}  # fmt: skip
FAMILIES = tuple(CLASSES)
TOKENIZERS = ("byte level", "sentencepiece", "unigram", "wordpiece")


def model(family: str, seed: int = 0, spread: float = 3.0, **options: Any) -> Any:
    """A random model whose logits deviate by about `spread`; options go to its configuration."""
    import torch
    import transformers as tf

    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": CONTEXT, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    if family == "gpt2":
        ids = {"bos_token_id": 0, "eos_token_id": 0}
        sizes = {"vocab_size": VOCABULARY, "n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 4, **ids}
    elif family != "gpt_neox":
        sizes |= {"num_key_value_heads": 2, "pad_token_id": None}
    if family in ("qwen3", "gemma3_text"):
        sizes |= {"head_dim": 16}
    if family == "gemma3_text":
        sizes |= {"query_pre_attn_scalar": 24, "sliding_window": 7, "num_hidden_layers": 7}
    torch.manual_seed(seed)
    kind = CLASSES[family]
    config = getattr(tf, f"{kind}Config")(**sizes | options)
    head = {"gpt2": "GPT2LMHeadModel", "gemma3_text": "Gemma3ForCausalLM"}.get(family, f"{kind}ForCausalLM")
    made = getattr(tf, head)(config)
    centre = 0.0 if family == "gemma3_text" else 1.0  # of gains
    with torch.no_grad():
        for name, weights in made.named_parameters():
            if weights.dim() > 1:
                weights.normal_(0, 0.2)
            else:
                weights.normal_(0.0 if "bias" in name else centre, 0.1)
        made.eval()
        deviation = made(torch.arange(CONTEXT)[None]).logits.std().item()
        made.get_output_embeddings().weight.mul_(spread / deviation)
    return made


def tokenizer(kind: str, normalizer: Any = None, pre_tokenizer: Any = None) -> Any:
    """A tokenizer of at most VOCABULARY tokens, id 0 special."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    text = SAMPLE.read_text("utf-8")[:60000]
    common = {"vocab_size": VOCABULARY, "show_progress": False}
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if kind == "byte level":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, **common)
    elif kind == "sentencepiece":  # as Llama 2: a space put before, ▁, bytes as <0xNN>
        fallback = [f"<0x{byte:02X}>" for byte in range(256)]
        made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        made.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        trainer = trainers.BpeTrainer(special_tokens=["<unk>", *fallback], **common)
    elif kind == "unigram":  # no byte fallback: what it lacks is an escape
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(unk_token="<unk>", special_tokens=["<unk>"], **common)
    else:
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer()  # lower case, accents dropped: lossy
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(special_tokens=["[UNK]"], **common)
    if normalizer is not None:
        made.normalizer = normalizer
    if pre_tokenizer is not None:
        made.pre_tokenizer = pre_tokenizer
    made.train_from_iterator([text], trainer)
    return made


def save(folder: Path, family: str = "gpt2", kind: str = "byte level", **options: Any) -> Path:
    """A model's directory; options go to its configuration."""
    model(family, **options).save_pretrained(folder)
    made = tokenizer(kind)
    assert made.get_vocab_size() <= VOCABULARY
    made.save(str(folder / "tokenizer.json"))
    return folder


def change(path: Path, **values: Any) -> None:
    """Change values of a JSON object in a file; None removes one."""
    content = json.loads(path.read_text("utf-8"))
    for name, value in values.items():
        content.pop(name, None)
        if value is not None:
            content[name] = value
    path.write_text(json.dumps(content), "utf-8")
