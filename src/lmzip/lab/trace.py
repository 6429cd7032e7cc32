"""What every byte costs: the very loop that codes an archive, with notes taken on the way.

`trace` makes the archive, to the last byte as `lmzip encode` does, and keeps beside it, for each byte of the original,
the code length under the mix, the experts alone and the language model alone; how often events came of which
probability was coded; and how well the model alone does with a context of k bytes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np

from .. import pack
from ..codec import coder, lockstep
from ..codec.message import CODED, NLL_BITS, Header
from ..codec.mixer import BITS
from ..codec.symbols import FREQUENCY_BITS
from ..frames import Coded
from ..ledger import Ledger
from ..progress import Watch
from ..sender import Sender
from ..session import DeferredPredictor, Session
from . import notes

UNIT = 1 / (1 << NLL_BITS)  # bits: what code lengths are counted in
PARTS = ("mix", "experts", "model")  # columns of costs, by the names that the ledger has
BUCKETS = 56  # of log-odds, half a nat wide


class Calibration:
    """Events by the probability that was given to them: how many, how probable on average, how many came true.

    Buckets have a width of half a nat of log-odds and are centred at zero.
    """

    def __init__(self) -> None:
        self.count = np.zeros(BUCKETS)
        self.expected = np.zeros(BUCKETS)
        self.came = np.zeros(BUCKETS)

    def add(self, probability: np.ndarray, came: np.ndarray) -> None:
        """float64[n] in (0, 1) and whether each event came, bool[n]."""
        odds = np.log(probability / (1 - probability))
        bucket = np.clip(np.floor(2 * odds) + BUCKETS // 2, 0, BUCKETS - 1).astype(np.int64)
        self.count += np.bincount(bucket, minlength=BUCKETS)
        self.expected += np.bincount(bucket, probability, BUCKETS)
        self.came += np.bincount(bucket, came, BUCKETS)

    def rows(self) -> list[dict[str, float]]:
        """Buckets that are not empty: events, mean probability, share that came, its 95 % interval (Wilson)."""
        rows = []
        for n, expected, came in zip(self.count, self.expected, self.came, strict=True):
            if n:
                p, z = came / n, 1.96
                middle, root = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
                low, high = ((middle + sign * root) / (1 + z * z / n) for sign in (-1, 1))
                rows.append(
                    {"events": int(n), "predicted": expected / n, "observed": p, "low": max(low, 0.0), "high": high}
                )
        return rows

    def error(self) -> float:
        """Expected calibration error: the mean distance of what came from what was said."""
        return float(abs(self.expected - self.came).sum() / max(1, self.count.sum()))

    def excess(self) -> float:
        """Bits that saying each bucket's own share would have saved, had it been known: what miscalibration cost."""
        n = np.maximum(self.count, 1)
        said, came = self.expected / n, self.came / n
        with np.errstate(divide="ignore", invalid="ignore"):
            bits = np.nan_to_num(came * np.log2(came / said)) + np.nan_to_num(
                (1 - came) * np.log2((1 - came) / (1 - said))
            )
        return float((self.count * bits).sum())


class Probe:
    """The model's loss when it sees k bytes of context: it begins with empty caches at places spread over the data.

    Its own caches are put aside meanwhile, so what is coded and learnt stays the same. The bytes are still to come, and
    the weights those of the moment: predictions like the others, but for the context cut short.
    """

    def __init__(self, every: int, length: int) -> None:
        """Every so many bytes, `length` bytes (whole segments) ahead."""
        self.every, self.next = every, every
        self.bits = np.zeros(length)
        self.squares = np.zeros(length)
        self.count = 0

    def look(self, state: lockstep.Lockstep, at: int, ahead: np.ndarray) -> None:
        """The state stands before position `at`, between two segments; `ahead` is to come."""
        length = len(self.bits)
        if at < self.next or len(ahead) < length:
            return
        self.next = at + self.every
        model, segment, place = state.model, state.header.segment, np.array([at])
        assert model is not None
        kept, past, before = model.caches, int(model.past[0]), state.take(at, length)
        model.caches, model.past[0] = model.fresh_caches(), 0
        state.put(at, ahead[:length])
        lengths = np.zeros(length, np.int64)
        for start in range(0, length, segment):
            frequencies = model.predict_segment(state.history, place, place + start, segment)
            notes.code_lengths(frequencies[0], state.history, at + start, lengths[start : start + segment])
            model.advance(segment)
        model.caches, model.past[0] = kept, past
        state.put(at, before)
        self.bits += lengths * UNIT
        self.squares += (lengths * UNIT) ** 2
        self.count += 1

    def rows(self) -> list[dict[str, float]]:
        """Mean loss by the bytes of context, with its standard error."""
        if self.count < 2:
            return []
        mean = self.bits / self.count
        error = np.sqrt(np.maximum(self.squares / self.count - mean**2, 0) / (self.count - 1))
        return [
            {"context": k, "bits": float(m), "error": float(e)}
            for k, (m, e) in enumerate(zip(mean, error, strict=True))
        ]


class Noting(lockstep.Encoding):
    """A frame on its way into the very transcript it would have anyhow; `costs[i]` by PARTS, uint32 in 2^-20 bit."""

    def __init__(self, state: lockstep.Lockstep, data: np.ndarray, trace: Trace) -> None:
        """Raises ValueError for several streams."""
        super().__init__(state, data)
        if state.streams > 1:
            raise ValueError("costs are traced of a single stream")
        self.trace, segment = trace, state.segment
        self.costs = np.zeros((len(data), len(PARTS)), np.uint32)
        self._state = np.concatenate((coder.encoder(), np.zeros(1 + 9 * segment, np.uint64)))
        if state.experts is not None:
            tree = np.zeros(notes.TREE + 1 + 3 * segment, np.int64)
            state.experts.state = state.experts.state._replace(tree=tree)

    def _code(self, begin: np.ndarray, position: np.ndarray, first: int, count: int) -> int:
        here, at = self.lockstep, int(position[0])
        if self.trace.probe is not None and count == here.segment:
            self.trace.probe.look(here, at, self._data[at - self._start :])
        length = super()._code(begin, position, first, count)
        if here.experts is None and here.model is not None:
            rows = here.model.net.frequencies[0, :count]
            lengths = np.zeros(count, np.int64)
            notes.code_lengths(rows, here.history, at, lengths)
            self.costs[at - self._start :][:count] = lengths[:, None] * (True, False, True)
            self._look_at_model(rows, at)
        return length

    def _mix(self, at: int, count: int, frequencies: np.ndarray) -> int:
        experts, history = self.lockstep.experts, self.lockstep.history
        assert experts is not None
        self._make_room(count)
        before, numbers = experts.state.ledger[:3].copy(), experts.begin(history, at, count)
        arguments = (history, at, at + count, frequencies, self._state, self._message, False, numbers)
        notes.noting_segment()(experts.state, *arguments)
        ledgers = np.vstack((before, notes.ledgers(experts.state.tree)))
        self.costs[at - self._start :][:count] = np.diff(ledgers, axis=0)
        ones, came = notes.decisions(self._state)
        self.trace.coded.add(ones / (1 << BITS), came)
        if len(frequencies):
            self._look_at_model(frequencies, at)
        return int(ledgers[-1, 0] - before[0])

    def _look_at_model(self, frequencies: np.ndarray, at: int) -> None:
        """How sure is the model of the byte it finds likeliest, and is it right?"""
        likeliest = frequencies.argmax(1)
        sure = np.minimum(frequencies.max(1) / (1 << FREQUENCY_BITS), 1 - 2.0**-FREQUENCY_BITS)
        self.trace.model.add(sure, likeliest == self.lockstep.take(at, len(frequencies)))


class _Predictor(DeferredPredictor):
    """A predictor whose encodings take notes."""

    def __init__(self, session: Session, header: Header, trace: Trace) -> None:
        super().__init__(session, header)
        self.trace = trace
        self.encoding: Noting | None = None

    def encode(self, data: np.ndarray) -> Noting:
        self.encoding = Noting(self.whole(), data, self.trace)
        return self.encoding


class _Sender(Sender):
    """A sender that tells the trace of every frame."""

    def __init__(
        self, sink: BinaryIO, header: Header, code: bytes, watch: Watch, trace: Trace, session: Session
    ) -> None:
        super().__init__(sink, header, code, watch, session=session)
        self.predictor: Any = _Predictor(session, header, trace)
        self.trace = trace

    def add(self, coded: Coded) -> None:
        super().add(coded)
        frame = coded.frame
        costs = np.zeros((frame.length, len(PARTS)), np.uint32)
        if frame.kind == CODED:
            costs = self.predictor.encoding.costs
        else:  # bytes that are stored cost 8 bits each; of one that is repeated, the first
            costs[: frame.size] = 8 << NLL_BITS
        self.trace.frames.append(costs)
        self.trace.frame_nll.append((frame.length, frame.nll))


@dataclass
class Trace:
    """What coding some data told. Code lengths are in 2^-20 bit; their sum is the archive's, to the last unit."""

    header: Header
    data: bytes
    ledger: Ledger | None = None
    coded: Calibration = field(default_factory=Calibration)  # of the binary decisions, each coded with its probability
    model: Calibration = field(default_factory=Calibration)  # of the byte that the language model finds likeliest
    probe: Probe | None = None
    frames: list[np.ndarray] = field(default_factory=list)
    frame_nll: list[tuple[int, int]] = field(default_factory=list)

    @cached_property
    def costs(self) -> np.ndarray:
        """uint32[n, 3], by PARTS."""
        return np.concatenate(self.frames) if self.frames else np.zeros((0, len(PARTS)), np.uint32)

    @property
    def parts(self) -> tuple[str, ...]:
        """Which of PARTS there are."""
        if self.header.experts is None:
            return ("mix",)
        return PARTS if self.header.model is not None else ("mix",)

    def sums(self, width: int) -> np.ndarray:
        """Code lengths of pieces of `width` bytes, the last perhaps shorter, int64[pieces, 3]."""
        costs = self.costs
        return np.add.reduceat(costs, np.arange(0, len(costs), width), axis=0, dtype=np.int64) if len(costs) else costs


def trace(
    data: bytes,
    header: Header,
    session: Session,
    *,
    probes: int = 256,
    code: bool = True,
    watch: Watch | None = None,
    sink: BinaryIO | None = None,
) -> Trace:
    """Code `data` as `lmzip encode` does, archive to `sink`, and note what every byte costs.

    probes: how many contexts are cut short to see what their length is worth to the model; 0: none. Raises ValueError
    for independent frames.
    """
    if header.independent_frames:
        raise ValueError("costs are traced where frames depend on each other")
    result = Trace(header, data)
    if header.model is not None and probes:
        length = max(2 * header.model.window, header.segment)
        result.probe = Probe(max(header.segment, len(data) // probes), length)
    sender = _Sender(
        sink or io.BytesIO(), header, pack.code(header) if code else b"", watch or Watch(), result, session
    )
    result.ledger = sender.run(io.BytesIO(data))
    return result
