"""How long coding takes on this machine: measured once for each kind of work, in under a second, and remembered.

Time is a sum: to begin, so much a byte for the experts, so much a byte for the language model, so much a frame. The
model's part is the same whatever the data; the experts' differs by the kind of data, so where the source is at hand
pieces of it are coded. What is remembered is CPU time of one thread, of a machine, a device and a code.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
import platform
import time
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from statistics import median
from typing import BinaryIO

import numpy as np

from . import session as sessions
from .codec import cache
from .codec.message import Header
from .frames import is_incompressible
from .pieces import Clock, Run, pieces
from .predictor import completed
from .session import Session

VERSION = 1  # of what is noted
SHORT = 5.0  # seconds: work that the table below expects to take less is not measured
SAMPLE, MODELLED = 20 << 10, 3 << 10  # bytes of text that paces are measured on, with the language model
GROUP = 256  # bytes of those timed at once
FRAME, TABLE = 0.03, 1e-3  # seconds for the digests of a frame and of the state behind it; for a MB of tables
SHARED = 0.7  # of the time of one thread that two take, at least
START, TORCH = 0.6, 2.4  # seconds until the first byte is coded: Python and numba; torch too
PRIOR = 5e-12  # seconds for an operation of a pretrained model, as `prior_work` counts them
# Microseconds a byte on a Zen 3 of 2.4 GHz, without VNNI: what is assumed before anything is measured
EXPERTS, MODEL = 0.4, (30.0, 0.1)  # for each context; for each byte and for each 1,000 weights trained


@dataclass(frozen=True)
class Pace:
    """Seconds: to begin, for a byte by the experts and by the model, for a frame, for a MB of the experts' tables."""

    start: float
    experts: float
    model: float
    frame: float = FRAME
    table: float = TABLE

    def seconds(self, length: int, header: Header, session: Session) -> float:
        """For `length` bytes.

        Two threads share a frame between experts and model to encode; independent frames go to as many processes.
        """
        frames = -(-length // header.frame_size)
        processes = session.processes(header, length)
        byte = self.experts + self.model
        if session.threads > 1 and processes == 1 and self.model and self.experts and not header.independent_frames:
            byte = max(self.experts, self.model, SHARED * byte)
        fresh = frames if header.independent_frames else min(frames, 1)
        grown = self.table * tables(header, min(length, header.frame_size) if header.independent_frames else length)
        return self.start + (length * byte + frames * self.frame + fresh * grown) / processes

    def times(self, load: float) -> Pace:
        """The same where all takes so many times as long."""
        return Pace(*(load * part for part in astuple(self)))


def tables(header: Header, length: int) -> float:
    """MB of the experts' tables that `length` bytes use: 128 slots of 64 bytes for each, up to the header's most."""
    return min(header.experts.slots << 10, 128 * length) * 64 / 1e6 if header.experts else 0.0


def assumed(header: Header, prior_work: int = 0) -> Pace:
    """The pace of a header before anything is measured."""
    experts = EXPERTS * header.experts.contexts.bit_count() if header.experts else 0.0
    model = 0.0
    if settings := header.model:
        weights = settings.layers * settings.width * (4 * settings.width + 2 * settings.hidden) + 256 * settings.width
        together = header.streams * header.segment
        model = (MODEL[0] + MODEL[1] * weights / 1000 * (1 + 32 / together)) * (1 + header.replay)
    torch = TORCH if header.model or prior_work else 0.0
    return Pace(START + torch, experts / 1e6, model / 1e6 + PRIOR * prior_work)


class Notebook:
    """What was measured on this machine with this code: a small file, of which nothing is lost but a second."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, key: str) -> Pace | None:
        """The pace that was noted under this key; None: none, or it can't be read."""
        try:
            pace = Pace(*map(float, json.loads(self.path.read_text())[key]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pace if all(0 <= part < math.inf for part in astuple(pace)) else None

    def write(self, key: str, pace: Pace) -> None:
        """Note a pace; where that can't be done it is measured again."""
        noted = None
        with contextlib.suppress(OSError, ValueError):
            noted = json.loads(self.path.read_text())
        with contextlib.suppress(OSError):
            temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            temporary.write_text(json.dumps((noted if isinstance(noted, dict) else {}) | {key: astuple(pace)}))
            os.replace(temporary, self.path)


@functools.cache
def notebook() -> Notebook:
    """The notebook of this machine and code."""
    name = hashlib.blake2b(repr((VERSION, cache.source_digest(), processor())).encode(), digest_size=12).hexdigest()
    return Notebook(Path(cache.private_folder("pace")) / f"{name}.json")


def processor() -> tuple[str, ...]:
    """What tells one machine from another: name, instructions, cores."""
    lines: list[str] = []
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as file:
        lines = [line for line in file.read().split("\n\n")[0].splitlines() if line.startswith(("model name", "flags"))]
    return (*lines, platform.machine(), platform.processor(), str(os.cpu_count()))


def of(header: Header, session: Session, *, decoding: bool = False, notes: Notebook | None = None) -> Pace:
    """The pace of work with this header, from the notebook, else measured: a second, and whatever has to be loaded."""
    if (pace := noted(header, session, notes, decoding)) is None:
        pace = measured(header, session, decoding=decoding)
        (notes or notebook()).write(key(header, session, decoding), pace)
    return pace


def noted(header: Header, session: Session, notes: Notebook | None = None, decoding: bool = False) -> Pace | None:
    """The pace of work with this header if it has been measured."""
    return (notes or notebook()).read(key(header, session, decoding))


def key(header: Header, session: Session, decoding: bool) -> str:
    """All that decides on a pace, and nothing else."""
    prior = session.knowledge(header)
    plain = replace(
        header, seed=0, independent_frames=False, frame_size=header.streams * header.segment,
        prior=header.prior if prior is not None and prior.work else None,
    )  # fmt: skip
    what = f"decode {session.device}" if decoding else f"encode {session.device}"
    return f"{what} {_kind(header, session)} {plain.pack().hex()}"


def _kind(header: Header, session: Session) -> str:
    kind = sessions.lockstep_class()
    return f"{kind.__module__}.{kind.__qualname__}"


def text() -> bytes:
    """What paces are measured on: SAMPLE bytes of the codec's own source."""
    return b"".join(path.read_bytes() for path in sorted(Path(cache.FOLDER).glob("*.py")))[:SAMPLE]


def measured(header: Header, session: Session, *, decoding: bool = False, clock: Clock = time.process_time) -> Pace:
    """Code a bit of text. Kernels not compiled yet are compiled first, which is no part of any pace."""
    data, alone, experts, table = text(), session.of_worker(), 0.0, TABLE
    if header.experts is not None:
        plain = _experts_alone(header)
        load(plain, alone)
        run = Run(alone.fresh(plain), clock)
        run.code(data)
        experts, table = run.pace, run.growth / max(1.0, tables(plain, len(data)))
    prior = session.knowledge(header)
    if header.model is None and not (prior and prior.work):
        return Pace(START, experts, 0.0, FRAME, table)
    new = session.lockstep if prior and prior.work else alone.fresh
    together = header.streams * header.segment
    data = data[: max(MODELLED, 32 * together) // together * together]
    frames = [np.zeros(2 * together, np.uint8), np.frombuffer(data, np.uint8)]
    state = new(header)
    first = completed(state.encode(frames[0]))  # loads torch and kernels, which TORCH stands for
    if decoding:
        transcripts = [np.frombuffer(one.finish(), np.uint8) for one in (first, completed(state.encode(frames[1])))]
        state = new(header)
        completed(state.decode(transcripts[0], len(frames[0])))
        coding = state.decode(transcripts[1], len(data))
    else:
        coding = state.encode(frames[1])
    began = clock()
    paces, step = [], max(1, GROUP // together)
    while not coding.done:
        before, now = coding.position, clock()
        coding.advance(step)
        paces.append((clock() - now) / (coding.position - before))
    both = median(paces[len(paces) // 2 :])  # tables are touched first, kernels loaded, and none of that is a pace
    start = max(0.0, clock() - began - both * len(data))
    return Pace(START + TORCH + start, experts, max(0.0, both - experts), FRAME, table)


def _experts_alone(header: Header) -> Header:
    """The header without a model of either kind, of which alone there are several streams."""
    return replace(header, model=None, prior=None, streams=1)


def load(header: Header, session: Session) -> None:
    """Have the kernels of a header in memory, compiled if need be."""
    completed(session.fresh(replace(header, prior=None)).encode(np.zeros(256, np.uint8)))


def assumed_seconds(header: Header, length: int, session: Session) -> float:
    """Seconds before anything is measured, of length bytes."""
    prior = session.knowledge(header)
    return assumed(header, prior.work if prior else 0).seconds(length, header, session)


def seconds(
    header: Header,
    length: int,
    session: Session,
    *,
    decoding: bool = False,
    source: BinaryIO | None = None,
    notes: Notebook | None = None,
) -> float:
    """Seconds by the clock that coding `length` bytes takes from the start of the program.

    Work that is expected to be SHORT is not measured; else the pace is this machine's. `source`: of the bytes to be
    encoded; of a few of them the experts' pace is taken, as it differs with the data.
    """
    if (short := assumed_seconds(header, length, session)) < SHORT:
        return short
    pace = of(header, session, decoding=decoding, notes=notes)
    if source is not None and header.experts is not None:
        run = Run(session.of_worker().fresh(_experts_alone(header)), time.perf_counter)
        for piece in pieces(source, length, SAMPLE // 6, 0)[:6]:
            if not is_incompressible(np.frombuffer(piece, np.uint8)):
                run.code(piece)
        if run.paces:
            pace = replace(pace.times(run.load), experts=run.pace)
    return pace.seconds(length, header, session)
