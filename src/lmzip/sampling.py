"""A file's size and pace from pieces of it.

Pieces spread over the file go through the predictor of `fast` in one run, so that its statistics grow as they will in
the file. More of them go through a few of its experts, which take a third of the time: how their code length grows
from some pieces to all tells how it would grow under all experts. Beyond the pieces the file is expected to grow as
it does under LZMA, less what statistics gain where copies gain nothing. See dev/LOG.md for how this was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from . import pace, presets
from .codec.message import Header
from .codec.settings import ExpertSettings
from .frames import is_incompressible
from .pieces import PIECE, PIECES, WHOLE, Clock, Run, pieces
from .session import Session

USUAL = 5.0  # seconds that a sample takes
FULL, LEAST, LEAST_FEW = 5, 4, 12  # pieces that all experts code, at least; and that the few do
FEW = sum(1 << context for context in (1, 2, 3, 5))  # contexts: orders 2 to 4, and the word
FULL_TIME, FEW_TIME = 0.4, 0.3  # shares of the time for the two
PART = 1 << 12  # bytes of a short file coded at once
DRIFTED, MOST_DRIFT = 1 << 12, 8.0  # bytes that tell how fast the machine is now; bounds of that
SCANNED = 1 << 22  # bytes that LZMA looks at
MODELLED, MODEL_TIME = 12 << 10, 0.3  # bytes coded with the language model at most, and share of the time
GROWTH = 0.92  # a text k times as long takes about k^GROWTH times the bits
COPIES, STATISTICS = 0.7, 0.065  # weight of LZMA's exponent beside that of the few, and what statistics gain beyond
OFF_WHOLE, OFF = 0.01, 0.08  # error of sizes that is to be expected where all is coded, where pieces are
DAMPED = 0.6  # what the few lack beside all grows on by so much of what it did


@dataclass(frozen=True)
class Relation:
    """The language model beside the experts alone: bytes as a ratio, at `taken` bytes; seconds it adds to a byte.

    noted: seconds that were noted for this machine.
    """

    bytes: float
    taken: int
    seconds: float
    noted: float


@dataclass(frozen=True)
class Sample:
    """Of a file of `length` bytes: `taken` bytes that `fast` codes in `coded`, and how that goes on.

    exponent: k times the length take k^exponent times the bytes. stored: the share of bytes that don't compress and are
    stored. pace, table: seconds of wall that the experts take for a byte, and for a MB of their tables; 0: nothing was
    coded. load: seconds of wall to one of CPU. model: what the language model does, if that was tried.
    """

    length: int
    taken: int
    coded: float
    exponent: float = GROWTH
    stored: float = 0.0
    pace: float = 0.0
    table: float = 0.0
    load: float = 1.0
    model: Relation | None = None

    @property
    def is_whole(self) -> bool:
        return self.taken == self.length

    def size(self, length: int) -> float:
        """Bytes that so many of the file take with `fast`: no more than themselves."""
        if not self.taken or not length:
            return float(length)
        return min(float(length), self.coded * (length / self.taken) ** self.exponent)

    def error(self, length: int) -> float:
        """The share by which that may be wrong: more where the sample was a small part of it."""
        away = abs(math.log(max(length, 1) / self.taken)) if self.taken and self.stored < 1 else 0.0
        return OFF_WHOLE if self.is_whole and not away else OFF + 0.04 * away


class Sampling:
    """What coding pieces of a source shows, in about `seconds` by `timer`; paces are by `clock`."""

    def __init__(
        self, source: BinaryIO, length: int, session: Session, clock: Clock, seconds: float, timer: Clock
    ) -> None:
        self.source, self.length, self.session, self.clock, self.seconds = source, length, session, clock, seconds
        self.timer = timer
        small = int(FULL_TIME * seconds / pace.assumed(presets.header("fast")).experts)
        self.pieces = pieces(source, length, min(PIECE, small // FULL), min(WHOLE, small))
        self.is_spread = len(self.pieces) > 1
        self.noise = [is_incompressible(np.frombuffer(piece, np.uint8)) for piece in self.pieces]
        if not self.is_spread:  # all of the file, in parts, as it may take longer than there is time for
            self.pieces = [piece[start : start + PART] for piece in self.pieces for start in range(0, length, PART)]

    def sample(self, header: Header) -> Sample:
        """Code pieces with the settings of `fast`, as many as there is time for."""
        if all(self.noise):
            return Sample(self.length, self.length, float(self.length), 1.0, stored=1.0)
        pace.load(header, self.session)
        full, time = Run(self.session.lockstep(header), self.clock), FULL_TIME * self.seconds
        self._code(full, time, LEAST, lambda: self.is_spread and len(full.lengths) >= FULL and not full.is_sampled)
        in_frames = self.length > header.frame_size  # each of which is stored or coded as a whole
        stored = sum(self.noise) / len(self.noise) if in_frames else 0.0
        known = Sample(self.length, self._taken(len(full.lengths)), full.coded, stored=stored)
        table = full.growth / max(1.0, pace.tables(header, known.taken))
        known = replace(known, pace=full.pace, table=table, load=full.load)
        if known.is_whole:
            return known
        if full.is_sampled:
            return replace(known, exponent=min(1.0, self.copies(len(full.lengths)) - STATISTICS / 2))
        return self._extended(known, full, header)

    def _code(self, run: Run, time: float, least: int, enough: Callable[[], bool] = bool) -> None:
        """Code pieces until time is up or `enough`; `least` of them if they don't take more than twice that."""
        began = self.timer()
        for piece in self.pieces:
            run.code(piece)
            spent = self.timer() - began - run.loaded
            if enough() or spent > 2 * time or (spent > time and len(run.lengths) >= least):
                break

    def _taken(self, count: int) -> int:
        return sum(map(len, self.pieces[:count]))

    def _extended(self, known: Sample, full: Run, header: Header) -> Sample:
        """The sample, as if all experts had coded what the few do."""
        settings = ExpertSettings(contexts=FEW)
        state = self.session.lockstep(replace(header, experts=settings))
        few = Run(state, self.clock)
        self._code(few, FEW_TIME * self.seconds, max(len(full.lengths), LEAST_FEW))
        both, covered, drift = len(full.lengths), len(few.lengths), 0.0
        if covered <= both:
            return replace(known, exponent=self._exponent(full))
        if both >= 4:
            shares = [full.lengths[count - 1] / few.lengths[count - 1] for count in (both // 2, both)]
            drift = DAMPED * min(0.0, math.log(shares[1] / shares[0]) / math.log(both / (both // 2)))
        coded = few.coded * full.coded / few.lengths[both - 1] * (covered / both) ** drift
        return replace(known, taken=self._taken(covered), coded=coded, exponent=self._exponent(few, drift))

    def _exponent(self, run: Run, drift: float = 0.0) -> float:
        """The exponent by which the file grows beyond what a run has coded."""
        covered, own = len(run.lengths), GROWTH
        if covered > 1:
            early = max(1, covered // 4)
            own = math.log(run.coded / run.lengths[early - 1]) / math.log(covered / early)
        exponent = COPIES * (self.copies(covered) - STATISTICS) + (1 - COPIES) * own + drift
        return min(1.0, max(0.4, exponent))

    def drift(self, header: Header, noted: float) -> float:
        """How many times slower than noted the machine is at present: other work, the cores and caches it shares."""
        run = Run(self.session.of_worker().fresh(replace(header, prior=None)), self.clock)
        run.code(pace.text()[:DRIFTED])
        return min(MOST_DRIFT, max(1 / MOST_DRIFT, run.pace / noted)) if noted else 1.0

    def copies(self, covered: int) -> float:
        """The exponent by which the first pieces grow under LZMA when they are longer, up to the whole file."""
        scanned = int(SCANNED * min(1.0, self.seconds / USUAL))
        longer = pieces(self.source, self.length, scanned // PIECES, scanned)
        short, long = b"".join(self.pieces[:covered]), b"".join(longer)
        if len(long) < 1.05 * len(short):
            return GROWTH + STATISTICS
        try:
            import lzma  # platform: some builds of Python lack it
        except ImportError:
            return GROWTH + STATISTICS
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": SCANNED}]
        sizes = [len(lzma.compress(data, lzma.FORMAT_RAW, filters=filters)) for data in (short, long)]
        return math.log(sizes[1] / sizes[0]) / math.log(len(long) / len(short))

    def relation(self, fast: Header, header: Header, cost: pace.Pace) -> Relation:
        """Code a bit with the language model too: of the file's beginning and of another piece."""
        most = int(MODEL_TIME * self.seconds / (cost.model + 2 * cost.experts)) if cost.model else MODELLED
        data = b"".join(self.pieces[:1] + self.pieces[-1:]) if len(self.pieces) > 1 else self.pieces[0]
        half = max(1, min(MODELLED, max(1 << 10, most), len(data)) // 2)
        data = data[:half] + data[len(data) - half :]
        alone, both = (Run(self.session.lockstep(one), self.clock) for one in (fast, header))
        alone.code(data)
        both.code(data)
        return Relation(both.coded / alone.coded, len(data), max(0.0, both.pace - alone.pace), cost.model)
