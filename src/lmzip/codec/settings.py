"""Settings that travel in the header, with the bounds that a receiver accepts; imports nothing, so `info` is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class ModelSettings:
    """Sizes of the language model. Powers of two, for sums over them go in halves."""

    layers: int = 1
    width: int = 128
    heads: int = 2
    hidden: int = 128
    window: int = 64
    table_bits: int = 17

    LIMITS: ClassVar[dict[str, tuple[int, int]]] = {
        "layers": (1, 128),
        "width": (16, 512),
        "heads": (1, 128),
        "hidden": (16, 2048),
        "window": (4, 1024),
        "table_bits": (8, 24),
    }

    def __post_init__(self) -> None:
        size = self.width // self.heads
        if self.width & (self.width - 1) or self.heads * size != self.width or size & (size - 1) or size < 4:
            raise ValueError("width and width / heads must be powers of two, the latter at least 4")
        if self.window & (self.window - 1) or self.hidden % 8:
            raise ValueError("window must be a power of two and hidden a multiple of 8")

    def memory(self) -> int:
        """Bytes that the state takes when every row of the n-gram tables is in use, about."""
        trunk = self.layers * self.width * (4 * self.width + 2 * self.hidden) + 256 * self.width
        return (5 << self.table_bits) * 4 * (self.width + 1) + trunk * 25


@dataclass(frozen=True)
class ExpertSettings:
    """What a receiver must know of the experts: the most slots, in 1,024, and a bit for each context in use."""

    slots: int = 7 << 10
    contexts: int = sum(1 << k for k in (*range(29), 30))

    LIMITS: ClassVar[dict[str, tuple[int, int]]] = {"slots": (1, 1 << 16), "contexts": (1, (1 << 31) - 1)}

    def memory(self) -> int:
        """Bytes that the state takes, about: a slot has 64."""
        return (self.slots << 16) + (24 << 20)
