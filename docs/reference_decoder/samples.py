"""Samples of images and audio: docs/predictor.md, section 7."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from .cells import squash, stretch
from .coder import log2


def at(history: bytearray, i: int) -> int:
    """Byte i, 0 before the first."""
    return history[i] if i >= 0 else 0


def pair(history: bytearray, i: int) -> int:
    """Bytes i and i + 1 as a signed number, the lower one first."""
    v = at(history, i) | at(history, i + 1) << 8
    return v - 65536 if v >= 32768 else v


def octaves(v: int) -> int:
    """log2(v + 1) in quarters, about."""
    lg, v = 0, v + 1
    while v >= 8:
        v, lg = v >> 1, lg + 4
    return min(lg + v, 63)


def differences(history: bytearray, i: int, distance: int, count: int) -> int:
    """How far the `count` bytes before i are from those at a distance before them, in all."""
    return sum(abs(at(history, j) - at(history, j - distance)) for j in range(i - count, i))


def laplace(total: int, n: int) -> int:
    """Code length of n differences of this sum, about."""
    return n * (log2((total << 8) // n + 64) - (23 << 30))


def fit(system: list[list[float]], x: Sequence[float], y: float, decay: float) -> None:
    """Take a sample into the moments and solve them: weighted least squares, in float64."""
    n, moments, right = len(x), [], system[24]
    w = []
    for i in range(n):
        row = system[i]
        for j in range(i, n):
            row[j] = row[j] * decay + (x[i] * x[j] + 0.0625)
        right[i] = right[i] * decay + (x[i] * y + 0.0625)
        moments.append(row[:n])
        moments[i][i] += 2.0
        w.append(right[i])
    for k in range(n):
        pivot = moments[k]
        if not pivot[k] >= 1.0:
            return
        inverse = 1.0 / pivot[k]
        for j in range(k + 1, n):
            if abs(pivot[j]) < 1e-20:
                pivot[j] = 0.0
        if abs(w[k]) < 1e-20:
            w[k] = 0.0
        for i in range(k + 1, n):
            f, row = pivot[i] * inverse, moments[i]
            w[i] -= f * w[k]
            for j in range(i, n):
                row[j] -= f * pivot[j]
    for k in range(n - 1, -1, -1):
        w[k] = w[k] / moments[k][k]
        if abs(w[k]) < 1e-20:
            w[k] = 0.0
        for i in range(k):
            w[i] -= moments[i][k] * w[k]
    system[25][:n] = w


class Samples:
    """The kind of samples, two predictors of the next f32, weight sets of their own."""

    def __init__(self, modelled: bool) -> None:
        self.kind = self.channels = self.stride = self.start = 0
        self.first, self.judged, self.next, self.watched, self.format = 1 << 62, -1, 8192, 4, 0
        self.channel = self.phase = self.level = self.expected = self.apart = 0
        self.guess, self.scale = [0, 0], [0, 0]
        self.distances: list[int] = []
        self.errors = [0] * (1 << 15)
        self.means = [[((4 + k % 4) << k // 4) * 85 for k in range(64)] for _ in range(2)]
        self.systems = [[[[0.0] * 24 for _ in range(26)] for _ in range(4)] for _ in range(2)]
        row = [4000, 0, 4000, 4000] * 8 + [4000] * 3 + [0] + [6000] * 26 + [6500 * modelled] * 2
        self.weights = [list(row) for _ in range(4744)]
        self.x: list[float] = []

    def numbers(self) -> list[int]:
        """In the order of the digest."""
        numbers = [self.kind, self.channels, self.stride, self.start, self.first, self.judged, self.next, self.watched]
        if not self.distances:  # there never were any
            return [*numbers, self.format] + [0] * 34
        numbers += [self.format, len(self.distances), self.channel, self.phase, self.level, self.expected, self.apart]
        return numbers + [*self.guess, *self.scale, *(self.distances + list(range(len(self.distances) + 1, 25)))]

    def watch(self, history: bytearray, start: int) -> None:
        """Before a segment: do headers or the bytes themselves say that samples come?"""
        verdict = None
        for i in range(max(self.watched, start - 4096), start + 1):
            if history[i - 4 : i] == b"fmt ":
                self.format = i
            elif history[i - 4 : i] == b"data" and self.format and 24 <= i - self.format < 999:
                bits = at(history, self.format + 18)
                if pair(history, self.format + 4) in (1, 3) and bits in (8, 16):
                    verdict = bits // 8, min(max(at(history, self.format + 6), 1), 2), 0, i + 4
        for i in range(max(self.watched, start - 4096), min(start + 1, 64)):
            if header := re.fullmatch(rb"P([56])\D+(\d+)\D+\d+\D+255\n", history[:i]):
                channels = 1 if header[1] == b"5" else 3
                if 16 < int(header[2]) * channels < 24576:
                    verdict = 1, channels, int(header[2]) * channels, i
        self.watched = start + 1
        if verdict is None and start >= self.next:
            self.next = start + 4096
            verdict = self.judge(history, start)
            judged = verdict and verdict[0] | verdict[1] << 8 | verdict[2] << 16
            if verdict is None or judged == self.kind | self.channels << 8 | self.stride << 16:
                self.judged = -1
                return
            if judged != self.judged:  # two blocks in a row decide
                self.judged = judged
                return
        if verdict is not None:
            self.adopt(*verdict)

    def judge(self, history: bytearray, i: int) -> tuple[int, int, int, int] | None:
        """Kind, channels, bytes of a row and beginning of what the 4,096 bytes before i seem to be."""
        if self.kind == 1 and self.stride:
            here, near = (differences(history, i, d, 4096) for d in (self.stride, 4 * self.channels))
            if here < near:
                return 1, self.channels, self.stride, i
        counts = Counter((j & 1, history[j]) for j in range(i - 4096, i)).values()
        best = sum(v * ((11 << 32) - log2(v)) for v in counts) // 8 * (9 if self.kind else 7)
        if best < 2048 << 32:
            return None
        kind, channels, stride, start = 0, 0, 0, i
        for k in range(1, 5):
            cost = laplace(differences(history, i, k, 4096), 4096)
            if cost < best:
                kind, channels, best = 1, k, cost
        for k in (1, 2):
            for phase in (0, 1):
                steps = [pair(history, j) - pair(history, j - 2 * k) & 65535 for j in range(i - 4096 + phase, i - 1, 2)]
                cost = laplace(sum(min(d, 65536 - d) for d in steps), 2048)
                if cost < best:
                    kind, channels, start, best = 2, k, i + phase, cost
        if kind == 1:
            least = differences(history, i, 4 * channels, 1024)
            for lag in range(24, min(i - 1024, 24576)):
                total = 0
                for part in range(4):
                    total += differences(history, i - 256 * part, lag, 256)
                    if total > least:
                        break
                if total < least:
                    least, stride = total, lag
        return kind, channels, stride, start

    def adopt(self, kind: int, channels: int, stride: int, start: int) -> None:
        """Predict samples of this kind from here on."""
        self.kind, self.channels, self.stride, self.start, self.judged = kind, channels, stride, start, -1
        self.first = max(start, 3 * stride + 200) if kind else 1 << 62
        b = channels
        if kind == 2:
            self.distances = [2 * b * (k + 1) if b == 1 or k < 15 else 2 * (b * (k - 15) + 1) for k in range(24)]
        elif stride:
            near = [(0, 1), (1, 0), (1, -1), (1, 1), (0, 2), (2, 0), (2, -1), (2, 1), (1, 2), (1, -2)]
            near += [(0, 3), (3, 0), (1, 3), (1, -3)] * (b == 1)
            self.distances = [above * stride + left * b for above, left in near]
            self.distances += [d for c in range(1, b) for d in (c, stride + c, stride - c, b + c)]
        else:
            self.distances = list(range(1, 17))

    def sample(self, history: bytearray, i: int) -> int:
        return pair(history, i) if self.kind == 2 else at(history, i)

    def contexts(self, history: bytearray, i: int) -> list[int]:
        """Before byte i: predict its sample; the hashes of what is near."""
        b, wide = self.channels, self.kind == 2
        self.phase = (i - self.start) & wide
        self.channel = (i - self.start >> wide) % b
        here = i - self.phase
        self.x = [float(self.sample(history, here - d)) for d in self.distances]
        least, most = (-32768.0, 32767.0) if wide else (0.0, 255.0)
        for k in range(2):
            e = 0.0
            for v, w in zip(self.x, self.systems[k][self.channel][25]):
                e += v * w
            self.guess[k] = int(min(max(e, least), most) * 16.0)
        p, q = self.guess
        self.level = octaves(sum(self.errors[here - d & 32767] for d in self.distances[:6]) >> 2)
        self.apart = octaves(abs(p - q))
        self.scale = [(1 << 22) // (3 * max(means[self.level] >> 8, 4)) for means in self.means]
        c1, c2, e, level = at(history, i - 1), at(history, i - 2), p + 8 >> 4, self.level
        if wide:
            s1, s2 = (pair(history, here - d * b) & 65535 for d in (2, 4))
            self.expected = (e - c1 + 128 >> 8 if self.phase else e) & 255
            h = [
                e & 65535, e >> 1 & 65535 | level << 16, e >> 4 & 65535, s1 | s2 << 16,
                e & 65535 | (q >> 4 & 65535) << 16, e >> 3 & 65535, e >> 5 & 65535 | level >> 2 << 16, q >> 6 & 65535,
            ]  # fmt: skip
        else:
            up = max(self.stride, b)
            west, north = at(history, i - b), at(history, i - up)
            east = at(history, i - up + b) if up > b else west
            w1, w2, n1, n2 = (at(history, i - d) for d in (b + 1, b + 2, up + 1, up + 2))
            self.expected = e
            h = [
                e,
                c1 | c2 << 8,
                west + east >> 3 | c1 >> 2 << 8 | c2 >> 2 << 16,
                p >> 3 | west + east >> 4 << 12,
                min(max(west + c1 - w1, 0), 255) | c1 - c2 - w1 + w2 + 512 << 8,
                min(max(north + c1 - n1, 0), 255) | c1 - c2 - n1 + n2 + 512 << 8,
                p >> 6 | c1 << 8 | north - n1 + 256 << 16,
                c1 | west - w1 + 256 >> 1 << 8,
            ]
        place = (self.channel << 9 | self.phase << 8 | (c1 if self.phase else 0)) << 40
        return [v | place for v in h]

    def inputs(self, c0: int, bit: int, c1: int) -> list[int]:
        """What the two predictions say of the next bit, each sharper and blunter."""
        low, half, wide, phase = c0 << 8 - bit & 255, 128 >> bit, self.kind == 2, self.phase
        floor = 32 if wide else 512
        x = []
        for m in range(4):
            p, inverse = self.guess[m >> 1], self.scale[m >> 1] >> (m & 1)

            def mass(v: int, p=p, inverse=inverse) -> int:
                return (squash((v - p) * inverse >> 16) << 10) + v * floor

            if phase:  # the high byte; 128 … 255 are negative
                unit, begins = 4096, [(c1 - 128) * 16 - (128 << 12)]
                first = low ^ 128 if bit else low
            elif wide:  # the low byte; the high one is near the expected one
                unit, begins, first = 16, [((p >> 12) + k) * 4096 - 8 for k in (-1, 0, 1)], low
            else:
                unit, begins, first = 16, [-8], low
            edges = [[mass(o + (first + d) * unit) for d in (0, half, 2 * half)] for o in begins]
            whole, upper = (sum(edge[2] - edge[k] for edge in edges) for k in (0, 1))
            g = stretch(min((upper << 22) // whole, (1 << 22) - 1))
            x.append(-g if phase and bit == 0 else g)
        return x

    def rows(self, c0: int, bit: int, by_match: int, by_hits: int) -> list[int]:
        """The weight sets."""
        place = self.phase << 3 | bit
        return [
            self.phase << 8 | c0, by_match + 256, 768 + (self.level << 4 | place), by_hits + 1024,
            2048 + (self.channel << 8 | (self.expected & 15) << 4 | place), 3072 + (self.apart << 4 | place),
            4096 + (self.expected >> 3 << 4 | place),
        ]  # fmt: skip

    def learn(self, history: bytearray, i: int) -> None:
        """After byte i, if it ends a sample."""
        if self.kind == 2 and self.phase == 0:
            return
        here, count = i - self.phase, len(self.distances)
        v = self.sample(history, here)
        for k, n, decay in ((1, min(count, 16), 0.99), (0, count, 0.998)):
            e, means = abs(16 * v - self.guess[k]), self.means[k]
            means[self.level] += e * 256 - means[self.level] >> 7
            self.errors[here & 32767] = e
            fit(self.systems[k][self.channel], self.x[:n], float(v), decay)
