"""What a model can do beside compressing: small tasks in its context, put to it at any moment of a run.

A probe is a text that the predictor codes on the side: its state is put back afterwards, to the bit, so that a run
with probes is the run without them. Each probe is scored twice: with the weights frozen, where only the context can
help, and learning as it goes, as the protocol does, where gradients and n-gram tables remember as well.
"""

from __future__ import annotations

import contextlib
import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...codec.lockstep import Lockstep
from ...codec.message import NLL_BITS
from ...codec.symbols import FREQUENCY_BITS
from ...predictor import Predictor, completed

LETTERS = np.frombuffer(string.ascii_lowercase.encode(), np.uint8)
TRIALS = 48  # of each task
REPEATED = 24  # letters that are shown and shown again
WORD = 3  # letters of a key, a value, an analogy's side
PAIRS, EXAMPLES = 3, 4
RULES = (lambda word: word, lambda word: word[::-1], lambda word: word - 32)  # the same, backwards, in capitals
GUESSING = float(np.log2(26))  # bits a letter, of one who knows that a letter comes and no more


class Frozen:
    """Stands where the learner does: the context moves on, the weights stay."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def learn(self, *_: Any) -> None:
        self._model.advance(self._model.segment)

    def arrays(self) -> dict[str, np.ndarray]:
        return {}


@contextlib.contextmanager
def aside(state: Lockstep, frozen: bool = False) -> Iterator[Lockstep]:
    """Whatever the predictor codes within leaves no trace; if frozen, its language model learns nothing meanwhile."""
    learner = getattr(state, "learner", None)
    frozen = frozen and learner is not None
    # What doesn't learn leaves its tables as they are, and they are nearly all there is to copy.
    saved = {name: array.copy() for name, array in state.arrays().items() if not (frozen and name == "model.tables")}
    try:
        if frozen:
            state.learner = Frozen(state.model)  # type: ignore[assignment]
        yield state
    finally:
        if learner is not None:
            state.learner = learner
        # Small arrays first: among them is what says how much of the large ones is in use.
        for name in sorted(saved, key=lambda name: saved[name].nbytes):
            state.arrays()[name][...] = saved[name]


def code_length(state: Predictor, text: np.ndarray) -> float:
    """Bits that the predictor takes for a text, as the next of what it codes."""
    return completed(state.encode(text)).nll / (1 << NLL_BITS)


def byte_costs(state: Lockstep, text: np.ndarray) -> np.ndarray:
    """Bits that the language model takes for each byte of a text, float64 [len(text)].

    Raises ValueError with replay, several streams or no language model.
    """
    if state.model is None or state.header.streams > 1 or state.header.replay:
        raise ValueError("a language model, one stream and no replay are needed to tell the cost of each byte")
    costs = []
    encoding = state.encode(text)
    while not encoding.done:
        at = encoding.position
        encoding.advance()
        count = encoding.position - at
        frequencies = state.model.net.frequencies[0, np.arange(count), text[at : at + count]]
        costs.append(FREQUENCY_BITS - np.log2(frequencies.astype(np.float64)))
    return np.concatenate(costs)


@dataclass(frozen=True)
class Task:
    """A text, and which of its bytes are asked before the context can tell and which after."""

    name: str
    text: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def score(self, costs: np.ndarray) -> dict[str, float]:
        """Bits per byte before and after, from the cost of each byte."""
        return {"before": float(costs[self.before].mean()), "after": float(costs[self.after].mean())}


class _Text:
    """A text in the making, whose bytes may be marked."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._marks: dict[str, list[int]] = {"before": [], "after": []}
        self._length = 0

    def add(self, part: np.ndarray | bytes, mark: str | None = None) -> None:
        part = np.frombuffer(part, np.uint8) if isinstance(part, bytes) else part
        if mark is not None:
            self._marks[mark].extend(range(self._length, self._length + len(part)))
        self._parts.append(part)
        self._length += len(part)

    def task(self, name: str) -> Task:
        marks = {mark: np.array(places) for mark, places in self._marks.items()}
        return Task(name, np.concatenate(self._parts), **marks)


def tasks(seed: int = 0, trials: int = TRIALS) -> list[Task]:
    """The three tasks, of letters drawn at random: the same for the same seed.

    repeat: letters, then the same letters again. recall: keys with values, then the keys in another order, whose
    values are asked. analogy: words beside what a rule makes of them (the same, backwards, in capitals), then another
    word; `before` is the first example's answer, when the rule is not yet known.
    """
    generator = np.random.Generator(np.random.PCG64(seed))

    def word(length: int = WORD) -> np.ndarray:
        return LETTERS[generator.integers(26, size=length)]

    repeat, recall, analogy = _Text(), _Text(), _Text()
    for _ in range(trials):
        shown = word(REPEATED)
        for mark in ("before", "after"):
            repeat.add(shown, mark)
            repeat.add(b"\n")
        pairs = [(word(), word()) for _ in range(PAIRS)]
        for mark, order in (("before", range(PAIRS)), ("after", generator.permutation(PAIRS))):
            for i in order:
                recall.add(pairs[i][0])
                recall.add(b"=")
                recall.add(pairs[i][1], mark)
                recall.add(b"\n")
        rule = RULES[generator.integers(len(RULES))]
        for example in range(EXAMPLES):
            given = word()
            analogy.add(given)
            analogy.add(b"=")
            analogy.add(rule(given), "before" if example == 0 else "after" if example == EXAMPLES - 1 else None)
            analogy.add(b"\n")
    return [repeat.task("repeat"), recall.task("recall"), analogy.task("analogy")]


def examine(state: Lockstep, seed: int = 0, trials: int = TRIALS) -> dict[str, dict[str, dict[str, float]]]:
    """Every task's scores, by task and by "frozen" or "learning"; the predictor is left as it was."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for task in tasks(seed, trials):
        result[task.name] = {}
        for way in ("frozen", "learning"):
            with aside(state, way == "frozen"):
                result[task.name][way] = task.score(byte_costs(state, task.text))
    return result
