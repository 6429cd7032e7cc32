"""Guesses of the tokens to come, by those that followed the same tokens before; the receiver's alone.

What is guessed changes no bit, for a prediction behind a guess is used only where the guess turned out right. That is
speculative decoding (Leviathan et al. 2023), its draft a table of n-grams, as text repeats itself.
"""

from __future__ import annotations

import numpy as np

ORDERS = (4, 3, 2, 1)  # tokens whose follower is remembered
WORTH = 0.35  # of being right, from which a guess saves more than it costs: a third of a pass
_PLACES, _SPEED = 1 << 18, 1 / 32


class Guesses:
    """What followed the last tokens of one stream when they last stood together, and how often that was right."""

    def __init__(self) -> None:
        self._followers = np.full(_PLACES, -1, np.int32)
        self._last: list[int] = []
        self._right = dict.fromkeys(ORDERS, 0.5)

    def learn(self, token: int) -> None:
        """The token that came."""
        guess, order = self._guess(self._last)
        if order:
            self._right[order] += ((guess == token) - self._right[order]) * _SPEED
        for order in ORDERS:
            if len(self._last) >= order:
                self._followers[_place(self._last[-order:])] = token
        self._last = [*self._last[-max(ORDERS) + 1 :], token]

    def ahead(self, most: int) -> list[int]:
        """At most so many tokens that may come next, as far as they are likely."""
        last, guesses, chance = self._last, list[int](), 1.0
        while len(guesses) < most:
            guess, order = self._guess(last)
            chance *= self._right.get(order, 0.0)
            if chance < WORTH:
                break
            guesses.append(guess)
            last = [*last[-max(ORDERS) + 1 :], guess]
        return guesses

    def _guess(self, tokens: list[int]) -> tuple[int, int]:
        """What followed the longest part of these that is known, and its length; -1 and 0 if none is."""
        for order in ORDERS:
            if len(tokens) >= order and (follower := int(self._followers[_place(tokens[-order:])])) >= 0:
                return follower, order
        return -1, 0


def _place(tokens: list[int]) -> int:
    return hash(tuple(tokens)) % _PLACES
