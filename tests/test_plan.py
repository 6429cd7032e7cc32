"""Estimates before anything is run, and the preset that a time budget allows."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from lmzip import plan, presets
from lmzip.codec.message import Header
from lmzip.session import Session
from lmzip.survey import Survey

pytestmark = pytest.mark.usefixtures("toy_predictor")


@pytest.fixture
def book(tmp_path, text):
    path = tmp_path / "book.txt"
    path.write_bytes(text[:6000])
    return path


@pytest.fixture
def pace(monkeypatch):
    """A clock by which the predictor codes a byte in the seconds given."""

    def at(seconds: float):
        real = plan.sample
        monkeypatch.setattr(plan, "sample", lambda *a: replace(real(*a), pace=seconds))

    return at


def preset_of(archive: bytes) -> Header:
    return Survey(io.BytesIO(archive), session=Session()).header


def test_a_short_file_is_coded_whole_and_its_size_is_exact(run, book):
    planned = json.loads(run("plan", "--json", "--no-code", book).stdout)
    assert planned["sampled"] == planned["original"] == 6000
    real = len(run("encode", "--preset", "fast", "--no-code", "-c", book).stdout)
    fast = planned["presets"]["fast"]
    assert abs(fast["archive"] - real) <= fast["error"] + 20
    assert list(planned["presets"]) == list(presets.PRESETS)
    assert all(one["memory"] > 0 and one["seconds"] > 0 for one in planned["presets"].values())


def test_a_long_file_is_sampled_from_end_to_end(monkeypatch):
    monkeypatch.setattr(plan, "PIECE", 10)
    source = io.BytesIO(bytes(range(256)))
    source.seek(3)
    parts = plan.pieces(source, 253)
    assert len(parts) == plan.PIECES and all(len(part) == 10 for part in parts)
    assert parts[0] == bytes(range(3, 13)) and parts[-1] == bytes(range(246, 256))
    assert sorted(parts)[4] in parts[: plan.PIECES // 2], "the first half is spread as well"
    assert sorted(plan.ORDER) == list(range(plan.PIECES))
    assert source.tell() == 3


def test_noise_is_expected_to_stay_as_large(monkeypatch):
    import random

    monkeypatch.setattr(plan, "PIECE", 5000)
    data = random.Random(1).randbytes(200_000)
    found = plan.sample(io.BytesIO(data), len(data), Session())
    for preset in presets.PRESETS:
        size = plan.estimate(preset, presets.header(preset), found, code=False).archive
        assert len(data) <= size < 1.01 * len(data)


@pytest.mark.parametrize("data", [b"", b"x"])
def test_hardly_anything(run, tmp_path, data):
    path = tmp_path / "small"
    path.write_bytes(data)
    assert json.loads(run("plan", path, "--json").stdout)["original"] == len(data)
    assert run("encode", "--time", "9s", path).status == 0


def test_the_table_says_that_it_is_an_estimate(run, book):
    text = run("plan", book).stdout.decode()
    assert "estimates" in text and "±" in text
    assert all(preset in text for preset in presets.PRESETS)


def test_auto_takes_the_smallest_archive_that_the_time_allows(run, book, pace):
    pace(0.01)  # fast takes a minute, default two or three and max four or five
    for time, preset in (("70s", "fast"), ("200s", "default"), ("9h", "max")):
        done = run("encode", "--time", time, "--no-code", "-c", book)
        assert preset_of(done.stdout) == presets.header(preset) and f"auto: preset {preset}, " in done.stderr
        again = run("encode", "--preset", preset, "--no-code", "-c", book)
        assert again.stdout == done.stdout, "an archive that auto chose is that preset's archive"
    # The code counts: where the model gains less than its code takes, it is not the best.
    assert preset_of(run("encode", "--time", "9h", "-c", book).stdout) == presets.header("fast")


def test_auto_says_when_no_preset_is_fast_enough(run, book, pace):
    pace(0.01)
    done = run("encode", "--preset", "auto", "--time", "1s", "-c", book)
    assert done.status == 0 and preset_of(done.stdout) == presets.header("fast")
    assert "longer than --time allows" in done.stderr


def test_auto_on_a_pipe_is_fast(run, text):
    done = run("encode", "--preset", "auto", stdin=text[:2000])
    assert preset_of(done.stdout) == presets.header("fast") and "auto: " in done.stderr


def test_an_interrupted_auto_goes_on_with_the_preset_it_had(run, book, monkeypatch):
    from lmzip.progress import Bar, _stop

    step = Bar.step

    def interrupt(self, done, bits, save=None):
        _stop.asked = done >= 4096
        step(self, done, bits, save)

    monkeypatch.setattr(Bar, "step", interrupt)
    options = ("encode", book, "--no-code", "--time", "9h")
    assert run(*options).status == 130
    monkeypatch.setattr(Bar, "step", step)
    monkeypatch.setattr(plan, "sample", lambda *_: pytest.fail("the choice has been made"))
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
