"""The one loop that sender and receiver share: predict, code, learn.

The sender knows the segment and predicts all its positions at once; the receiver predicts one, decodes it and goes on.
Arithmetic is exact, so both get the same frequencies, and both then take the same training step.

A frame is cut into B streams of equal length, coded in lockstep, position by position; the bytes that don't fill a
segment of every stream follow as the last stream's, and nothing is learnt from them. With one stream, the default,
no prediction depends on the frame's length.
"""

from __future__ import annotations

import hashlib

import numpy as np

from . import coder
from .coder import code_length, decode, decode_target, encode
from .exact import FREQUENCY_BITS
from .experts import EXPERTS, MIX, MODEL, Experts, code_byte, decode_segment, encode_segment
from .kernel import kernel
from .learner import Learner
from .message import Header
from .model import Model, hash_contexts, step

HISTORY_BITS = 24  # predictors look back on 2^24 bytes at most
DIGESTED = 1 << 23  # arrays of more bytes are left out of the short digest: an error there soon shows in the others
_BITS, _ZERO64 = np.uint64(FREQUENCY_BITS), np.uint64(0)
_ROOM = 1 << 16  # bytes kept free in the message buffer before each segment


@kernel
def encode_symbols(frequencies, history, position, first, count, state, message):
    """Write `count` positions of streams `first` …, given frequencies [streams, segment, 256]; returns the code length."""
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
def _decode_row(frequencies, history, position, first, t, state, message):
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
        length += _decode_row(frequencies, history, position, first, t, state, message)
    return length


@kernel
def decode_symbols(net, caches, past, table_bits, history, begin, position, first, count, state, message):
    """Read `count` positions, predicting each from those before it; returns their code length."""
    length = np.int64(0)
    for t in range(count):
        hash_contexts(history, begin, position, t, t + 1, table_bits, net.contexts)
        step(net, caches, past, t, t + 1)
        length += _decode_row(net.frequencies, history, position, first, t, state, message)
    return length


@kernel
def decode_mixed(net, caches, past, table_bits, history, begin, position, count, experts, state, message):
    """Read `count` positions of one stream, the language model's prediction of each mixed with the experts'."""
    for t in range(count):
        hash_contexts(history, begin, position, t, t + 1, table_bits, net.contexts)
        step(net, caches, past, t, t + 1)
        code_byte(experts, history, position[0] + t, net.frequencies[0, t], state, message, True)


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
        self.model = self.learner = self.experts = None
        if header.experts is not None and header.streams > 1:
            raise ValueError("experts code a single stream")
        if header.experts is not None:
            self.experts = Experts(header.experts, header.model is not None)
        if header.model is not None:
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
        if self.model is not None:
            self.model.forget()

    def put(self, position: int, data: np.ndarray) -> None:
        """Write bytes into the history, where predictors see those before the position they predict."""
        data = data[-len(self.history) :]
        self.history[np.arange(position, position + len(data)) & (len(self.history) - 1)] = data

    def take(self, position: int, count: int) -> np.ndarray:
        """Bytes of the history."""
        return self.history[np.arange(position, position + count) & (len(self.history) - 1)]

    def arrays(self) -> dict[str, np.ndarray]:
        """Every array that makes up the state, by name."""
        named = {"history": self.history, "position": self._position}
        for part in ("model", "learner", "experts"):
            if (owner := getattr(self, part)) is not None:
                named.update({f"{part}.{name}": array for name, array in owner.arrays().items()})
        return named

    def load(self, saved: dict[str, np.ndarray]) -> None:
        """Go back to a state that `arrays` gave."""
        if self.experts is not None:
            self.experts.grow(int(saved["position"][0]))
        for name, array in self.arrays().items():
            array[...] = saved[name]

    def shares(self) -> dict[str, int]:
        """Code lengths since the state began, in 2^-20 bit: of the mix, and of its parts alone."""
        if self.experts is None:
            return {}
        ledger = self.experts.state.ledger
        parts = {"mix": MIX} if self.model is None else {"mix": MIX, "experts": EXPERTS, "model": MODEL}
        return {name: int(ledger[row]) for name, row in parts.items()}

    def digest(self) -> bytes:
        """Eight bytes that two ends which computed the same have in common."""
        digest = hashlib.blake2b(digest_size=8)
        for name, array in self.arrays().items():
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
            if here.experts is not None:
                here.experts.grow(int(position[0]))
            self.nll += int(self._code(begin, position, first, count))
            self.position += count * (here.streams - first)
            if here.model is not None:
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
        room = _ROOM + 32 * count * here.streams
        if len(self._message) < int(self._state[coder.POSITION]) + int(self._state[coder.RUN]) + room:
            self._message = np.concatenate((self._message, np.zeros(len(self._message) + room, np.uint8)))
        frequencies = np.zeros((1, 0, 256), np.uint32)
        if here.model is not None:
            net, bits = here.model.net, here.model.settings.table_bits
            hash_contexts(history, begin, position, 0, count, bits, net.contexts)
            here.model.predict(here.model.caches, int(here.model.past[0]))
            frequencies = net.frequencies
        if here.experts is not None:
            at, state = int(position[0]), here.experts.state
            before = int(state.ledger[MIX])
            encode_segment(state, history, at, at + count, frequencies[0, :count], self._state, self._message)
            return int(state.ledger[MIX]) - before
        if here.model is None:
            frequencies = self._uniform()
        return encode_symbols(frequencies, history, position, first, count, self._state, self._message)

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
        coded = (history, position, first, count, self._state, self._message)
        model = here.model
        predictor = () if model is None else (
            model.net, model.caches, int(model.past[0]), model.settings.table_bits, history, begin
        )  # fmt: skip
        if here.experts is not None:
            experts, at = here.experts.state, int(position[0])
            length = -int(experts.ledger[MIX])
            if model is None:
                decode_segment(experts, history, at, at + count, self._state, self._message)
            else:
                decode_mixed(*predictor, position, count, experts, self._state, self._message)
            length += int(experts.ledger[MIX])
        elif model is not None:
            length = decode_symbols(*predictor, *coded[1:])
        else:
            length = decode_uniform(self._uniform(), *coded)
        for b in range(first, here.streams):
            at = int(position[b])
            self.data[at - self._start : at - self._start + count] = here.take(at, count)
        return length

    def finish(self) -> np.ndarray:
        """The frame's bytes; call it when `done`."""
        return self.data
