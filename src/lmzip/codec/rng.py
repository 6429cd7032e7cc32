"""Counter-based integer random numbers: word i of stream s is a hash of (s, i), so any word can be had alone.

The hash is SplitMix64's finaliser (Steele, Lea, Flood 2014) over counters spaced by the golden ratio.
"""

from __future__ import annotations

import numpy as np

_GOLDEN, _MIX1, _MIX2 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_27, _30, _31, _32 = (np.uint64(n) for n in (27, 30, 31, 32))
_NORMAL_SCALE = np.float32(1 / 37837.2266)  # four uniform 16-bit words have variance (2^32 - 1) / 3


def words(stream: int, start: int, count: int) -> np.ndarray:
    """Words start … start + count - 1 of a stream, uint64[count]."""
    with np.errstate(over="ignore"):
        z = (np.arange(start, start + count).astype(np.uint64) + (np.uint64(stream) << _32)) * _GOLDEN
        z = (z ^ (z >> _30)) * _MIX1
        z = (z ^ (z >> _27)) * _MIX2
        return z ^ (z >> _31)


def below(stream: int, index: int, limit: int) -> int:
    """Word `index` of a stream, reduced to [0, limit)."""
    return int(words(stream, index, 1)[0]) % limit


def normal(stream: int, shape: tuple[int, ...], deviation: float) -> np.ndarray:
    """Nearly normal numbers of mean 0, float32: sums of four uniform 16-bit integers (Irwin-Hall), then scaled."""
    quarters = words(stream, 0, int(np.prod(shape))).view(np.uint16).reshape(-1, 4)
    centred = quarters.astype(np.int32).sum(axis=1, dtype=np.int32) - np.int32(131070)
    return (centred.astype(np.float32) * (np.float32(deviation) * _NORMAL_SCALE)).reshape(shape)
