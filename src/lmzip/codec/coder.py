"""Range coder over integer frequencies (Martin 1979; carries held back as in Schindler's and LZMA's).

A symbol is an interval [start, start + size) of [0, 2^bits), size > 0, bits <= 32. Invariants:

- The bytes written so far and ``low`` name the lower end of an interval of width ``width``; before
  every symbol 2^56 <= width < 2^64, so one unit, ``width >> bits``, is at least 2^24 and rounding it
  down costs less than 10^-7 bit a symbol.
- A carry out of ``low`` ends in the last byte shifted out that was not 0xFF (``held``): that byte and
  the run of 0xFF behind it (``run``) are written only when the next other byte is shifted out. At that
  moment the interval ends below held + 2 <= 0x100, so no carry ever reaches a byte already written.
- The decoder keeps ``code`` = message - low, always below width in a message an encoder wrote; in
  any other message it stays inside uint64 and decodes to some symbol.
- `finish` writes one byte besides those held back: the interval is at least 2^56 wide, so it holds a
  number whose other bytes are zero; trailing zeros are dropped, and a decoder reads zeros past the end.

The state is uint64[6]: low (encoder) or code (decoder), width, held, run, position in the byte
buffer, and whether a byte is held. Every literal is a typed constant: a uint64 that meets a plain
literal becomes signed in numba.
"""

from __future__ import annotations

import numpy as np

from .kernel import heapless, inline

LOW, WIDTH, HELD, RUN, POSITION, STARTED = range(6)

LENGTH_UNIT = 20  # code lengths are counted in 2^-20 bit
FINE = 32  # fraction bits of log2

_0, _1, _8, _56, _FF = (np.uint64(n) for n in (0, 1, 8, 56, 0xFF))
_WIDTH_MIN = np.uint64(1 << 56)
_WIDTH_MAX = np.uint64((1 << 64) - 1)


def encoder() -> np.ndarray:
    """State of an encoder that has written nothing, uint64[6]."""
    return np.array([0, _WIDTH_MAX, 0, 0, 0, 0], np.uint64)


def decoder(message: np.ndarray) -> np.ndarray:
    """State of a decoder before the first symbol of `message`, uint8[n]."""
    code = int.from_bytes(bytes(message[:8]).ljust(8, b"\0"), "big")
    return np.array([code, _WIDTH_MAX, 0, 0, 8, 0], np.uint64)


@inline
def _write(state, out, byte):
    out[state[POSITION]] = np.uint8(byte)
    state[POSITION] += _1


@heapless
def _carry(state, out):
    if state[RUN] == _0:
        state[HELD] += _1
        return
    _write(state, out, state[HELD] + _1)
    while state[RUN] > _1:
        _write(state, out, _0)
        state[RUN] -= _1
    state[HELD] = _0
    state[RUN] = _0


@heapless
def _flush(state, out):
    if state[STARTED] == _1:
        _write(state, out, state[HELD])
    while state[RUN] > _0:
        _write(state, out, _FF)
        state[RUN] -= _1


@heapless
def _shift(state, out):
    byte = state[LOW] >> _56
    state[LOW] <<= _8
    if byte == _FF and state[STARTED] == _1:
        state[RUN] += _1
    else:
        _flush(state, out)
        state[HELD] = byte
        state[STARTED] = _1


@inline
def encode(state, out, start, size, bits):
    """Write the symbol [start, start + size) of [0, 2^bits); all three uint64. `out`: uint8, with room."""
    unit = state[WIDTH] >> bits
    offset = start * unit
    low = state[LOW] + offset
    state[LOW] = low
    if low < offset:
        _carry(state, out)
    width = size * unit
    while width < _WIDTH_MIN:
        _shift(state, out)
        width <<= _8
    state[WIDTH] = width


@heapless
def finish(state, out):
    """End the message; returns its length in bytes, int64."""
    last = state[LOW] + (_WIDTH_MIN - _1)
    if last < state[LOW]:
        _carry(state, out)
    state[LOW] = last
    _shift(state, out)
    _flush(state, out)
    length = np.int64(state[POSITION])
    while length > 0 and out[length - 1] == 0:
        length -= 1
    return length


@inline
def decode_target(state, bits):
    """The point of [0, 2^bits) that lies inside the next symbol's interval, uint64."""
    target = state[LOW] // (state[WIDTH] >> bits)
    return min(target, (_1 << bits) - _1)


@inline
def decode(state, message, start, size, bits):
    """Take the symbol [start, start + size) of [0, 2^bits) off the message."""
    unit = state[WIDTH] >> bits
    code = state[LOW] - start * unit
    width = size * unit
    while width < _WIDTH_MIN:
        byte = _0
        if state[POSITION] < np.uint64(message.shape[0]):
            byte = np.uint64(message[state[POSITION]])
        code = (code << _8) | byte
        width <<= _8
        state[POSITION] += _1
    state[LOW] = code
    state[WIDTH] = width


@inline
def encode_bit(state, out, one, bits, bit):
    """Write `bit` (0 or 1), whose probability of being 1 is one / 2^bits, 0 < one < 2^bits; uint64."""
    if bit == _1:
        encode(state, out, _0, one, bits)
    else:
        encode(state, out, one, (_1 << bits) - one, bits)


@inline
def decode_bit(state, message, one, bits):
    """Read a bit written by `encode_bit`, uint64."""
    if state[LOW] < (state[WIDTH] >> bits) * one:
        decode(state, message, _0, one, bits)
        return _1
    decode(state, message, one, (_1 << bits) - one, bits)
    return _0


def _log2_table() -> np.ndarray:
    """log2(1 + i/1024) in 2^-32 bit for i = 0 … 1024, int64: repeated squaring yields a binary digit a time."""
    table = []
    for i in range(1024):
        x, digits = (1024 + i) << 50, 0
        for _ in range(32):
            x = x * x >> 60
            digits = digits << 1 | x >> 61
            x >>= x >> 61
        table.append(digits)
    return np.array([*table, 1 << 32], np.int64)


_LOG2 = _log2_table()


@heapless
def log2(n):
    """Base-2 logarithm of 1 <= n <= 2^32, int64 in units of 2^-32, between table entries in straight lines."""
    exponent, mantissa = np.int64(32), np.uint64(n)
    while mantissa < np.uint64(1 << 32):
        mantissa <<= _1
        exponent -= np.int64(1)
    i = np.int64((mantissa >> np.uint64(22)) & np.uint64(1023))
    rest = np.int64(mantissa & np.uint64((1 << 22) - 1))
    return (exponent << np.int64(FINE)) + _LOG2[i] + ((_LOG2[i + 1] - _LOG2[i]) * rest >> np.int64(22))


@heapless
def code_length(size, bits):
    """-log2(size / 2^bits) in units of 2^-20 bit, int64; 0 < size <= 2^bits, bits <= 32."""
    return ((np.int64(bits) << np.int64(FINE)) - log2(size) + np.int64(1 << 11)) >> np.int64(12)
