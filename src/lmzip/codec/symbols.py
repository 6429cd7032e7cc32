"""Bytes coded by their frequencies: what turns the language model's predictions alone into a transcript."""

from __future__ import annotations

import numpy as np

from .coder import code_length, decode, decode_target, encode
from .kernel import kernel

FREQUENCY_BITS = 24  # frequencies of the 256 bytes are positive and sum to 2^24
_BITS, _ZERO64 = np.uint64(FREQUENCY_BITS), np.uint64(0)


@kernel
def encode_symbols(frequencies, history, position, first, count, state, message):
    """Write `count` positions of streams `first` …, by frequencies [streams, segment, 256]; returns their length."""
    mask, length = history.shape[0] - 1, np.int64(0)
    for t in range(count):
        for b in range(first, position.shape[0]):
            byte, row, start = np.int64(history[(position[b] + t) & mask]), frequencies[b, t], _ZERO64
            for k in range(byte):
                start += np.uint64(row[k])
            size = np.uint64(row[byte])
            encode(state, message, start, size, _BITS)
            length += code_length(size, _BITS)
    return length


@kernel
def decode_row(frequencies, history, position, first, t, state, message):
    """Read position t of streams `first` … into the history; returns the code length."""
    mask, length = history.shape[0] - 1, np.int64(0)
    for b in range(first, position.shape[0]):
        row, target, start, byte = frequencies[b, t], decode_target(state, _BITS), _ZERO64, 0
        while start + np.uint64(row[byte]) <= target:
            start += np.uint64(row[byte])
            byte += 1
        size = np.uint64(row[byte])
        decode(state, message, start, size, _BITS)
        history[(position[b] + t) & mask] = byte
        length += code_length(size, _BITS)
    return length


@kernel
def decode_uniform(frequencies, history, position, first, count, state, message):
    """Read `count` positions of streams `first` …, whose frequencies are known; returns their code length."""
    length = np.int64(0)
    for t in range(count):
        length += decode_row(frequencies, history, position, first, t, state, message)
    return length
