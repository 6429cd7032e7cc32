"""`--time` is kept by beginning again with a cheaper preset; clocks are injected."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmzip.deadline import GAIN, RECENT, STEPS, Deadline, Task, held
from lmzip.plan import Choice, Estimate, TooSlow
from lmzip.progress import Watch
from lmzip.sampling import Sample

STEP, LENGTH = 4096, 1 << 20


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def choice(clock: Clock, budget: float, **seconds: float) -> Choice:
    """The dearest preset, with estimates of seconds by preset."""
    estimates = {name: Estimate(name, 1000 - place, 0, time, 0) for place, (name, time) in enumerate(seconds.items())}
    return Choice(Sample(LENGTH, LENGTH, 1000.0), estimates, [*seconds][-1], budget, 0.0, clock)


def go(choice: Choice, clock: Clock, pace) -> tuple[float, list[str]]:
    """The clock at the end and the presets tried, where `pace(preset, done)` is seconds a byte."""
    presets = [choice.preset]
    while True:
        watch, done = choice.watch(Watch()), 0
        try:
            while done < LENGTH:
                clock.now += STEP * pace(choice.preset, done)
                done += STEP
                watch.step(done, 0.0)
            return clock.now, presets
        except TooSlow as slow:
            choice = slow.choice
            presets.append(choice.preset)


def test_as_planned_nothing_happens():
    clock = Clock()
    times = {"fast": 10.0, "default": 50.0}
    assert go(choice(clock, 60, **times), clock, lambda name, _: times[name] / LENGTH) == (
        pytest.approx(50),
        ["default"],
    )


def test_the_cheapest_preset_is_not_watched():
    watch = Watch()
    assert choice(Clock(), 1, fast=10.0).watch(watch) is watch


def test_five_times_slower_is_seen_at_once():
    clock = Clock()
    end, presets = go(
        choice(clock, 60, fast=10.0, default=50.0), clock, lambda name, _: (10.0, 250.0)[name != "fast"] / LENGTH
    )
    assert presets == ["default", "fast"]
    assert end < 10 + 0.15 * 60


def test_from_max_to_default_to_fast():
    clock = Clock()
    paces = {"fast": 10.0, "default": 200.0, "max": 400.0}
    _, presets = go(choice(clock, 110, fast=10.0, default=50.0, max=100.0), clock, lambda name, _: paces[name] / LENGTH)
    assert presets[0] == "max" and presets[-1] == "fast"


def test_what_grows_tables_is_no_pace():
    clock = Clock()
    end, presets = go(
        choice(clock, 60, fast=10.0, default=50.0), clock,
        lambda name, done: 50 / LENGTH + (1.5 / STEP if done in (STEP, 4 * STEP) else 0),
    )  # fmt: skip
    assert presets == ["default"] and end == pytest.approx(53)


def test_no_new_beginning_that_gains_nothing():
    clock = Clock()
    late = lambda name, done: (1 if done < 0.9 * LENGTH else 10) * 50 / LENGTH  # noqa: E731
    _, presets = go(choice(clock, 50, fast=45.0, default=50.0), clock, late)
    assert presets == ["default"]


@given(st.floats(0.5, 6), st.floats(1, 6), st.floats(0, 1))
def test_how_far_over_time_an_end_may_be(slower, later, when):
    """The machine is slower than planned by one factor, and from some place on by another.

    Over time by what the cheapest takes, by what it takes to see it (the time looked back on), and by a quarter of all
    that where to begin again would not have gained enough.
    """
    clock, budget = Clock(), 60.0
    cost = {"fast": 6.0, "default": 55.0}

    def pace(name: str, done: int) -> float:
        return cost[name] * (slower if done < when * LENGTH else later) / LENGTH

    end, presets = go(choice(clock, budget, **cost), clock, pace)
    alone = cost["fast"] * max(slower, later)
    assert presets[0] == "default" and len(presets) <= 2
    seen = RECENT * budget + STEPS * STEP * cost["default"] * max(slower, later) / LENGTH
    assert end <= (budget + alone + seen) / GAIN


@given(st.integers(0, 3) | st.just(16))
def test_frames_in_other_processes_are_waited_for(frames):
    """A step that hears of no byte for long is no proof: as many bytes may be under way."""
    clock = Clock()
    task = Task(LENGTH, frames << 16, 50.0, 10.0)
    watch = Deadline(Watch(), task, 60.0, 0.0, lambda _: pytest.fail("there is no telling"), clock)
    for _ in range(3):
        watch.step(0, 0.0)
        clock.now += 0.9


def test_what_is_held_appears_as_a_whole_or_not_at_all():
    sink = io.BytesIO()
    with held(sink) as stream:
        stream.write(b"a first try")
        stream.seek(0)
        stream.truncate()
        stream.write(b"this")
        assert not sink.getvalue()
    assert sink.getvalue() == b"this"
    with contextlib.suppress(TooSlow), held(sink) as stream:
        stream.write(b" and nothing else")
        raise TooSlow(choice(Clock(), 1, fast=1.0))
    assert sink.getvalue() == b"this"
