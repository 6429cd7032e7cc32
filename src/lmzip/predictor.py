"""What every predictor offers: our own model and experts, pretrained models, and the toy of the tests.

A predictor is the state that sender and receiver keep equal, and the loop that advances it frame by frame. The
reference is `codec.lockstep.Lockstep`; nothing outside the codec relies on more than these protocols say.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np

from .codec.message import Header


class Coding(Protocol):
    """A frame on its way into or out of its transcript."""

    position: int  # bytes of the frame that are coded

    @property
    def nll(self) -> int:
        """Code length so far, in 2^-20 bit."""

    @property
    def done(self) -> bool:
        """Is the whole frame coded?"""

    def advance(self, segments: int = 1) -> None:
        """Code at most so many segments more, and learn from them."""


class Encoding(Coding, Protocol):
    """A frame on its way into its transcript."""

    def finish(self) -> bytes:
        """The transcript; called once, when `done`."""


class Decoding(Coding, Protocol):
    """A frame on its way out of its transcript."""

    data: np.ndarray  # uint8 [length], known as far as `position`


class Predictor(Protocol):
    """The state that both ends keep equal, and the loop that advances it."""

    header: Header

    @property
    def position(self) -> int:
        """Bytes coded or skipped since the state began."""

    def encode(self, data: np.ndarray) -> Any:
        """Begin to code a frame, uint8 [n]; returns an Encoding."""

    def decode(self, transcript: np.ndarray, length: int) -> Any:
        """Begin to decode a frame of `length` bytes from its transcript, uint8 [m]; returns a Decoding."""

    def skip(self, data: np.ndarray) -> None:
        """Take note of bytes, uint8 [n], that were stored, not coded."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array that makes up the state, by name; writing into them changes the state."""

    def digest(self) -> bytes:
        """Eight bytes that two ends which computed the same have in common."""


Kind = TypeVar("Kind", bound=Coding)


def completed(coding: Kind) -> Kind:
    """An encoding or a decoding, after all of its segments."""
    while not coding.done:
        coding.advance(64)
    return coding
