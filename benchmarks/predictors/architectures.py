"""Architectures to compare in the codec's own harness: its loop, coder, experts, mixer and arithmetic, another model.

A `Bench` is a `Lockstep` in which one of these stands where the codec's model and learner stand:

- transformer: the codec's own, bit for bit; or without its hashed n-gram tables
- lstm: stacked, the same embeddings and head (lstm.py); or without the tables
- tables: the n-gram tables and the head, no trunk

Each with the experts or without. Transcripts are made and read back in memory; they are no format, and `lmzip encode`
knows nothing of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lmzip.codec.experts import MIX, Experts, _code_segment
from lmzip.codec.learner import RATE, Learner, train
from lmzip.codec.lockstep import Decoding, Lockstep
from lmzip.codec.message import Header
from lmzip.codec.model import Cache, Model, forward
from lmzip.codec.product import Products
from lmzip.codec.settings import ExpertSettings, ModelSettings
from lmzip.codec.symbols import FREQUENCY_BITS
from lmzip.predictor import completed

from .lstm import Lstm, LstmLearner, LstmSettings, rates
from .positions import ByPosition

# Of the trunk and head at width 128, the best of 1, 2, 4 and 8 times the codec's on 150 KB of text; at other widths
# they go by 1 / width, after muP (Yang et al. 2021), the LSTM's no higher. docs/experiments.md has what was tried.
RATES = {"transformer": 2 * RATE, "lstm": 4 * RATE, "tables": 4 * RATE}


@dataclass(frozen=True)
class Architecture:
    """A language model to measure. Trunks of one kind or the other have as many weights at the same width and depth:
    6 · width² a layer, for a transformer's layer is as wide as the model and an LSTM has 3/4 · width cells."""

    kind: str = "transformer"
    width: int = 128
    layers: int = 1
    window: int = 64  # of the transformer's attention
    tables: bool = True  # hashed n-gram tables
    table_bits: int = 17
    rate: float = 0.0  # of the trunk's optimiser; 0: the best found for the kind

    def __post_init__(self) -> None:
        if self.kind not in RATES:
            raise ValueError(f"there is no architecture {self.kind!r}; there are {', '.join(RATES)}")
        if self.kind == "tables" and not self.tables:
            raise ValueError("n-gram tables alone, without them, are nothing")

    @property
    def name(self) -> str:
        if self.kind == "tables":
            return "n-gram tables alone"
        kind = "LSTM" if self.kind == "lstm" else "transformer"
        return kind if self.tables else f"{kind}, no tables"

    @property
    def trunk(self) -> int:
        """Weights of the layers' matrices: N of the scaling laws."""
        return 0 if self.kind == "tables" else 6 * self.width**2 * self.layers

    @property
    def head(self) -> int:
        """Weights of the head, and of the bytes' embedding."""
        return 2 * 256 * self.width

    @property
    def table_weights(self) -> int:
        """Room in the hashed tables."""
        return 5 * (self.width << self.table_bits) if self.tables else 0

    @property
    def trunk_rate(self) -> float:
        """The optimiser's, for all but the embeddings."""
        wider = self.width / 128
        return self.rate or RATES[self.kind] / (max(1, wider) if self.kind == "lstm" else wider)

    def build(self, streams: int, segment: int, seed: int, products: Products) -> tuple[Any, Any]:
        """The model and what trains it."""
        rate = self.trunk_rate
        bits = self.table_bits if self.tables else ModelSettings.LIMITS["table_bits"][0]
        if self.kind == "transformer":
            heads = max(2, self.width // 64)
            settings = ModelSettings(self.layers, self.width, heads, self.width, self.window, bits)
            model = Transformer(settings, streams, segment, seed, products, self.tables)
            return model, TransformerLearner(model, products, seed, rate)
        layers = self.layers if self.kind == "lstm" else 0
        cells = 3 * self.width // 4
        lstm = LstmSettings(layers, self.width, cells, bits, self.tables, rate)
        return (made := Lstm(lstm, streams, segment, seed, products)), LstmLearner(made, products)


class Transformer(ByPosition, Model):
    """The codec's model, which can go without its tables."""

    def __init__(
        self, settings: ModelSettings, streams: int, segment: int, seed: int, products: Products, tables: bool
    ) -> None:
        Model.__init__(self, settings, streams, segment, seed, products)
        self.tables, self.table_bits = tables, settings.table_bits

    def predict_segment(self, history: np.ndarray, begin: np.ndarray, position: np.ndarray, count: int) -> np.ndarray:
        self.find_contexts(history, begin, position, 0, count)
        self.predict(self.caches, int(self.past[0]))
        return self.net.frequencies[:, :count]

    def predict_position(self, history: np.ndarray, begin: np.ndarray, position: np.ndarray, t: int) -> np.ndarray:
        self.find_contexts(history, begin, position, t, t + 1)
        forward(self.net, self.caches, int(self.past[0]), t, t + 1, np.int64(0))
        return self.net.frequencies


class TransformerLearner(Learner):
    """The codec's training step, without replay; with the codec's rate, the same bits."""

    model: Transformer

    def __init__(self, model: Transformer, products: Products, seed: int, rate: float) -> None:
        super().__init__(model, products, 0, seed)
        self.rate = rate

    def _step(self, history: np.ndarray, at: np.ndarray, now: np.ndarray, caches: tuple[Cache, ...]) -> None:
        found = rates(self.decays, self.steps, int(now[0]), self.rate)
        self.products.run(train, self.model.net, caches, self.gradients, history, at, *found)
        self.model.forget_rows(self.model.net.tables, self.gradients.squares)


class Bench(Lockstep):
    """The codec's loop around another language model.

    `model` and `learner` may be any objects with the methods that `Lockstep` calls on its own, and `predict_position`.
    """

    def __init__(self, header: Header, model: Any, learner: Any = None) -> None:
        super().__init__(replace(header, model=None, experts=None))
        self.header, self.model, self.learner = header, model, learner
        if header.experts is not None:
            if header.streams > 1:
                raise ValueError("experts code a single stream")
            self.experts = Experts(header.experts, True)

    def decode(self, transcript: np.ndarray, length: int) -> Decoding:
        return BenchDecoding(self, transcript, length)


class BenchDecoding(Decoding):
    """Where model and experts predict together, the model is asked position by position."""

    def _code(self, begin: np.ndarray, position: np.ndarray, first: int, count: int) -> int:
        here = self.lockstep
        model: Any = here.model
        if here.experts is None:
            return super()._code(begin, position, first, count)
        state, at, before = here.experts.state, int(position[0]), int(here.experts.state.ledger[MIX])
        numbers = here.experts.begin(here.history, at, count)  # once a segment, as the sender does
        for t in range(count):
            row = model.predict_position(here.history, begin, position, t)[0, t : t + 1]
            _code_segment(state, here.history, at + t, at + t + 1, row, self._state, self._message, True, numbers)
        self.data[at - self._start : at - self._start + count] = here.take(at, count)
        return int(state.ledger[MIX]) - before


def bench(
    architecture: Architecture,
    experts: ExpertSettings | None = None,
    *,
    segment: int = 32,
    streams: int = 1,
    seed: int = 0,
    products: str | None = None,
) -> Bench:
    """A predictor at its beginning."""
    header = Header(seed=seed, streams=streams, segment=segment, frame_size=segment * streams, experts=experts)
    return Bench(header, *architecture.build(streams, segment, seed, Products(products)))


def code(state: Lockstep, data: bytes) -> tuple[bytes, int]:
    """The transcript of one frame, and its code length in 2^-20 bit."""
    encoding = completed(state.encode(np.frombuffer(data, np.uint8)))
    return encoding.finish(), encoding.nll


def decode(state: Lockstep, transcript: bytes, length: int) -> bytes:
    """What a transcript stands for, by a predictor at its beginning."""
    return completed(state.decode(np.frombuffer(transcript, np.uint8), length)).finish().tobytes()


def lengths_by_distance(
    state: Lockstep, data: np.ndarray, start: int, pieces: int, reach: int, reset: bool = True
) -> np.ndarray:
    """Bits that bytes cost by their distance from where the model forgot all context, float64 [pieces, reach].

    `state` has learnt what it has learnt, data[:start] it may be, and learns nothing more; piece k is
    data[start + k · reach …], and before it the model's memory of positions is emptied. No byte before the piece is
    seen, not by the n-gram tables either. Without `reset` the same bytes cost what they do with all that was before
    them. The state can't go on coding after this.
    """
    model: Any = state.model
    if state.streams != 1 or reach % state.segment:
        raise ValueError("takes one stream, and whole segments")
    found = np.zeros((pieces, reach))
    state.history[: len(data)] = data
    targets = data[start : start + pieces * reach].reshape(pieces, -1, state.segment)
    at = np.arange(state.segment)
    for piece in range(pieces):
        position = np.array([start + piece * reach])
        begin = position.copy() if reset else np.zeros(1, np.int64)
        if reset:
            model.forget()
        for number in range(reach // state.segment):
            first = number * state.segment
            rows = model.predict_segment(state.history, begin, position + first, state.segment)[0]
            found[piece, first : first + state.segment] = FREQUENCY_BITS - np.log2(rows[at, targets[piece, number]])
            model.advance(state.segment)
    return found
