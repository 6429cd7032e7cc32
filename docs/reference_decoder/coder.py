"""The range decoder and code lengths: docs/predictor.md, sections 1 and 2. Integers only."""

from __future__ import annotations

from collections.abc import Sequence

MASK64 = (1 << 64) - 1


class RangeDecoder:
    """Takes symbols [start, start + size) of [0, 2^bits) off a transcript."""

    def __init__(self, transcript: bytes) -> None:
        self.transcript, self.at, self.width = transcript, 8, MASK64
        self.code = int.from_bytes(transcript[:8].ljust(8, b"\0"), "big")

    def target(self, bits: int) -> int:
        return min(self.code // (self.width >> bits), (1 << bits) - 1)

    def take(self, start: int, size: int, bits: int) -> None:
        unit = self.width >> bits
        self.code, self.width = self.code - start * unit & MASK64, size * unit
        while self.width < 1 << 56:
            byte = self.transcript[self.at] if self.at < len(self.transcript) else 0
            self.code, self.width, self.at = (self.code << 8 | byte) & MASK64, self.width << 8, self.at + 1

    def bit(self, one: int, bits: int) -> int:
        y = int(self.code < (self.width >> bits) * one)
        self.take(0 if y else one, one if y else (1 << bits) - one, bits)
        return y

    def symbol(self, frequencies: Sequence[int]) -> int:
        """One of 256 bytes, whose frequencies sum to 2^24."""
        target, start, byte = self.target(24), 0, 0
        while start + frequencies[byte] <= target:
            start += frequencies[byte]
            byte += 1
        self.take(start, frequencies[byte], 24)
        return byte


def _log2_table() -> list[int]:
    table = []
    for i in range(1024):
        x, digits = (1024 + i) << 50, 0
        for _ in range(32):
            x = x * x >> 60
            digits = digits << 1 | x >> 61
            x >>= x >> 61
        table.append(digits)
    return [*table, 1 << 32]


LOG2 = _log2_table()


def log2(n: int) -> int:
    """log2 of 1 ≤ n ≤ 2^32 in units of 2^-32."""
    exponent = n.bit_length() - 1
    mantissa = n << (32 - exponent)
    i, rest = mantissa >> 22 & 1023, mantissa & ((1 << 22) - 1)
    return (exponent << 32) + LOG2[i] + ((LOG2[i + 1] - LOG2[i]) * rest >> 22)


def code_length(size: int, bits: int) -> int:
    """-log2(size / 2^bits) in units of 2^-20."""
    return ((bits << 32) - log2(size) + (1 << 11)) >> 12
