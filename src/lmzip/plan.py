"""What each preset will take, said before it is run: a sample coded by the experts, and relations measured once.

Pieces spread over the file go through the real predictor of `fast`, in one run, so that its statistics grow as they
will in the file. Sizes are extrapolated along a power law, the other presets by what they took on test files relative
to `fast`: see dev/LOG.md, also for how far off that was.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np

from . import engine, limits, pack, presets
from .codec.message import Header
from .sender import is_incompressible, read_block

PIECE, PIECES = 1 << 16, 4  # bytes of a piece of the sample, and how many at most
BUDGET = 60.0  # seconds that `--preset auto` may take unless --time says otherwise
FRAME = 60  # bytes of a frame's head and its entry in the footer, about
ENDS = 120  # bytes of header and footer, about
OFF, OFF_WHOLE = 0.2, 0.02  # how far off sizes were on test files, as a share: nine of ten
LEARNING = 0.93  # a file k times as long takes k^LEARNING times the bits, about


@dataclass(frozen=True)
class Relation:
    """A preset beside `fast`: bytes and time as ratios, seconds to begin (imports, tables), measured."""

    bytes: float
    seconds: float
    start: float


RELATIONS = {
    "fast": Relation(1.0, 1.0, 1.0),
    "default": Relation(0.992, 8.0, 5.0),
    "max": Relation(0.985, 70.0, 7.0),
}


@dataclass(frozen=True)
class Sample:
    """Pieces of a file of `length` bytes, coded: bytes before and after, seconds that a byte took."""

    length: int
    taken: int
    coded: float
    pace: float

    @property
    def is_whole(self) -> bool:
        return self.taken == self.length

    @property
    def is_noise(self) -> bool:
        return self.coded >= self.taken


@dataclass(frozen=True)
class Estimate:
    """Of one preset: bytes of the archive, give or take `error`; seconds; bytes of memory at most."""

    preset: str
    archive: int
    error: int
    seconds: float
    memory: int


def pieces(source: BinaryIO, length: int) -> list[bytes]:
    """The file if it is short, else PIECES pieces from its beginning to its end. `source` is left where it was."""
    place = source.tell()
    try:
        if length <= PIECE * PIECES:
            return [read_block(source, length)]
        result = []
        for index in range(PIECES):
            source.seek(place + (length - PIECE) * index // (PIECES - 1))
            result.append(read_block(source, PIECE))
        return result
    finally:
        source.seek(place)


def sample(source: BinaryIO, length: int) -> Sample:
    """Code pieces of the source; takes a few seconds, and compiles the kernels of `fast` on a machine's first use."""
    parts = pieces(source, length)
    predictor = engine.lockstep(presets.header("fast"))
    begin = predictor.encode(np.zeros(256, np.uint8))  # loads the kernels, which is no part of the pace
    begin.advance()
    coded, seconds, timed = 0.0, 0.0, 0
    predictor = engine.lockstep(predictor.header)
    for part in parts:
        data = np.frombuffer(part, np.uint8)
        if is_incompressible(data):
            coded += len(data)
            predictor.skip(data)
            continue
        encoding = predictor.encode(data)
        start = time.perf_counter()
        while not encoding.done:
            encoding.advance(64)
        seconds += time.perf_counter() - start
        coded += encoding.nll / (8 << 20)
        timed += len(data)
    return Sample(length, sum(map(len, parts)), coded, seconds / timed if timed else 0.0)


def estimate(preset: str, header: Header, found: Sample, code: bool = True, processes: int = 1) -> Estimate:
    """What `preset`, with the settings of `header`, makes of the file that `found` is a sample of."""
    relation = RELATIONS[preset]
    frames = -(-found.length // header.frame_size)
    learnt = found.length / frames if frames and header.independent_frames else found.length
    grown = learnt / found.taken if found.taken else 1.0
    transcript = found.coded * found.length / max(learnt, 1)
    transcript *= grown if found.is_noise else grown**LEARNING * relation.bytes
    fixed = (len(pack.code(header)) if code else 0) + ENDS + frames * FRAME
    error = OFF_WHOLE if found.is_whole else OFF
    processes = max(1, min(processes, frames)) if header.independent_frames else 1
    return Estimate(
        preset=preset,
        archive=round(transcript + fixed),
        error=round(transcript * error),
        seconds=relation.start + found.length * found.pace * relation.seconds / processes,
        memory=processes * limits.memory(header),
    )


def best(estimates: list[Estimate], budget: float) -> Estimate:
    """The smallest archive that `budget` seconds allow; `fast`, the first, when they allow none."""
    return min((one for one in estimates if one.seconds <= budget), key=lambda one: one.archive, default=estimates[0])


def table(name: str, found: Sample, estimates: list[Estimate]) -> str:
    """The estimates as text."""
    from_ = "all of it" if found.is_whole else f"{found.taken:,} of them"
    rows = [f"{name}: {found.length:,} bytes; estimates from {from_} coded by `fast`, at this machine's present pace"]
    rows.append(f"{'preset':<10}{'archive':>15}{'error':>13}{'time':>12}{'memory':>13}")
    for one in estimates:
        rows.append(
            f"{one.preset:<10}{one.archive:>13,} B{'± ' + format(one.error, ','):>13}"
            f"{limits.readable_time(one.seconds):>12}{'≤ ' + format(one.memory // limits.MB, ','):>10} MB"
        )
    return "\n".join(rows)


def as_dict(found: Sample, estimates: list[Estimate]) -> dict[str, Any]:
    """The estimates for `lmzip plan --json`: bytes, bytes, seconds, bytes."""
    presets_ = {one.preset: {k: v for k, v in asdict(one).items() if k != "preset"} for one in estimates}
    return {"original": found.length, "sampled": found.taken, "presets": presets_}
