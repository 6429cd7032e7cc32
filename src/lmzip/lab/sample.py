"""Text that the predictor might go on with: random bits, decoded.

An arithmetic decoder turns equally likely bits into bytes as probable as the model finds them. So sampling is decoding:
the real predictor, all of it, unchanged, learning from what it says as it would from anything it decodes. The random
bits come from the codec's counter-based generator and everything is exact: a seed gives the same bytes on any machine.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..codec import coder, experts, lockstep, mixed, mixer, model, rng
from ..codec.kernel import inline
from ..codec.message import VERSION, Header
from ..errors import UsageError
from ..predictor import Predictor, completed
from .notes import PATHS, STATE, again, kernel

_HEAT = np.uint64(STATE)  # where a decoder's state keeps the temperature, in percent
_0, _1, _HALF = np.uint64(0), np.uint64(1), np.uint64(1 << mixer.BITS - 1)
_BITS = np.uint64(mixer.BITS)
_decode_bit, _stretch, _squash = coder.decode_bit, mixer.stretch, mixer.squash


@inline
def _tempered_bit(state, message, one, bits):
    """decode_bit, its log-odds divided by the temperature, in integers; at 0 the likelier bit."""
    heat = np.int64(state[_HEAT])
    if heat == 0:
        return _1 if one >= _HALF else _0
    logit = _squash(_stretch(np.int64(one)) * 100 // heat)
    return _decode_bit(state, message, np.uint64(min(max(logit, 16), (1 << mixer.BITS) - 16)), bits)


@kernel
def _tempered_row(frequencies, history, position, first, t, state, message):
    """`symbols.decode_row`: a byte is eight decisions, as for the experts."""
    for b in range(first, position.shape[0]):
        row, low, size = frequencies[b, t], 0, 128
        while size:
            zero, one = np.int64(0), np.int64(0)
            for k in range(size):
                zero += np.int64(row[low + k])
                one += np.int64(row[low + size + k])
            odds = min(max((one << mixer.BITS) // (zero + one), 16), (1 << mixer.BITS) - 16)
            if _tempered_bit(state, message, np.uint64(odds), _BITS) == _1:
                low += size
            size >>= 1
        history[(position[b] + t) & (history.shape[0] - 1)] = low
    return np.int64(0)


@functools.cache
def _segment() -> Any:
    return again(experts, PATHS, {"decode_bit": _tempered_bit}, "tempered_segment")


@functools.cache
def _mixed() -> Any:
    code_byte = again(experts, PATHS[:1] + PATHS[3:4], {"decode_bit": _tempered_bit}, "tempered_byte", inline)
    return again(mixed, ("_decode",), {"code_byte": code_byte}, "tempered_mixed")


@functools.cache
def _symbols() -> Any:
    return again(model, ("decode_symbols",), {"decode_row": _tempered_row}, "tempered_symbols")


class Tempered(lockstep.Decoding):
    """A decoding of random bits whose every decision is made surer or less sure."""

    def __init__(self, state: lockstep.Lockstep, noise: np.ndarray, length: int, temperature: float) -> None:
        super().__init__(state, noise, length)
        self._state = np.concatenate((self._state, np.array([round(100 * temperature)], np.uint64)))

    def _code(self, begin: np.ndarray, position: np.ndarray, first: int, count: int) -> int:
        here, history, at = self.lockstep, self.lockstep.history, int(position[first])
        coding = (self._state, self._message)
        if here.model is not None:
            net, caches, past = here.model.net, here.model.caches, int(here.model.past[0])
            reading = (net, caches, past, here.model.settings.table_bits, history, begin, position)
        if here.experts is None:
            _symbols()(*reading, first, count, *coding)
        elif here.model is None:
            numbers = here.experts.begin(history, at, count)
            nothing = np.zeros((0, 256), np.uint32)
            _segment()(here.experts.state, history, at, at + count, nothing, *coding, True, numbers)
        else:
            numbers = here.experts.begin(history, at, count)
            _mixed()(*reading, count, here.experts.state, *coding, numbers)
        self.data[at - self._start :][:count] = here.take(at, count)
        return 0


def noise(seed: int, count: int) -> np.ndarray:
    """Random bytes, uint8[8 · count], apart from those that models begin with."""
    return rng.words(seed, 1 << 31, count).astype(">u8").view(np.uint8)


def check(header: Header, temperature: float) -> None:
    """Raises UsageError for temperatures that don't go with such an archive."""
    if temperature == 1:
        return
    if header.format_version != VERSION:
        raise UsageError("an archive of an older format version is sampled at temperature 1 only; leave the option out")
    if header.streams > 1:
        raise UsageError("several streams are sampled at temperature 1 only; leave the option out")


def sample(state: Predictor, length: int, seed: int = 0, temperature: float = 1.0) -> bytes:
    """`length` bytes that may follow what the predictor `state` has seen; it sees and learns them too.

    temperature: 1 samples what is coded; below, each binary decision is surer (0: the likelier bit), above, less sure.
    Raises UsageError for temperatures that don't go with the state.
    """
    check(state.header, temperature)
    bits = noise(seed, 4 * length + 8)  # no byte takes more than 256 bits
    decoding = state.decode(bits, length) if temperature == 1 else Tempered(state, bits, length, temperature)  # type: ignore[arg-type]
    return bytes(completed(decoding).data)
