"""Weights in blocks, as ggml stores them, become float32: every sum and product rounded once, in an order that is ours.

A block of 32 weights is w = d·q, or d·q + m; one of 256 has parts with scales of their own, w = (d·s)·q, less (e·t).
The scales d, m, e are float16, q, s and t small integers, so that no product here is subnormal, whatever the processor
does with such numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

PIECE = 1 << 20  # weights that become float32 at a time


class Kind(NamedTuple):
    """A type of elements: a block's weights and bytes, and what makes float32[n, weights] of uint8[n, bytes]."""

    name: str
    weights: int
    size: int
    decode: Callable[[np.ndarray], np.ndarray]


def _scale(blocks: np.ndarray, at: int) -> np.ndarray:
    """The float16 number at a byte of each block, float32[n, 1]."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _fields(packed: np.ndarray, group: int, bits: int) -> np.ndarray:
    """Integers of so many bits: of each group of bytes first the lowest bits, then the next, uint8[n, 8/bits·bytes]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    fields = packed.reshape(len(packed), -1, 1, group) >> shifts & np.uint8((1 << bits) - 1)
    return fields.reshape(len(packed), -1)


def _fifth_bits(blocks: np.ndarray, at: int) -> np.ndarray:
    """Bit i of the four bytes at `at`, times 16, uint8[n, 32]."""
    return np.unpackbits(blocks[:, at : at + 4], axis=1, bitorder="little") << np.uint8(4)


def _sixths(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two times eight integers of 6 bits in 12 bytes, float32[n, 8, 1]: scales and minima of a block's parts."""
    low, middle, high = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate((low & 63, high & 15 | low >> 2 & 48), 1)
    minima = np.concatenate((middle & 63, high >> 4 | middle >> 2 & 48), 1)
    return scales[:, :, None].astype(np.float32), minima[:, :, None].astype(np.float32)


def _float(kind: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda blocks: blocks.view(kind).astype(np.float32)


def _bfloat16(blocks: np.ndarray) -> np.ndarray:
    return (blocks.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)


def _symmetric(q: np.ndarray, zero: int) -> np.ndarray:
    """q less zero, exactly, float32."""
    return q.astype(np.float32) - np.float32(zero)


def _q8_0(blocks: np.ndarray) -> np.ndarray:
    return _scale(blocks, 0) * np.ascontiguousarray(blocks[:, 2:]).view(np.int8).astype(np.float32)


def _q4_0(blocks: np.ndarray) -> np.ndarray:
    return _scale(blocks, 0) * _symmetric(_fields(blocks[:, 2:], 16, 4), 8)


def _q4_1(blocks: np.ndarray) -> np.ndarray:
    return _scale(blocks, 0) * _fields(blocks[:, 4:], 16, 4).astype(np.float32) + _scale(blocks, 2)


def _q5_0(blocks: np.ndarray) -> np.ndarray:
    return _scale(blocks, 0) * _symmetric(_fields(blocks[:, 6:], 16, 4) | _fifth_bits(blocks, 2), 16)


def _q5_1(blocks: np.ndarray) -> np.ndarray:
    q = _fields(blocks[:, 8:], 16, 4) | _fifth_bits(blocks, 4)
    return _scale(blocks, 0) * q.astype(np.float32) + _scale(blocks, 2)


def _scaled_parts(blocks: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Of blocks that begin with d, e and 12 bytes of scales: (d·s)·q - e·t, by parts of 32."""
    scales, minima = _sixths(blocks[:, 4:16])
    d, e = (_scale(blocks, at)[:, :, None] for at in (0, 2))
    return ((d * scales) * q.reshape(len(q), 8, 32).astype(np.float32) - e * minima).reshape(len(q), 256)


def _q4_k(blocks: np.ndarray) -> np.ndarray:
    return _scaled_parts(blocks, _fields(blocks[:, 16:], 32, 4))


def _q5_k(blocks: np.ndarray) -> np.ndarray:
    return _scaled_parts(blocks, _fields(blocks[:, 48:], 32, 4) | _fields(blocks[:, 16:48], 32, 1) << np.uint8(4))


def _q6_k(blocks: np.ndarray) -> np.ndarray:
    q = _fields(blocks[:, :128], 64, 4) | _fields(blocks[:, 128:192], 32, 2) << np.uint8(4)
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)[:, :, None].astype(np.float32)
    parts = _symmetric(q, 32).reshape(len(q), 16, 16)
    return ((_scale(blocks, 208)[:, :, None] * scales) * parts).reshape(len(q), 256)


KINDS = {  # by ggml's number
    0: Kind("F32", 1, 4, _float("<f4")), 1: Kind("F16", 1, 2, _float("<f2")), 30: Kind("BF16", 1, 2, _bfloat16),
    2: Kind("Q4_0", 32, 18, _q4_0), 3: Kind("Q4_1", 32, 20, _q4_1), 6: Kind("Q5_0", 32, 22, _q5_0),
    7: Kind("Q5_1", 32, 24, _q5_1), 8: Kind("Q8_0", 32, 34, _q8_0), 12: Kind("Q4_K", 256, 144, _q4_k),
    13: Kind("Q5_K", 256, 176, _q5_k), 14: Kind("Q6_K", 256, 210, _q6_k),
}  # fmt: skip
OTHERS = {  # known by name, so that refusals can say it
    9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}  # fmt: skip


def decode(kind: Kind, rows: np.ndarray) -> np.ndarray:
    """float32[n, inputs] of the rows' bytes, uint8[n, inputs / weights · size]; not finite if a scale is not."""
    count, inputs = len(rows), rows.shape[1] // kind.size * kind.weights
    result = np.empty((count, inputs), np.float32)
    step = max(1, PIECE // inputs)
    with np.errstate(invalid="ignore"):
        for start in range(0, count, step):
            blocks = np.ascontiguousarray(rows[start : start + step]).reshape(-1, kind.size)
            result[start : start + step] = kind.decode(blocks).reshape(-1, inputs)
    return result
