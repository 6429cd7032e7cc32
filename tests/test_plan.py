"""Estimates before anything is run, the preset that a time allows, and that the time is kept. Clocks are injected."""

from __future__ import annotations

import functools
import io
import json
import random
from dataclasses import replace

import pytest
import toy
from hypothesis import given
from hypothesis import strategies as st

from lmzip import pace, pieces, plan, presets, sampling
from lmzip.codec.message import Header
from lmzip.options import EncodeOptions
from lmzip.session import Session
from lmzip.survey import Survey

pytestmark = pytest.mark.usefixtures("toy_predictor")
HEADERS = plan.headers(EncodeOptions())


class Clock:
    """Time passes when a byte is coded: `experts` seconds, and `model` more where there is a language model."""

    def __init__(self) -> None:
        self.now, self.experts, self.model, self.coded = 0.0, 1e-4, 4e-4, 0

    def __call__(self) -> float:
        return self.now

    def pass_for(self, header: Header, count: int) -> None:
        self.coded += count
        self.now += count * (self.experts + self.of_model(header))

    def of_model(self, header: Header) -> float:
        """Seconds a byte: that of `max` takes twice the time."""
        return self.model * header.model.hidden / 128 if header.model else 0.0


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The clock of plans, which the toy drives."""
    clock, advance = Clock(), toy._ToyFrame.advance

    def timed(self: toy._ToyFrame, segments: int = 1) -> None:
        before = self.position
        advance(self, segments)
        clock.pass_for(self.lockstep.header, self.position - before)

    monkeypatch.setattr(toy._ToyFrame, "advance", timed)
    return clock


@pytest.fixture
def make(monkeypatch, clock, tmp_path):
    """plan.make by that clock, with paces noted nowhere else; the command line gets it too."""
    notes = pace.Notebook(tmp_path / "paces.json")
    monkeypatch.setattr(pace, "notebook", lambda: notes)

    def measured(header: Header, *_: object, **__: object) -> pace.Pace:
        return pace.Pace(0, clock.experts, clock.of_model(header), 0, 0)

    monkeypatch.setattr(pace, "measured", measured)
    make = functools.partial(plan.make, clock=clock)
    monkeypatch.setattr(plan, "make", make)
    return make


@pytest.fixture
def gain(monkeypatch):
    """The language model makes archives smaller by one in a hundred, the larger one by two."""
    relation = sampling.Sampling.relation
    monkeypatch.setattr(sampling.Sampling, "relation", lambda *a: replace(relation(*a), bytes=0.99))


@pytest.fixture
def book(tmp_path, text):
    path = tmp_path / "book.txt"
    path.write_bytes(text[:6000])
    return path


def preset_of(archive: bytes) -> Header:
    return Survey(io.BytesIO(archive), session=Session()).header


# Sizes


def test_a_short_file_is_coded_whole_and_its_size_is_exact(run, book):
    planned = json.loads(run("plan", "--json", "--no-code", book).stdout)
    assert planned["sampled"] == planned["original"] == 6000
    real = len(run("encode", "--preset", "fast", "--no-code", "-c", book).stdout)
    fast = planned["presets"]["fast"]
    assert abs(fast["archive"] - real) <= fast["error"] + 20
    assert list(planned["presets"]) == list(presets.PRESETS)
    assert all(one["memory"] > 0 and one["seconds"] > 0 for one in planned["presets"].values())


def test_a_long_file_is_sampled_from_end_to_end():
    data = random.Random(1).randbytes(10_000)
    source = io.BytesIO(b"abc" + data)
    source.seek(3)
    parts = pieces.pieces(source, len(data), 60, 0)
    places = [data.index(part) for part in parts]
    assert len(parts) == pieces.PIECES and all(len(part) == 60 for part in parts)
    assert min(places) == 0 and 10_000 - 60 - max(places) < pieces.ALIGNED
    assert all(place % pieces.ALIGNED == 0 for place in places), "samples of sound and pixels stay whole"
    assert sorted(places)[4] in places[:8], "the first half is spread as well"
    assert sorted(pieces.ORDER) == list(range(pieces.PIECES))
    assert source.tell() == 3


def test_noise_is_expected_to_stay_as_large(make):
    data = random.Random(1).randbytes(300_000)
    choice = make(io.BytesIO(data), len(data), Session(), HEADERS, code=False)
    for one in choice.estimates.values():
        assert len(data) <= one.archive < 1.01 * len(data)
    assert choice.preset == "fast"


def test_a_sample_in_pieces_is_near(make, monkeypatch, text):
    data = text[:40_000]
    monkeypatch.setattr(sampling, "WHOLE", 0)
    monkeypatch.setattr(sampling, "PIECE", 1200)
    choice = make(io.BytesIO(data), len(data), Session(), HEADERS, budget=1e6, code=False)
    assert choice.sample.taken < 20_000
    whole = plan.make(io.BytesIO(data), len(data), Session(), HEADERS, budget=1e6, code=False)
    monkeypatch.undo()
    assert abs(choice.estimate.archive / whole.estimate.archive - 1) < 0.15


samples = st.builds(
    sampling.Sample,
    length=st.just(10**6),
    taken=st.integers(1000, 10**6),
    coded=st.floats(100, 10**6),
    exponent=st.floats(0.4, 1),
    pace=st.floats(1e-7, 1e-3),
    model=st.none() | st.builds(plan.Relation, st.floats(0.9, 1.1), st.just(4096), st.floats(1e-7, 1e-3), st.just(0.0)),
)


@given(samples, st.integers(1, 10**9), st.integers(1, 10**9))
def test_estimates_grow_with_the_length_and_never_beyond_it(sample, one, other):
    short, long = sorted((one, other))
    assert sample.size(short) <= sample.size(long) <= long
    assert sample.error(long) > 0
    cost = pace.Pace(1, 1e-6, 1e-6)
    shorter, longer = (
        plan.estimate(name, header, replace(sample, length=length), cost, Session())
        for name, header in (("default", HEADERS["default"]),)
        for length in (short, long)
    )
    assert shorter.seconds <= longer.seconds and shorter.memory <= longer.memory
    assert longer.archive <= 1.01 * long + 200


@given(samples, st.floats(1, 100))
def test_a_slower_machine_takes_longer_and_makes_the_same(sample, times):
    cost = pace.Pace(1, 1e-6, 1e-6)
    slower = replace(sample, pace=sample.pace * times)
    one, other = (plan.estimate("fast", HEADERS["fast"], s, cost, Session()) for s in (sample, slower))
    assert one.seconds <= other.seconds and one.archive == other.archive


@pytest.mark.parametrize("data", [b"", b"x"])
def test_hardly_anything(run, make, tmp_path, data):
    path = tmp_path / "small"
    path.write_bytes(data)
    assert json.loads(run("plan", path, "--json").stdout)["original"] == len(data)
    assert run("encode", "--time", "9s", path).status == 0


def test_the_table_says_that_it_is_an_estimate(run, book):
    text = run("plan", book).stdout.decode()
    assert "estimates" in text and "±" in text
    assert all(preset in text for preset in presets.PRESETS)


# The choice


def test_auto_takes_the_smallest_archive_that_the_time_allows(run, book, make, gain):
    for time, preset in (("2s", "fast"), ("6s", "default"), ("9h", "max")):
        done = run("encode", "--time", time, "--no-code", "-c", book)
        assert preset_of(done.stdout) == presets.header(preset) and f"auto: preset {preset}, " in done.stderr
        again = run("encode", "--preset", preset, "--no-code", "-c", book)
        assert again.stdout == done.stdout, "an archive that auto chose is that preset's archive"
    # The code counts: where the model gains less than its code takes, it is not the best.
    assert preset_of(run("encode", "--time", "9h", "-c", book).stdout) == presets.header("fast")


def test_a_file_on_which_the_language_model_loses_is_seen(make, monkeypatch, book):
    relation = sampling.Sampling.relation
    monkeypatch.setattr(sampling.Sampling, "relation", lambda *a: replace(relation(*a), bytes=1.02))
    choice = make(io.BytesIO(book.read_bytes()), 6000, Session(), HEADERS, code=False, budget=1e5)
    assert choice.preset == "fast"
    assert choice.estimates["default"].archive > choice.estimates["fast"].archive


def test_what_is_announced_is_what_was_chosen_and_is_said_once(run, book, make, gain):
    done = run("encode", "--time", "6s", "--no-code", "-c", book)
    choice = make(io.BytesIO(book.read_bytes()), 6000, Session(), HEADERS, code=False, budget=6)
    assert f"about {choice.estimate.archive:,} bytes in about {choice.estimate.seconds:.0f} s" in done.stderr
    assert done.stderr.count("about") == 2 and "this takes" not in done.stderr


@given(st.floats(1e-6, 1e-1), st.floats(1, 1e5))
def test_a_slow_machine_chooses_fast(model, budget):
    estimates = {
        name: plan.estimate(
            name, header, sampling.Sample(10**6, 10**6, 2e5, pace=model / 5,
            model=plan.Relation(0.99, 4096, model, 0.0)), pace.Pace(0, model / 5, model), Session(),
        )
        for name, header in HEADERS.items()
    }  # fmt: skip
    chosen = plan.best(estimates, budget)
    assert chosen.preset == "fast" or chosen.seconds <= budget
    assert all(one.archive >= chosen.archive for one in estimates.values() if one.seconds <= budget)


def test_a_plan_takes_a_tenth_of_the_time_about(make, clock, text):
    data = (text * 3)[:60_000]
    make(io.BytesIO(data), len(data), Session(), HEADERS, code=False, budget=20)
    assert clock.now <= 0.2 * 20
    assert clock.coded < 40_000


def test_auto_says_when_no_preset_is_fast_enough(run, book, make):
    done = run("encode", "--preset", "auto", "--time", "0.1s", "-c", book)
    assert done.status == 0 and preset_of(done.stdout) == presets.header("fast")
    assert "longer than --time allows" in done.stderr


def test_auto_on_a_pipe_is_fast(run, text):
    done = run("encode", "--preset", "auto", stdin=text[:2000])
    assert preset_of(done.stdout) == presets.header("fast") and "auto: " in done.stderr


def test_an_interrupted_auto_goes_on_with_the_preset_it_had(run, book, make, gain, monkeypatch):
    from lmzip.progress import Bar, _stop

    step = Bar.step

    def interrupt(self, done, bits, save=None):
        _stop.asked = done >= 4096
        step(self, done, bits, save)

    monkeypatch.setattr(Bar, "step", interrupt)
    options = ("encode", book, "--no-code", "--time", "9h")
    assert run(*options).status == 130
    monkeypatch.setattr(Bar, "step", step)
    monkeypatch.setattr(plan, "make", lambda *_, **__: pytest.fail("the choice has been made"))
    assert run(*options, "--resume").status == 0
    archive = book.with_name("book.txt.lmz").read_bytes()
    assert archive == run("encode", book, "--preset", "max", "--no-code", "-c").stdout


@pytest.mark.parametrize(
    "options",
    [["--preset", "fast"], ["-5"], ["--experts", "none"], ["--replay", "1"]],
    ids=" ".join,
)
def test_time_leaves_no_other_choice(run, book, options):
    done = run(*options, "--time", "60s", "-c", book)
    assert done.status == 2 and not done.stdout


@pytest.mark.parametrize("time", ["", "0", "-1s", "nan", "inf", "5 parsecs"])
def test_times_that_are_none(run, book, time):
    assert run("encode", f"--time={time}", book).status == 2


def test_plan_of_a_pipe_is_refused(run):
    assert run("plan", "-", stdin=b"x").status == 2


# The time is kept


@pytest.mark.parametrize("where", ["file", "standard output"])
def test_a_machine_that_becomes_slow_begins_again_with_a_cheaper_preset(
    run, book, make, gain, clock, monkeypatch, where
):
    watch = plan.Choice.watch

    def slow_down(self, inner):
        clock.model = 0.1
        return watch(self, inner)

    monkeypatch.setattr(plan.Choice, "watch", slow_down)
    monkeypatch.setattr("lmzip.frames.steps", lambda header: 1)
    done = run("encode", "--time", "6s", "--no-code", book, *(["-c"] if where != "file" else []))
    archive = done.stdout if where != "file" else book.with_name("book.txt.lmz").read_bytes()
    assert "auto: preset default, " in done.stderr and "begins again with preset fast" in done.stderr
    monkeypatch.undo()
    assert preset_of(archive) == presets.header("fast")
