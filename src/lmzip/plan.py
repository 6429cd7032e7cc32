"""What each preset will take, said before it is run, and the choice among them that a time allows.

Sizes come from pieces of the file that are coded (sampling.py), with the language model too where it may gain, so that
a file on which it loses is seen. Times come from those pieces and from what was measured on this machine (pace.py).
How far off that is: benchmarks/results/plans-zen3.json and dev/LOG.md.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any, BinaryIO

from . import deadline, limits, pace, pack, presets
from .codec.message import Header
from .options import EncodeOptions
from .pieces import Clock, processor_time
from .progress import Watch
from .sampling import MODELLED, USUAL, Relation, Sample, Sampling
from .session import Session

BUDGET = 60.0  # seconds that `--preset auto` may take unless --time says otherwise
SHARE = 0.1  # of the budget that the plan itself may take
FRAME, ENDS = 38, 65  # bytes of container: for each frame, and of header and footer, about
MODEL = Relation(0.9975, MODELLED, 0.0, 0.0)  # where the language model wasn't tried
OCTAVE, MAX_OCTAVE = 0.0012, 0.0008  # of the size that it gains when the file doubles; that `max` gains beyond
STORED = 5e-8  # seconds to store a byte
MOST = 0.04  # that it gains at most
HOPE = 4.0  # times the budget that a preset may take by pace.assumed to be measured at all


@dataclass(frozen=True)
class Estimate:
    """Of one preset: bytes of the archive, give or take `error`; seconds; bytes of memory at most."""

    preset: str
    archive: int
    error: int
    seconds: float
    memory: int


@dataclass(frozen=True)
class Choice:
    """The estimates, cheapest preset first, and the preset that goes best with a budget.

    since: when the budget began to run on `clock`. ahead: bytes of frames that are being coded at once. again: is it a
    second choice, as the first took too long?
    """

    sample: Sample
    estimates: dict[str, Estimate]
    preset: str
    budget: float
    since: float
    clock: Clock = field(default=time.perf_counter, repr=False)
    ahead: int = 0
    again: bool = False

    @property
    def estimate(self) -> Estimate:
        """Of the preset chosen."""
        return self.estimates[self.preset]

    def __str__(self) -> str:
        one = self.estimate
        text = "slower than expected; begins again with " if self.again else ""
        text += f"preset {one.preset}, about {one.archive:,} bytes in about {limits.readable_time(one.seconds)}"
        late = self.clock() - self.since + one.seconds > self.budget
        return f"auto: {text}" + (": longer than --time allows, but no preset is faster" if late else "")

    @property
    def cheaper(self) -> dict[str, Estimate]:
        """Of presets that take less time."""
        return {name: one for name, one in self.estimates.items() if one.seconds < self.estimate.seconds}

    def watch(self, watch: Watch) -> Watch:
        """Around `watch`: raises TooSlow when the budget won't be kept and a cheaper preset would keep it."""
        if not self.cheaper or not self.sample.length:
            return watch
        cheapest = min(one.seconds for one in self.cheaper.values())
        task = deadline.Task(self.sample.length, self.ahead, self.estimate.seconds, cheapest)
        return deadline.Deadline(watch, task, self.budget, self.since, self.slower, self.clock)

    def slower(self, times: float) -> TooSlow:
        """What leads to the best of the cheaper presets where everything takes so many times as long as was planned."""
        left = self.budget - (self.clock() - self.since)
        estimates = {name: replace(one, seconds=one.seconds * times) for name, one in self.cheaper.items()}
        return TooSlow(replace(self, estimates=estimates, preset=best(estimates, left).preset, again=True))

    def table(self, name: str) -> str:
        """The estimates as text."""
        sample = self.sample
        source = "all of it" if sample.is_whole else "pieces"
        rows = [f"{name}: {sample.length:,} bytes; estimates from {source} coded, at this machine's present pace"]
        rows.append(f"{'preset':<10}{'archive':>15}{'error':>13}{'time':>12}{'memory':>13}")
        for one in self.estimates.values():
            rows.append(
                f"{one.preset:<10}{one.archive:>13,} B{'± ' + format(one.error, ','):>13}"
                f"{limits.readable_time(one.seconds):>12}{'≤ ' + format(one.memory // limits.MB, ','):>10} MB"
            )
        return "\n".join(rows)

    def as_dict(self) -> dict[str, Any]:
        """The estimates for `lmzip plan --json`: bytes, bytes, seconds, bytes."""
        rows = {name: {k: v for k, v in asdict(one).items() if k != "preset"} for name, one in self.estimates.items()}
        return {"original": self.sample.length, "sampled": self.sample.taken, "presets": rows}


class TooSlow(Exception):
    """No error: begin again with `choice`, whose preset is cheaper."""

    def __init__(self, choice: Choice) -> None:
        super().__init__(str(choice))
        self.choice = choice


def headers(options: EncodeOptions) -> dict[str, Header]:
    """The headers among which there is to choose, cheapest first, with what else the options say."""
    return {
        preset: presets.header(
            preset,
            seed=options.seed or 0,
            frame_size=options.frame_size,
            independent_frames=options.independent_frames,
        )
        for preset in presets.PRESETS
    }


def best(estimates: dict[str, Estimate], left: float) -> Estimate:
    """The smallest archive that `left` seconds allow; the first, which is the cheapest, when they allow none."""
    allowed = [one for one in estimates.values() if one.seconds <= left]
    return min(allowed, key=lambda one: one.archive, default=next(iter(estimates.values())))


def make(
    source: BinaryIO,
    length: int,
    session: Session,
    headers: dict[str, Header],
    *,
    code: bool = True,
    budget: float | None = None,
    clock: Clock = time.perf_counter,
    notes: pace.Notebook | None = None,
) -> Choice:
    """The estimates of `length` bytes of a source, which is left where it was, and the choice that a budget leads to.

    headers: cheapest preset first, `fast`. code: do archives contain their decoder? budget: seconds from now on, of
    which the plan takes SHARE, about; with one, presets that it rules out are not tried. notes: paces of this machine.
    """
    since, fast = clock(), headers["fast"]
    seconds = USUAL if budget is None else min(USUAL, SHARE * budget)
    timer = processor_time(clock) if budget is None else clock
    sampling = Sampling(source, length, session, clock, seconds, timer)
    sample = sampling.sample(fast)
    estimates: dict[str, Estimate] = {}
    drift: float | None = None
    for name, header in headers.items():
        charged = len(pack.code(header)) if code else 0
        if header.model is None or sample.stored == 1:
            cost = pace.assumed(header)
        elif _ruled_out(header, sample, session, budget, notes):
            cost = (pace.noted(header, session, notes) or pace.assumed(header)).times(sample.load)
        else:
            cost = pace.of(header, session, notes=notes)
            if drift is None:
                drift = sampling.drift(fast, pace.of(fast, session, notes=notes).experts)
            cost = cost.times(drift)
            late = cost.seconds(length, header, session) > (budget or math.inf)
            if sample.model is None and not late:  # its pace at present is wanted too, where it can't gain its code
                sample = replace(sample, model=sampling.relation(fast, header, cost))
        estimates[name] = estimate(name, header, sample, cost, session, charged, begun=budget is not None)
    left = math.inf if budget is None else budget - (clock() - since)
    ahead = fast.frame_size * session.processes(fast, length) if fast.independent_frames and session.threads > 1 else 0
    return Choice(sample, estimates, best(estimates, left).preset, budget or math.inf, since, clock, ahead)


def _ruled_out(
    header: Header, sample: Sample, session: Session, budget: float | None, notes: pace.Notebook | None
) -> bool:
    """Does a preset take too long for a budget, as far as is known without measuring?"""
    if budget is None:
        return False
    if noted := pace.noted(header, session, notes):
        return noted.times(sample.load).seconds(sample.length, header, session) > budget
    return pace.assumed(header).seconds(sample.length, header, session) > HOPE * budget


def estimate(
    preset: str, header: Header, sample: Sample, cost: pace.Pace, session: Session, code: int = 0, begun: bool = False
) -> Estimate:
    """What `preset`, with the settings of `header`, makes of the file that `sample` is of.

    cost: the header's pace as things are now; the sample's own takes its place. code: bytes of the decoder. begun: is
    the program up already?
    """
    length = sample.length
    frames = -(-length // header.frame_size)
    learnt = round(length / frames) if frames and header.independent_frames else length
    transcript = sample.size(learnt) * length / max(learnt, 1)
    if header.model is not None and sample.stored < 1:
        relation = sample.model or MODEL
        octaves = max(0.0, math.log2(max(learnt, 1) / relation.taken))
        octave = OCTAVE + MAX_OCTAVE * (preset == "max")
        transcript = min(transcript * max(1 - MOST, relation.bytes - octave * octaves), float(length))
    now = _now(header, cost, sample, begun)
    return Estimate(
        preset=preset,
        archive=round(transcript + code + ENDS + frames * FRAME),
        error=round(transcript * sample.error(learnt)),
        seconds=now.seconds(round(length * (1 - sample.stored)), header, session) + STORED * length * sample.stored,
        memory=session.processes(header, length) * limits.Cost(header).memory(learnt),
    )


def _now(header: Header, cost: pace.Pace, sample: Sample, begun: bool) -> pace.Pace:
    """The pace of a header on the file of a sample, as things are now."""
    start, model = cost.start, cost.model
    if header.model is not None and sample.model is not None:  # the other presets' models in proportion
        model = sample.model.seconds * (cost.model / sample.model.noted if sample.model.noted else 1.0)
    if begun:
        start -= pace.START + pace.TORCH * (header.model is not None and "torch" in sys.modules)
    experts = sample.pace or cost.experts
    return pace.Pace(max(0.0, start), experts, model, cost.frame, sample.table or cost.table)
