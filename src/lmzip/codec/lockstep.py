"""The one loop that sender and receiver share: predict, code, learn.

The sender knows the segment and predicts all its positions at once; the receiver predicts one, decodes it and goes on.
Arithmetic is exact, so both get the same frequencies, and both then take the same training step.

A frame is cut into B streams of equal length, coded in lockstep, position by position; the bytes that don't fill a
segment of every stream follow as the last stream's, and nothing is learnt from them. With one stream, the default,
no prediction depends on the frame's length.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from . import coder
from .message import Header
from .symbols import FREQUENCY_BITS, decode_uniform, encode_symbols

if TYPE_CHECKING:
    from .experts import Experts
    from .learner import Learner
    from .model import Model

HISTORY_BITS = 24  # predictors look back on 2^24 bytes at most
DIGESTED = 1 << 23  # arrays of more bytes are left out of the short digest: an error there soon shows in the others
_NO_MODEL = np.zeros((0, 256), np.uint32)
_ROOM = 1 << 16  # bytes kept free in the message buffer before each segment


class Lockstep:
    """The predictor's state and the loop that advances it; both ends hold one and keep it equal.

    Nothing in the state depends on anything else than the header and the bytes coded since the state began.
    `products` names a backend of `product.Products`; no choice of it changes a bit.
    """

    def __init__(self, header: Header, *, products: str | None = None) -> None:
        self.header = header
        self.streams, self.segment = header.streams, header.segment
        self.history = np.zeros(1 << HISTORY_BITS, np.uint8)
        self._position = np.zeros(1, np.int64)
        self.model: Model | None = None
        self.learner: Learner | None = None
        self.experts: Experts | None = None
        if header.experts is not None and header.streams > 1:
            raise ValueError("experts code a single stream")
        if header.experts is not None:
            from .experts import Experts

            self.experts = Experts(header.experts, header.model is not None)
        if header.model is not None:
            from .learner import Learner
            from .model import Model
            from .product import Products

            engine = Products(products)
            self.model = Model(header.model, self.streams, self.segment, header.seed, engine)
            self.learner = Learner(self.model, engine, header.replay, header.seed)

    @property
    def position(self) -> int:
        """Bytes coded or stored since the state began."""
        return int(self._position[0])

    def encode(self, data: np.ndarray) -> Encoding:
        """Begin to code one frame, uint8[n]."""
        return Encoding(self, data)

    def decode(self, transcript: np.ndarray, length: int) -> Decoding:
        """Begin to decode one frame of `length` bytes from its transcript, uint8[m]."""
        return Decoding(self, transcript, length)

    def skip(self, data: np.ndarray) -> None:
        """Take note of bytes that were stored, not coded: they enter the history, nothing is learnt."""
        self.put(self.position, data)
        self._position[0] += len(data)
        for part in (self.model, self.experts):
            if part is not None:
                part.forget()

    def put(self, position: int, data: np.ndarray) -> None:
        """Write bytes into the history, where predictors see those before the position they predict."""
        position += max(0, len(data) - len(self.history))
        data = data[-len(self.history) :]
        self.history[np.arange(position, position + len(data)) & (len(self.history) - 1)] = data

    def take(self, position: int, count: int) -> np.ndarray:
        """Bytes of the history."""
        return self.history[np.arange(position, position + count) & (len(self.history) - 1)]

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array that makes up the state, by name."""
        named: dict[str, np.ndarray] = {"history": self.history, "position": self._position}
        for owner in ("model", "learner", "experts"):
            if (part := getattr(self, owner)) is not None:
                named |= {f"{owner}.{name}": array for name, array in part.arrays().items()}
        return named

    def digest(self) -> bytes:
        """Eight bytes that two ends which computed the same have in common."""
        digest = hashlib.blake2b(digest_size=8)
        for name, array in self.arrays().items():
            if array.dtype == np.int8:  # integers of some backends
                array = array.astype(np.float32)
            if array.nbytes <= DIGESTED:
                digest.update(name.encode() + np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
        return digest.digest()


class _Frame:
    """What coding and decoding a frame have in common: walk its segments, learn from each."""

    def __init__(self, lockstep: Lockstep, length: int) -> None:
        self.lockstep, self.length, self.position, self.nll = lockstep, length, 0, 0
        segments = length // (lockstep.streams * lockstep.segment)
        self._stride = segments * lockstep.segment  # bytes of a stream
        self._start = lockstep.position
        self._begin = self._start + self._stride * np.arange(lockstep.streams, dtype=np.int64)
        if lockstep.streams == 1:
            self._begin[0] = 0
        elif lockstep.model is not None:
            lockstep.model.forget()

    @property
    def done(self) -> bool:
        return self.position == self.length

    def advance(self, segments: int = 1) -> None:
        """Code at most this many segments more, and learn from them."""
        here = self.lockstep
        for _ in range(segments):
            if self.done:
                break
            whole = self.position < self._stride * here.streams
            if whole:
                first, count, begin = 0, here.segment, self._begin
                position = self._begin + self.position // here.streams
                if here.streams == 1:
                    position = np.array([self._start + self.position])
            else:  # the rest is the last stream's
                first, count, begin = here.streams - 1, min(here.segment, self.length - self.position), self._begin
                position = np.full(here.streams, self._start + self.position)
            self.nll += int(self._code(begin, position, first, count))
            self.position += count * (here.streams - first)
            if here.model is not None and here.learner is not None:
                if whole:
                    here.learner.learn(here.history, begin, position)
                else:
                    here.model.advance(count)
        if self.done:
            here._position[0] = self._start + self.length

    def _code(self, begin: np.ndarray, position: np.ndarray, first: int, count: int) -> int:
        """Code `count` positions of the streams `first` …; returns their code length."""
        raise NotImplementedError

    def _uniform(self) -> np.ndarray:
        here = self.lockstep
        return np.full((here.streams, here.segment, 256), (1 << FREQUENCY_BITS) // 256, np.uint32)


class Encoding(_Frame):
    """A frame on its way into a transcript; `nll` is its code length so far, in 2^-20 bit."""

    def __init__(self, lockstep: Lockstep, data: np.ndarray) -> None:
        super().__init__(lockstep, len(data))
        self._data = data
        self._state = coder.encoder()
        self._message = np.zeros(_ROOM, np.uint8)

    def _code(self, begin: np.ndarray, position: np.ndarray, first: int, count: int) -> int:
        here, history = self.lockstep, self.lockstep.history
        for b in range(first, here.streams):
            at = int(position[b])
            here.put(at, self._data[at - self._start : at - self._start + count])
        frequencies = None
        if here.model is not None:
            frequencies = here.model.predict_segment(history, begin, position, count)
        if here.experts is not None:
            return self._mix(int(position[0]), count, _NO_MODEL if frequencies is None else frequencies[0])
        if frequencies is None:
            frequencies = self._uniform()
        self._make_room(count)
        return encode_symbols(frequencies, history, position, first, count, self._state, self._message)

    def _mix(self, at: int, count: int, frequencies: np.ndarray) -> int:
        """Code `count` bytes of the history by the experts, and by frequencies [count, 256] if there is a model."""
        here = self.lockstep
        assert here.experts is not None
        self._make_room(count)
        return here.experts.code(here.history, at, count, frequencies, self._state, self._message, False)

    def _make_room(self, count: int) -> None:
        room = _ROOM + 32 * count * self.lockstep.streams
        if len(self._message) < int(self._state[coder.POSITION]) + int(self._state[coder.RUN]) + room:
            self._message = np.concatenate((self._message, np.zeros(len(self._message) + room, np.uint8)))

    def finish(self) -> bytes:
        """The transcript; call it once, when `done`."""
        return self._message[: coder.finish(self._state, self._message)].tobytes()


class Decoding(_Frame):
    """A frame on its way out of its transcript; `data[: position]` is known so far when there is one stream."""

    def __init__(self, lockstep: Lockstep, transcript: np.ndarray, length: int) -> None:
        super().__init__(lockstep, length)
        self._message = np.array(transcript)  # writable, as an encoder's buffer is: one kernel serves both
        self._state = coder.decoder(transcript)
        self.data = np.zeros(length, np.uint8)

    def _code(self, begin: np.ndarray, position: np.ndarray, first: int, count: int) -> int:
        here, history = self.lockstep, self.lockstep.history
        if here.model is not None and here.experts is not None:
            from .mixed import decode_segment

            length = decode_segment(
                here.model, here.experts, history, begin, position, count, self._state, self._message
            )
        elif here.model is not None:
            length = here.model.decode_segment(history, begin, position, first, count, self._state, self._message)
        elif here.experts is not None:
            length = here.experts.code(history, int(position[0]), count, _NO_MODEL, self._state, self._message, True)
        else:
            frequencies = self._uniform()
            length = decode_uniform(frequencies, history, position, first, count, self._state, self._message)
        for b in range(first, here.streams):
            at = int(position[b])
            self.data[at - self._start : at - self._start + count] = here.take(at, count)
        return length

    def finish(self) -> np.ndarray:
        """The frame's bytes; call it when `done`."""
        return self.data
