"""Hashes, probabilities that adapt, bit histories, all of integers: docs/predictor.md, section 6."""

from __future__ import annotations

from bisect import bisect_left

from .coder import MASK64, log2

LIMIT = 3071  # of a logit, in 1/256 nat
LEAST = 16  # of a coded probability, in 2^-22
GOLDEN, ODD = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
RATE = [131072 // (2 * n + 3) for n in range(1024)]


def _mixer_tables() -> tuple[list[int], list[int]]:
    step, term, k = 0, 1 << 80, 0  # e^(1/256) in units of 2^-80
    while term:
        step, k = step + term, k + 1
        term //= 256 * k
    powers = [1 << 80]
    for _ in range(LIMIT):
        powers.append(powers[-1] * step >> 80)
    upper = [(power << 32) // (power + (1 << 80)) for power in powers]
    wide = [(1 << 32) - p for p in upper[:0:-1]] + upper
    logits = [bisect_left(wide, (i << 20) + (1 << 19)) - LIMIT for i in range(4096)]
    return [p >> 10 for p in wide], [max(-2047, min(2047, logit)) for logit in logits]


SQUASH, STRETCH = _mixer_tables()


def squash(logit: int) -> int:
    """The probability of a logit, 22 bits."""
    return SQUASH[clamp(logit) + LIMIT]


def stretch(probability: int) -> int:
    """The logit of a probability of 22 bits."""
    return STRETCH[probability >> 10]


def clamp(logit: int) -> int:
    return max(-LIMIT, min(LIMIT, logit))


def codable(probability: int) -> int:
    """Neither 0 nor 1."""
    return max(LEAST, min((1 << 22) - LEAST, probability))


def adapt(cell: int, bit: int, limit: int) -> int:
    """A probability of 22 bits and a count of 10 after one more bit."""
    p, n = cell >> 10, cell & 1023
    return p + (((bit << 22) - p) * RATE[n] >> 16) << 10 | min(n + 1, limit)


def fold(value: int, other: int) -> int:
    """A hash of two numbers."""
    h = (value + GOLDEN) * ODD + other & MASK64
    h = (h ^ h >> 32) * GOLDEN & MASK64
    return h ^ h >> 32


def _bit_histories() -> tuple[list[int], list[tuple[int, int]]]:
    """The next state by (state, bit), and the counts of zeros and ones of every state."""
    most = (40, 16, 10, 6, 5)

    def after(history, bit: int):
        if isinstance(history, str):
            if len(history) < 4:
                return history + str(bit)
            history = (history.count("0"), history.count("1"), 0)
        counts = list(history[:2])
        other = counts[1 - bit]
        counts[1 - bit] = min(other, 7 if other > 7 else 6 if other > 6 else 5)
        counts[bit] += 1
        while min(counts) > 4 or max(counts) > most[min(counts)]:
            from_other = counts[1 - bit] > counts[bit] or min(counts) == 5
            counts[1 - bit if from_other else bit] -= 1
        return (*counts, bit)

    histories: list = [""]
    following = []
    for history in histories:
        for bit in (0, 1):
            new = after(history, bit)
            if new not in histories:
                histories.append(new)
            following.append(histories.index(new))
    return following, [(h.count("0"), h.count("1")) if isinstance(h, str) else h[:2] for h in histories]


NEXT, COUNTS = _bit_histories()


def learn_node(node: int, bit: int, limit: int) -> int:
    """A bit history, a count of 6 bits, a probability of 18 after one more bit."""
    p, n = (node & 0x3FFFF) ^ 0x20000, node >> 18 & 63
    p += ((bit << 18) - p) * RATE[n] >> 16
    return NEXT[2 * (node >> 24) + bit] << 24 | min(n + 1, limit) << 18 | p ^ 0x20000


def bit_cost(p1: int, y: int) -> int:
    """Code length of bit y, in 2^-32 bit."""
    return (22 << 32) - log2(p1 if y else (1 << 22) - p1)
