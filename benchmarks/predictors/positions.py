"""What the lab's language models share: contexts with or without the n-gram tables, and decoding byte by byte."""

from __future__ import annotations

from typing import Any

import numpy as np

from lmzip.codec.model import hash_contexts
from lmzip.codec.symbols import decode_row


class ByPosition:
    """A model that predicts one position at a time for the receiver, called from Python.

    Without tables every n-gram of two bytes and more has row 0, which stays zero: what is left is the byte's embedding.
    """

    tables: bool
    table_bits: int
    net: Any

    def predict_position(self, history: np.ndarray, begin: np.ndarray, position: np.ndarray, t: int) -> np.ndarray:
        """Frequencies [streams, segment, 256], those of position t set, from the bytes before it."""
        raise NotImplementedError

    def find_contexts(
        self, history: np.ndarray, begin: np.ndarray, position: np.ndarray, start: int, stop: int
    ) -> None:
        """Table rows of positions [start, stop)."""
        hash_contexts(history, begin, position, start, stop, self.table_bits, self.net.contexts)
        if not self.tables:
            self.net.contexts[:, start:stop, 1:] = 0

    def forget_rows(self, tables: np.ndarray, squares: np.ndarray) -> None:
        """After a training step: without tables there is nothing to learn in them."""
        if not self.tables:
            tables[1:, 0] = 0
            squares[1:, 0] = 0

    def decode_segment(
        self,
        history: np.ndarray,
        begin: np.ndarray,
        position: np.ndarray,
        first: int,
        count: int,
        state: np.ndarray,
        message: np.ndarray,
    ) -> int:
        """Read `count` positions of streams `first` … into the history; returns their code length."""
        length = 0
        for t in range(count):
            frequencies = self.predict_position(history, begin, position, t)
            length += int(decode_row(frequencies, history, position, first, t, state, message))
        return length
