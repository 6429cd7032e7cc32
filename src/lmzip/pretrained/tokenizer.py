"""The sender's tokenizer of a GGUF file: what its metadata says, as a tokenizer.json for the `tokenizers` library.

Where a pre-tokenizer is not known, GPT-2's is taken: a choice of tokens costs bits, or saves them, never a byte.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from .gguf import Gguf
from .translation import vocabulary

LONGEST = 64  # characters of a token that others merge into
_DIGITS = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum"}
_SUFFIXES = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = (
    _SUFFIXES
    + r"|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CASES = (  # words by upper and lower case, as GPT-4o and Mistral's Tekken have them
    r"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{suffixes}"
    r"|[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}\p{{Lm}}\p{{Lo}}\p{{M}}]+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{suffixes}"
    r"|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_EXPRESSIONS = {
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "dbrx", "smaug-bpe", "chatglm-bpe", "falcon3"),
                    _WORDS.format(digits="{1,3}")),
    **dict.fromkeys(("qwen2", "stablelm2", "hunyuan", "megrez", "deepseek-r1-qwen"), _WORDS.format(digits="")),
    **dict.fromkeys(("gpt-4o", "llama4"), _CASES.format(suffixes=_SUFFIXES + "?", digits="{1,3}")),
    "tekken": _CASES.format(suffixes="", digits=""),
}  # fmt: skip
_WHOLE = {"llama-bpe", "llama3", "llama-v3", "tekken"}  # a word that is a token is taken without merging


def definition(file: Gguf) -> str:
    """The tokenizer as JSON. Raises PriorError if the file has none."""
    tokens = vocabulary(file)
    values, pieces = file.values, file.values["tokenizer.ggml.tokens"]
    ids = {piece: identity for identity, piece in tokens.pieces}
    model: dict[str, Any] = {"type": "BPE", "vocab": ids}
    content: dict[str, Any] = {"version": "1.0", "model": model}
    if tokens.kind == "byte level":
        model["merges"] = [pair for pair in values.get("tokenizer.ggml.merges", ()) if isinstance(pair, str)]
        model["ignore_merges"] = values.get("tokenizer.ggml.pre") in _WHOLE
        content["pre_tokenizer"] = _pre_tokenizer(values.get("tokenizer.ggml.pre"))
        content["decoder"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    else:
        model |= {"merges": _merges(values.get("tokenizer.ggml.scores"), ids), "byte_fallback": True, "fuse_unk": True}
        model["unk_token"] = next((piece for piece in ("<unk>", "<UNK>") if piece in ids), None)
        spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
        before = [{"type": "Prepend", "prepend": "▁"}] if values.get("tokenizer.ggml.add_space_prefix", True) else []
        content["normalizer"] = {"type": "Sequence", "normalizers": [*before, spaces]}
    content["added_tokens"] = [_added(identity, pieces[identity]) for identity in sorted(tokens.literal)]
    return json.dumps(content)


def _added(identity: int, piece: str) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": identity, "content": piece} | plain


def _pre_tokenizer(name: Any) -> dict[str, Any]:
    """What cuts text into words, whose bytes become letters."""
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    if name in _EXPRESSIONS:
        cut = {"type": "Split", "pattern": {"Regex": _EXPRESSIONS[name]}, "behavior": "Isolated", "invert": False}
        return {"type": "Sequence", "pretokenizers": [cut, letters | {"use_regex": False}]}
    digits = [{"type": "Digits", "individual_digits": True}] if name in _DIGITS else []
    return {"type": "Sequence", "pretokenizers": [*digits, letters | {"use_regex": True}]}


def _merges(scores: Any, ids: dict[str, int]) -> list[list[str]]:
    """SentencePiece's merges: every pair of tokens that makes a token, those of the best score first."""
    if not isinstance(scores, np.ndarray) or len(scores) <= max(ids.values(), default=0):
        return []
    found: list[tuple[int, int, int]] = []
    for piece, identity in ids.items():
        for cut in range(1, len(piece) if len(piece) <= LONGEST else 0):
            first = ids.get(piece[:cut])
            if first is not None and (second := ids.get(piece[cut:])) is not None:
                found.append((identity, first, second))
    merged, left, right = np.array(found, np.int64).reshape(-1, 3).T
    order = np.lexsort((right, left, -scores[merged].astype(np.float64)))
    names = {identity: piece for piece, identity in ids.items()}
    return [[names[first], names[second]] for first, second in zip(left[order].tolist(), right[order].tolist())]
