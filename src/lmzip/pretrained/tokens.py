"""The sender's choice of tokens: the model's own tokenizer where its tokens' bytes are the text's, else our table.

A choice costs bits or saves them, never a byte: only tokens whose bytes by our table stand in the data are taken. What
the tokenizer drops, adds or rewrites, and whatever is not UTF-8, is cut greedily into the longest tokens there are; a
byte that no token begins with is an escape. The receiver needs none of this.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from . import gguf, walk
from .table import FILE, Table, Trie
from .tokenizer import definition

ESCAPE = -1
_VALID = re.compile("[^\udc80-\udcff]+")  # what surrogateescape leaves of valid UTF-8


class Tokens:
    """Cuts data into tokens of a table. `source`: the folder of tokenizer.json, or a GGUF file; None: all greedily."""

    def __init__(self, table: Table, trie: Trie, vocabulary: int, source: Path | None) -> None:
        self.table, self.trie = table, trie
        self.lengths = np.array([len(token) for token in table.tokens], np.int64)
        self.places = np.full(vocabulary, ESCAPE, np.int32)  # of ids
        self.places[table.order] = np.arange(len(table.order), dtype=np.int32)
        self.tokenizer = None if source is None else _tokenizer(source)

    def cut(self, data: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Places of tokens in the table's order (ESCAPE: one byte), int32[n], and where each ends, int64[n]."""
        places: list[int] = []
        text = data.decode("utf-8", "surrogateescape")
        done, at = 0, 0  # bytes cut; characters of text before, all of the stretches and gaps so far
        if self.tokenizer is not None:
            for match in _VALID.finditer(text):
                start = done + len(text[at : match.start()].encode("utf-8", "surrogateescape"))
                self._greedy(data, done, start, places)
                stretch = match[0]
                stop = start + len(stretch.encode())
                self._stretch(stretch, data[start:stop], places)
                done, at = stop, match.end()
        self._greedy(data, done, len(data), places)
        cuts = np.array(places, np.int32)
        return cuts, np.cumsum(np.where(cuts < 0, 1, self.lengths[cuts]), dtype=np.int64)

    def _stretch(self, text: str, data: bytes, places: list[int]) -> None:
        """Tokens of valid text."""
        coded = self.tokenizer.encode(text, add_special_tokens=False)  # type: ignore[union-attr]
        ids = np.array(coded.ids, np.int64)
        ids = np.where((ids >= 0) & (ids < len(self.places)), ids, 0)
        chosen = self.places[ids].tolist()
        tokens = self.table.tokens
        if ESCAPE not in chosen and b"".join(tokens[place] for place in chosen) == data:
            places += chosen
            return
        widths = np.array([len(c.encode()) for c in text], np.int64)
        offsets = np.concatenate(([0], np.cumsum(widths))).tolist()
        at = 0
        for place, (first, _) in zip(chosen, coded.offsets):
            if place == ESCAPE:
                continue
            if not data.startswith(tokens[place], at) and offsets[min(first, len(text))] > at:
                at = self._greedy(data, at, offsets[min(first, len(text))], places)
            if data.startswith(tokens[place], at):
                places.append(place)
                at += len(tokens[place])
        self._greedy(data, at, len(data), places)

    def _greedy(self, data: bytes, start: int, stop: int, places: list[int]) -> int:
        """The longest tokens for data[start:stop]; returns stop."""
        array = np.frombuffer(data, np.uint8)[:stop]
        while start < stop:
            place, length = walk.longest_match(self.trie, array, start)
            places.append(place)
            start += length
        return stop


def _tokenizer(source: Path) -> Any:
    """The fast tokenizer of a directory or GGUF file, or None if this machine's library can't read it."""
    try:
        from tokenizers import Tokenizer  # extra: comes with transformers, and is not needed
    except ImportError:
        return None
    try:
        if source.is_file():
            tokenizer = Tokenizer.from_str(definition(gguf.read(source)))
        else:
            tokenizer = Tokenizer.from_file(str(source / FILE))
    except Exception:  # whatever it objects to: our table is enough
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
