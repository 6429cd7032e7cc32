"""What each preset will take, said before it is run: a sample coded by the experts, and relations measured once.

Pieces spread over the file go through the real predictor of `fast`, in one run, so that its statistics grow as they
will in the file. Sizes are extrapolated along a power law, the other presets by what they took on test files relative
to `fast`: see dev/LOG.md, also for how far off that was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import numpy as np

from . import limits, pack, presets
from .codec.message import NLL_BITS, Header
from .frames import is_incompressible, read_block
from .predictor import completed
from .session import Session

PIECE, PIECES = 1 << 14, 16  # bytes of a piece of the sample, and how many at most
ORDER = (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)  # so that the first few are spread as well as all are
BUDGET = 60.0  # seconds that `--preset auto` may take unless --time says otherwise
FRAME, ENDS = 38, 65  # bytes of container: for each frame, and of header and footer, about
GROWTH = 0.92  # a text k times as long takes about k^GROWTH times the bits
OFF, OFF_WHOLE = 0.1, 0.01  # error of sizes that is to be expected even of files as regular as that


@dataclass(frozen=True)
class Relation:
    """A preset beside `fast`: bytes and time as ratios, seconds to begin (imports, tables), measured.

    Times are of a processor with VNNI (or the like) at rest. Beside other work the language model took up to 3.7 times
    the time of `fast`, and without such instructions 7 times.
    """

    bytes: float
    seconds: float
    start: float


RELATIONS = {
    "fast": Relation(1.0, 1.0, 0.6),
    "default": Relation(0.992, 2.6, 3.0),
    "max": Relation(0.99, 4.3, 3.5),
}


@dataclass(frozen=True)
class Sample:
    """Pieces of a file of `length` bytes: bytes before and after coding, seconds that a byte took.

    `early` bytes are what the first quarter of the pieces was coded in.
    """

    length: int
    taken: int
    coded: float
    early: float
    pace: float

    @property
    def is_whole(self) -> bool:
        return self.taken == self.length

    @property
    def is_noise(self) -> bool:
        return self.coded >= self.taken

    def slope(self) -> float:
        """The exponent by which this sample grew while it was coded: well below 1 where much comes again."""
        return min(max(math.log2(self.coded / self.early) / 2, 0.5), 1.0) if 0 < self.early < self.coded else GROWTH

    def grown(self, length: int) -> tuple[float, float]:
        """Bytes that so much of the file takes with `fast`, and by which share that may be wrong."""
        times = length / self.taken if self.taken else 1.0
        if self.is_noise:
            return self.coded * times, OFF_WHOLE
        slope = self.slope()
        error = OFF_WHOLE if length == self.taken else OFF + abs(times ** (slope - GROWTH) - 1) / 2
        return self.coded * times ** ((2 * slope + GROWTH) / 3), error


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
        for index in ORDER:
            source.seek(place + (length - PIECE) * index // (PIECES - 1))
            result.append(read_block(source, PIECE))
        return result
    finally:
        source.seek(place)


def sample(source: BinaryIO, length: int, session: Session, clock: Callable[[], float] = time.perf_counter) -> Sample:
    """Code pieces of the source; takes a few seconds, and compiles the kernels of `fast` on a machine's first use.

    `clock` gives the seconds that a byte takes: of the wall, unless it is to be compared on a busy machine.
    """
    parts = pieces(source, length)
    predictor = session.lockstep(presets.header("fast"))
    begin = predictor.encode(np.zeros(256, np.uint8))  # loads the kernels, which is no part of the pace
    begin.advance()
    predictor = session.lockstep(predictor.header)
    coded, early, seconds, timed = 0.0, 0.0, 0.0, 0
    for index, part in enumerate(parts):
        data = np.frombuffer(part, np.uint8)
        if is_incompressible(data):
            coded += len(data)
            predictor.skip(data)
        else:
            encoding = predictor.encode(data)
            start = clock()
            completed(encoding)
            seconds += clock() - start
            coded += encoding.nll / (8 << NLL_BITS)
            timed += len(data)
        if index + 1 == len(parts) // 4:
            early = coded
    return Sample(length, sum(map(len, parts)), coded, early, seconds / timed if timed else 0.0)


def estimate(preset: str, header: Header, found: Sample, code: bool = True, processes: int = 1) -> Estimate:
    """What `preset`, with the settings of `header`, makes of the file that `found` is a sample of."""
    relation = RELATIONS[preset]
    frames = -(-found.length // header.frame_size)
    learnt = found.length / frames if frames and header.independent_frames else found.length
    bytes_, error = found.grown(round(learnt))
    transcript = bytes_ * found.length / max(learnt, 1)
    transcript *= 1.0 if found.is_noise else relation.bytes
    fixed = (len(pack.code(header)) if code else 0) + ENDS + frames * FRAME
    processes = max(1, min(processes, frames)) if header.independent_frames else 1
    return Estimate(
        preset=preset,
        archive=round(transcript + fixed),
        error=round(transcript * error),
        seconds=relation.start + found.length * found.pace * relation.seconds / processes,
        memory=processes * limits.Cost(header).memory(round(learnt)),
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
