"""From token ids to bytes: our own table, read from tokenizer.json, part of a model's digest; no tokenizer decodes.

Three ways in which vocabularies spell bytes are understood:

- byte level (GPT-2, Llama 3, Qwen2): every byte is one of 256 letters;
- SentencePiece (Llama 2, Metaspace): ▁ is a space, and with byte fallback <0xNN> is a byte;
- WordPiece: ##x is x, and any other x begins a word: a space, then x.

What a table says need not be what the tokenizer's authors meant: the sender uses a token only where these very bytes
come. Ids without bytes (special tokens), and all but one of those with the same bytes, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import PriorError
from .tensors import load_json

LONGEST = 4096  # bytes of a token
FILE = "tokenizer.json"
_BYTE = re.compile("<0x[0-9A-Fa-f]{2}>")


class Trie(NamedTuple):
    """The tokens in order of their bytes, and the nodes of the trie that they make, breadth first.

    A node is the range [start, stop) of tokens that begin as it does; `ends`: is the first of them all of it? Its
    children, in order of their bytes, are the nodes child[node] … child[node + 1].
    """

    start: np.ndarray  # int32[nodes]
    stop: np.ndarray
    byte: np.ndarray  # uint8[nodes]: the last one
    ends: np.ndarray  # uint8[nodes]
    child: np.ndarray  # int32[nodes + 1]


@dataclass(frozen=True)
class Table:
    """Tokens in order of their bytes. `order`: their ids, int32[n]; `complete`: is every byte a token?"""

    tokens: list[bytes]
    order: np.ndarray
    complete: bool
    kind: str

    def trie(self) -> Trie:
        from .walk import build_trie  # start-up: loads numba

        text = np.frombuffer(b"".join(self.tokens), np.uint8)
        begin = np.concatenate(([0], np.cumsum([len(token) for token in self.tokens], dtype=np.int64)))
        most = len(text) + 1
        start, stop, child = np.zeros(most, np.int32), np.zeros(most, np.int32), np.zeros(most + 1, np.int32)
        byte, ends = np.zeros(most, np.uint8), np.zeros(most, np.uint8)
        count = build_trie(text, begin, start, stop, byte, ends, child)
        start, stop, byte, ends = (array[:count].copy() for array in (start, stop, byte, ends))
        return Trie(start, stop, byte, ends, child[: count + 1].copy())

    def packed(self) -> bytes:
        """What the digest is taken of."""
        return b"".join(
            b"%d %d " % (identity, len(token)) + token for identity, token in zip(self.order.tolist(), self.tokens)
        )


def byte_letters() -> dict[str, int]:
    """The byte that each of the 256 letters of byte-level vocabularies stands for (GPT-2, bytes_to_unicode)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


def _types(node: Any) -> set[str]:
    """Every `type` in a part of tokenizer.json."""
    if isinstance(node, dict):
        types = {node["type"]} if isinstance(node.get("type"), str) else set()
        return types.union(*(_types(value) for value in node.values()))
    if isinstance(node, list):
        return set().union(*map(_types, node))
    return set()


class Vocabulary(NamedTuple):
    """How a tokenizer spells its tokens: what a table is made of."""

    pieces: Iterable[tuple[int, str]]  # ids and their spellings
    kind: str  # "byte level", "sentencepiece" or "wordpiece"
    special: set[int]  # without bytes
    literal: set[int]  # spelt as the text that they stand for
    fallback: bool = False  # is <0xNN> a byte
    prefix: str = "##"  # of pieces within words


def read(folder: Path, vocabulary: int) -> Table:
    """The table of a model's directory, for a model of so many ids. Raises PriorError if it is missing or unsound."""
    path = folder / FILE
    if not path.is_file():
        raise PriorError(f"{folder} has no {FILE}; save its fast tokenizer there: tokenizer.save_pretrained(DIR)")
    content = load_json(path)
    try:
        return made(_vocabulary(content, path), vocabulary, path)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise PriorError(f"{path} makes no sense: {error}") from error


def _vocabulary(content: dict[str, Any], path: Path) -> Vocabulary:
    model = content["model"]
    entries = model["vocab"]
    if isinstance(entries, list):  # Unigram
        pieces = {identity: piece for identity, (piece, _) in enumerate(entries)}
    else:
        pieces = {identity: piece for piece, identity in entries.items()}
        if len(pieces) != len(entries):
            raise PriorError(f"{path}: an id stands for two tokens")
    parts = _types(content.get("decoder")) | _types(content.get("pre_tokenizer"))
    kind = "sentencepiece"
    if "ByteLevel" in parts:
        kind = "byte level"
    elif model.get("type") == "WordPiece" or "WordPiece" in parts:
        kind = "wordpiece"
    added = content.get("added_tokens") or []
    special = {token["id"] for token in added if token.get("special")}
    literal = {token["id"] for token in added} - special
    pieces |= {token["id"]: token["content"] for token in added if token["id"] in literal}
    fallback = bool(model.get("byte_fallback")) or "ByteFallback" in parts
    unknown = model.get("unk_token"), model.get("unk_id") if isinstance(entries, list) else None
    special |= {identity for identity, piece in pieces.items() if piece == unknown[0] or identity == unknown[1]}
    return Vocabulary(pieces.items(), kind, special, literal, fallback, model.get("continuing_subword_prefix") or "##")


def made(vocabulary: Vocabulary, count: int, path: Path) -> Table:
    """The table for a model of so many ids. Raises PriorError if its ids or spellings make no sense."""
    _, kind, special, literal, fallback, prefix = vocabulary
    pieces = list(vocabulary.pieces)
    if not all(type(identity) is int and isinstance(piece, str) for identity, piece in pieces):
        raise PriorError(f"{path}: its vocabulary makes no sense")
    spelt = _by_letters([piece for _, piece in pieces]) if kind == "byte level" else [b""] * len(pieces)
    identities: dict[bytes, tuple[bool, int]] = {}
    for (identity, piece), token in zip(pieces, spelt, strict=True):
        if not 0 <= identity < count:
            if identity in literal or identity in special:
                continue  # added without the model being told
            raise PriorError(f"{path}: token {identity} is beyond the model's {count:,} ids")
        is_byte = fallback and _BYTE.fullmatch(piece) is not None
        if identity in special and not is_byte:
            continue
        if identity in literal:
            token = piece.encode("utf-8", "surrogatepass")
        elif is_byte:
            token = bytes.fromhex(piece[3:5])
        elif kind == "wordpiece":
            token = (piece.removeprefix(prefix) if piece.startswith(prefix) else " " + piece).encode("utf-8", "replace")
        elif kind == "sentencepiece":
            token = piece.replace("▁", " ").encode("utf-8", "surrogatepass")
        if 0 < len(token) <= LONGEST and (token not in identities or (is_byte, identity) < identities[token]):
            identities[token] = (is_byte, identity)
    if not identities:
        raise PriorError(f"{path}: no token of it stands for bytes")
    tokens = sorted(identities)
    order = np.array([identities[token][1] for token in tokens], np.int32)
    return Table(tokens, order, all(bytes([b]) in identities for b in range(256)), kind)


def _by_letters(pieces: list[str]) -> list[bytes]:
    """The bytes that byte-level pieces spell; none for what has other letters."""
    letters = byte_letters()
    bytes_of = np.zeros(max(map(ord, letters)) + 1, np.uint8)
    bytes_of[[ord(letter) for letter in letters]] = list(letters.values())
    alphabet = set(letters)
    pieces = [piece if alphabet.issuperset(piece) else "" for piece in pieces]
    spelt = bytes_of[np.frombuffer("".join(pieces).encode("utf-32-le"), "<u4")].tobytes()
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    return [spelt[end - len(piece) : end] for piece, end in zip(pieces, ends, strict=True)]
