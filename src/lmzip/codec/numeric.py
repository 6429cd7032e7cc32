"""Sampled data: raw images of 8-bit samples, PCM audio of 8 or 16 bits (little endian).

Headers and the statistics of blocks already coded say what kind comes (`watch`). Then the next sample is predicted
from its neighbours by exponentially weighted least squares, solved anew after every sample; the prediction enters
the mixer as a logistic distribution about it, and replaces text in the experts' contexts.

The least squares are the only floating point here: IEEE double + - * / in the order written, no fast-math. Every
value that is kept is 0 or far from the denormals: a moment is a sum of multiples of 2^-4 in which nothing rounds
below 2^-58, and factors below 1e-20 are set to 0 before they multiply. Weights are taken only if all pivots are
at least 1, so they are finite. All else is integers.
"""

from __future__ import annotations

import re

import numpy as np

from .coder import FINE, log2
from .kernel import heapless
from .mixer import BITS, squash, stretch

# Places in State.sampled
(KIND, CHANNELS, STRIDE, START, FIRST, _JUDGED, _NEXT, _WATCHED, _FORMAT, _COUNT, CHANNEL, PHASE, CLASS, EXPECTED,
 APART, _GUESS, _SCALE, _TAPS) = (*range(16), 17, 19)  # fmt: skip
TAPS, REACH, SAMPLED = 24, 1 << 15, 8  # most neighbours, errors kept, contexts
ROWS, WIDTH = 4744, 64  # of State.sample_weights
_BLOCK, _WIDEST = 4096, 24576
_RING = 1 << 17  # shorter histories are not watched

# Neighbours in an image (rows above, pixels to the left); the last four if there is one channel only
_NEAR = np.array([0, 1, 1, 0, 1, -1, 1, 1, 0, 2, 2, 0, 2, -1, 2, 1, 1, 2, 1, -2, 0, 3, 3, 0, 1, 3, 1, -3])


def arrays(language_model: bool) -> dict[str, np.ndarray]:
    """What the state consists of, see experts.State."""
    weights = np.zeros((ROWS, WIDTH), np.int32)
    weights[:, : 4 * SAMPLED + 3] = 4000
    weights[:, 1 : 4 * SAMPLED : 4] = 0
    weights[:, 4 * SAMPLED + 4 : WIDTH - 2] = 6000
    weights[:, WIDTH - 2 :] = 6500 * language_model
    return {
        "sampled": np.array([0] * FIRST + [1 << 62, -1, 2 * _BLOCK, 4] + [0] * (_TAPS + TAPS - FIRST - 4), np.int64),
        "errors": np.array([0] * REACH + [((4 + k % 4) << k // 4) * 85 for k in range(64)] * 2, np.int64),
        "systems": np.zeros((2, 4, TAPS + 2, TAPS)),
        "sample_weights": weights,
        "sample_inputs": np.zeros(WIDTH, np.int32),
    }


@heapless
def _at(history, i):
    return np.int64(history[i & (history.shape[0] - 1)])


@heapless
def _pair(history, i):
    """16 bits, little endian, signed."""
    v = _at(history, i) | _at(history, i + 1) << 8
    return v - ((v & 32768) << 1)


def _adopt(s, kind, channels, stride, start):
    s[KIND], s[CHANNELS], s[STRIDE], s[START], s[_JUDGED] = kind, channels, stride, start, -1
    s[FIRST] = max(start, 3 * stride + 200) if kind > 0 else 1 << 62  # from here on
    n, b = 16, channels
    for k in range(TAPS):
        s[_TAPS + k] = k + 1
        if kind == 2:  # of two channels, nine are the other's
            s[_TAPS + k] = 2 * b * (k + 1) if b == 1 or k < 15 else 2 * (b * (k - 15) + 1)
    if kind == 2:
        n = TAPS
    elif stride > 0:
        n = 14 if b == 1 else 10
        for k in range(n):
            s[_TAPS + k] = _NEAR[2 * k] * stride + _NEAR[2 * k + 1] * b
        for c in range(1, b):
            for d in (c, stride + c, stride - c, b + c):
                s[_TAPS + n] = d
                n += 1
    s[_COUNT] = n


def _take(history, start, stop):
    """Bytes [start, stop) of the ring."""
    return history[np.arange(start, stop) & (len(history) - 1)]


@heapless
def _row(x, least):
    """Distance, 24 or more, at which the last 1024 of int16[n] differ least from those before; 0: not below `least`."""
    stride, n = 0, x.shape[0]
    for lag in range(24, n - 1024):
        total = 0
        for part in range(n, n - 1024, -256):
            for j in range(part - 256, part):
                total += abs(x[j] - x[j - lag])
            if total > least:
                break
        if total < least:
            least, stride = total, lag
    return stride


def _laplace(total, n):
    """Bits (2^-32) that n samples take whose absolute differences sum to `total`, about."""
    return n * (log2((int(total) << 8) // n + 64) - (23 << FINE - 2))


def _judge(s, history, i):
    """What the 4096 bytes before i look like: kind (0: other, -1: too monotonous to say), channels, stride, start."""
    x = _take(history, i - _BLOCK - _WIDEST, i).astype(np.int16)

    def differences(distance, count=_BLOCK):
        return np.abs(x[-count:] - x[-count - distance : -distance]).sum()

    old, b, stride = (int(s[k]) for k in (KIND, CHANNELS, STRIDE))
    if old == 1 and stride > 0 and differences(stride) < differences(4 * b):
        return old, b, stride, i
    best = 0  # entropy of even and odd places
    for place in (0, 1):
        for v in np.bincount(x[_WIDEST + place :: 2]):
            best += int(v) * ((11 << FINE) - log2(v)) if v else 0
    best = best // 8 * (9 if old > 0 else 7)
    if best < 2048 << FINE:
        return -1, 0, 0, 0
    kind, b, stride, start = 0, 0, 0, i
    for k in range(1, 5):
        cost = _laplace(differences(k), _BLOCK)
        if cost < best:
            kind, b, best = 1, k, cost
    pairs = x[:-1].astype(np.int64) | x[1:].astype(np.int64) << 8
    for k in range(1, 3):
        for phase in range(2):
            at = np.arange(_WIDEST + phase, len(pairs), 2)
            d = (pairs[at] - pairs[at - 2 * k]) & 65535
            cost = _laplace(np.minimum(d, 65536 - d).sum(), _BLOCK // 2)
            if cost < best:
                kind, b, start, best = 2, k, i + phase, cost
    if kind == 1:  # rows: the distance that differs least, if less than nearby
        stride = _row(x[-1024 - min(i - 1024, _WIDEST) :], differences(4 * b, 1024))
    return kind, b, stride, start


def watch(s, history, start):
    """Before the segment at `start`: do headers since the last call, or the last block, say that samples come?"""
    if len(history) < _RING:
        return
    found = None
    first = max(int(s[_WATCHED]), start - _BLOCK)
    for match in re.finditer(b"fmt |data", _take(history, first - 4, start).tobytes()):
        i = first + match.start()  # behind it
        if match[0] == b"fmt ":
            s[_FORMAT] = i
        elif i - 999 < s[_FORMAT] <= i - 24 and s[_FORMAT] > 0:
            form = _take(history, int(s[_FORMAT]) + 4, i)
            if form[0] in (1, 3) and form[1] == 0 and form[14] in (8, 16):
                found = int(form[14]) >> 3, min(max(int(form[2]), 1), 2), 0, i + 4
    for i in range(first, min(start + 1, 64)):
        header = re.fullmatch(rb"P([56])\D+(\d+)\D+\d+\D+255\n", history[:i].tobytes())
        if header:
            b = 1 if header[1] == b"5" else 3
            if 16 < int(header[2]) * b < _WIDEST:
                found = 1, b, int(header[2]) * b, i
    s[_WATCHED] = start + 1
    if not found and start >= s[_NEXT]:
        s[_NEXT] = start + _BLOCK
        found = _judge(s, history, start)
        judged = found[0] | found[1] << 8 | found[2] << 16
        if found[0] < 0 or judged == s[KIND] | s[CHANNELS] << 8 | s[STRIDE] << 16:
            s[_JUDGED], found = -1, None
        elif judged != s[_JUDGED]:  # two blocks in a row decide
            s[_JUDGED], found = judged, None
    if found:
        _adopt(s, *found)


@heapless
def fit(system, work, y, n, decay):
    """Take the sample y into the moments (rows of `system`, then its right hand side) and solve them into its last row.

    0.0625 in every product is an observation that never fades; 2 on the diagonal keeps the pivots positive.
    """
    x, w, b = work[TAPS + 1], work[TAPS], system[TAPS]
    for i in range(n):
        xi = x[i]
        for j in range(i, n):
            system[i, j] = system[i, j] * decay + (xi * x[j] + 0.0625)
            work[i, j] = system[i, j]
        b[i] = b[i] * decay + (xi * y + 0.0625)
        work[i, i] += 2.0
        w[i] = b[i]
    for k in range(n):
        if not work[k, k] >= 1.0:
            return
        inverse = 1.0 / work[k, k]
        for j in range(k + 1, n):
            if abs(work[k, j]) < 1e-20:
                work[k, j] = 0.0
        if abs(w[k]) < 1e-20:
            w[k] = 0.0
        wk = w[k]
        for i in range(k + 1, n):
            f = work[k, i] * inverse
            w[i] -= f * wk
            for j in range(i, n):
                work[i, j] -= f * work[k, j]
    for k in range(n - 1, -1, -1):
        wk = w[k] / work[k, k]
        if abs(wk) < 1e-20:
            wk = 0.0
        w[k] = wk
        for i in range(k):
            w[i] -= work[i, k] * wk
    for k in range(n):
        system[TAPS + 1, k] = w[k]


@heapless
def _octaves(v):
    """log2(v) in quarters, 0 ... 63."""
    lg, v = 0, v + 1
    while v >= 8:
        v >>= 1
        lg += 4
    return min(lg + v, 63)


@heapless
def prepare(s, errors, systems, x, h, history, i):
    """Before byte i, a sample's: what is expected (1/16), how surely, and the contexts h; x takes the neighbours."""
    b, wide = s[CHANNELS], np.int64(s[KIND] == 2)
    phase, n = (i - s[START]) & wide, s[_COUNT]
    at = i - phase
    s[PHASE], s[CHANNEL] = phase, ((i - s[START]) >> wide) % b
    least, most = (-32768.0, 32767.0) if wide else (0.0, 255.0)
    for k in range(n):
        j = at - s[_TAPS + k]
        x[k] = np.float64(_pair(history, j) if wide else _at(history, j))
    for k in range(2):
        e, w = 0.0, systems[k, s[CHANNEL], TAPS + 1]
        for j in range(n):
            e += x[j] * w[j]
        s[_GUESS + k] = np.int64(min(max(e, least), most) * 16.0)
    energy = 0
    for k in range(6):
        energy += errors[(at - s[_TAPS + k]) & (REACH - 1)]
    s[CLASS] = _octaves(energy >> 2)
    s[APART] = _octaves(abs(s[_GUESS] - s[_GUESS + 1]))
    for k in range(2):
        s[_SCALE + k] = (1 << 22) // (3 * max(errors[REACH + k * 64 + s[CLASS]] >> 8, 4))
    p, q = s[_GUESS], s[_GUESS + 1]
    c1, c2 = _at(history, i - 1), _at(history, i - 2)
    e = (p + 8) >> 4
    if wide:
        s1, s2 = _pair(history, at - 2 * b), _pair(history, at - 4 * b)
        s[EXPECTED] = ((e - c1 + 128) >> 8 if phase else e) & 255
        h[0] = e & 65535
        h[1] = (e >> 1 & 65535) | s[CLASS] << 16
        h[2] = e >> 4 & 65535
        h[3] = (s1 & 65535) | (s2 & 65535) << 16
        h[4] = (e & 65535) | (q >> 4 & 65535) << 16
        h[5] = e >> 3 & 65535
        h[6] = (e >> 5 & 65535) | s[CLASS] >> 2 << 16
        h[7] = q >> 6 & 65535
    else:
        stride = max(s[STRIDE], b)
        west, north = _at(history, i - b), _at(history, i - stride)
        east = _at(history, i - stride + b) if stride > b else west
        w1, w2 = _at(history, i - b - 1), _at(history, i - b - 2)
        n1, n2 = _at(history, i - stride - 1), _at(history, i - stride - 2)
        s[EXPECTED] = e
        h[0] = e
        h[1] = c1 | c2 << 8
        h[2] = (west + east) >> 3 | c1 >> 2 << 8 | c2 >> 2 << 16
        h[3] = p >> 3 | (west + east) >> 4 << 12
        h[4] = min(max(west + c1 - w1, 0), 255) | (c1 - c2 - w1 + w2 + 512) << 8
        h[5] = min(max(north + c1 - n1, 0), 255) | (c1 - c2 - n1 + n2 + 512) << 8
        h[6] = p >> 6 | c1 << 8 | (north - n1 + 256) << 16
        h[7] = c1 | (west - w1 + 256) >> 1 << 8
    for k in range(SAMPLED):
        h[k] |= np.uint64((s[CHANNEL] << 9 | phase << 8 | (c1 if phase else 0)) << 40)


@heapless
def _mass(v, expected, inverse, floor):
    """Logistic distribution function about `expected`, and a floor; v in 1/16 sample, inverse: 2^20 / (16 scale)."""
    return (squash((v - expected) * inverse >> 16) << 10) + v * floor


@heapless
def sample_inputs(s, c1, c0, bit, x):
    """What the predictions say of the next bit: two inputs each, sharper and blunter, into x[36:40]."""
    low, half = (c0 << (8 - bit)) & 255, 128 >> bit
    wide, phase = s[KIND] == 2, s[PHASE]
    laps, unit, base, floor = 1, 16, -8, 32 if wide else 512
    if phase:  # the high byte: intervals are centred on the low one
        unit, base = 4096, (c1 - 128) * 16 - (128 << 12)
        if bit > 0:
            low ^= 128
    elif wide:  # the low byte comes first: three high ones are possible
        laps = 3
    for m in range(4):
        p, inverse = s[_GUESS + (m >> 1)], s[_SCALE + (m >> 1)] >> (m & 1)
        o = base if laps == 1 else base + ((p >> 12) - 1) * 4096
        whole, upper = 0, 0
        for _ in range(laps):
            end = _mass(o + (low + 2 * half) * unit, p, inverse, floor)
            whole += end - _mass(o + low * unit, p, inverse, floor)
            upper += end - _mass(o + (low + half) * unit, p, inverse, floor)
            o += 4096
        g = stretch(min((upper << BITS) // whole, (1 << BITS) - 1))
        x[4 * SAMPLED + 4 + m] = -g if phase and bit == 0 else g  # the sign: 1 is the lower half


@heapless
def learn_sample(s, errors, systems, work, history, i):
    """After byte i: if it ends a sample, learn from it."""
    wide = s[KIND] == 2
    if wide and s[PHASE] == 0:
        return
    at, n = i - s[PHASE], s[_COUNT]
    v = _pair(history, at) if wide else _at(history, i)
    for k in range(1, -1, -1):
        e, cell = abs(v * 16 - s[_GUESS + k]), REACH + k * 64 + s[CLASS]
        errors[cell] += (e * 256 - errors[cell]) >> 7
        errors[at & (REACH - 1)] = e
        fit(systems[k, s[CHANNEL]], work, np.float64(v), min(n, 16) if k else n, 0.99 if k else 0.998)
