"""Guesses of the tokens to come, by those that followed the same tokens before; the receiver's alone.

What is guessed changes no bit, for a prediction behind a guess is used only where the guess turned out right. That is
speculative decoding (Leviathan et al. 2023), its draft a table of n-grams, as text repeats itself.
"""

from __future__ import annotations

import numpy as np

ORDERS = (4, 3, 2, 1)  # tokens whose follower is remembered
MOST = 5  # guesses at once
_PLACES = 1 << 18


class Guesses:
    """What followed the last tokens of one stream when they last stood together."""

    def __init__(self) -> None:
        self._followers = np.full(_PLACES, -1, np.int32)
        self._last: list[int] = []
        self._hits = 1  # guesses made at once, which grow while they turn out right

    def learn(self, token: int) -> None:
        """The token that came."""
        for order in ORDERS:
            if len(self._last) >= order:
                self._followers[_place(self._last[-order:])] = token
        self._last = [*self._last[-max(ORDERS) + 1 :], token]

    def judge(self, right: bool) -> None:
        """Was the first of the last guesses the token that came?"""
        self._hits = min(MOST, self._hits + 1) if right else max(1, self._hits - 1)

    def ahead(self, most: int) -> list[int]:
        """At most so many tokens that may come next."""
        last, guesses = self._last, list[int]()
        while len(guesses) < min(most, self._hits):
            follower = next((token for order in ORDERS if (token := self._after(last, order)) >= 0), -1)
            if follower < 0:
                break
            guesses.append(follower)
            last = [*last, follower]
        return guesses

    def _after(self, tokens: list[int], order: int) -> int:
        return int(self._followers[_place(tokens[-order:])]) if len(tokens) >= order else -1


def _place(tokens: list[int]) -> int:
    return hash(tuple(tokens)) % _PLACES
