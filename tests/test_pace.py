"""How long coding takes: measured once, noted, announced. Clocks are injected; no test looks at the wall."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmzip import pace, pieces, presets
from lmzip.session import Session

FAST, DEFAULT, MAX = (presets.header(preset) for preset in presets.PRESETS)
LENGTHS = st.integers(0, 10**9)


@pytest.fixture
def notes(tmp_path, monkeypatch) -> pace.Notebook:
    """An empty notebook in place of the machine's."""
    notes = pace.Notebook(tmp_path / "paces.json")
    monkeypatch.setattr(pace, "notebook", lambda: notes)
    return notes


@given(LENGTHS, LENGTHS, st.floats(1, 50))
def test_more_bytes_and_busier_machines_take_longer(one, other, load):
    short, long = sorted((one, other))
    for header in (FAST, DEFAULT, MAX, replace(FAST, independent_frames=True)):
        cost = pace.assumed(header)
        assert cost.seconds(short, header, Session()) <= cost.seconds(long, header, Session())
        assert cost.seconds(long, header, Session()) <= cost.times(load).seconds(long, header, Session())


@given(st.integers(1, 10**8))
def test_presets_take_longer_in_turn_and_threads_never_do(length):
    times = [pace.assumed(header).seconds(length, header, Session()) for header in (FAST, DEFAULT, MAX)]
    assert times == sorted(times)
    for header in (FAST, DEFAULT, replace(DEFAULT, independent_frames=True)):
        alone, many = (pace.assumed(header).seconds(length, header, Session(threads)) for threads in (1, 4))
        assert many <= alone


def test_independent_frames_go_to_processes():
    header = replace(FAST, independent_frames=True)
    cost = pace.Pace(0.0, 1e-6, 0.0, 0.0, 0.0)
    length = 4 * header.frame_size
    assert cost.seconds(length, header, Session(4)) == pytest.approx(cost.seconds(length, header, Session(1)) / 4)


def test_short_work_is_not_measured(monkeypatch, notes):
    monkeypatch.setattr(pace, "measured", lambda *_, **__: pytest.fail("it is over sooner than it is measured"))
    assert 0 < pace.seconds(FAST, 10_000, Session()) < pace.SHORT
    assert not notes.path.exists()


@pytest.mark.usefixtures("toy_predictor")
def test_long_work_is_measured_once(monkeypatch, notes):
    calls = []

    def measured(header, session, *, decoding=False):
        calls.append(decoding)
        return pace.Pace(1.0, 1e-6, 9e-6, 0.0, 0.0)

    monkeypatch.setattr(pace, "measured", measured)
    for _ in range(2):
        assert pace.seconds(DEFAULT, 10**6, Session()) == pytest.approx(11)
        assert pace.seconds(DEFAULT, 10**6, Session(), decoding=True) == pytest.approx(11)
        assert pace.seconds(replace(DEFAULT, seed=5, frame_size=1 << 16), 10**6, Session()) == pytest.approx(11)
    assert calls == [False, True]


@pytest.mark.usefixtures("toy_predictor")
def test_the_paces_of_other_settings_are_others(notes):
    keys = {
        pace.key(header, Session(), decoding)
        for header in (FAST, DEFAULT, MAX, replace(DEFAULT, replay=1), replace(DEFAULT, segment=64))
        for decoding in (False, True)
    }
    assert len(keys) == 10


def test_a_notebook_that_is_damaged_is_empty(notes):
    for text in ("", "{", "[]", '{"x": 1}', '{"x": ["a"]}', '{"x": [1, 2, 3, 4, 5, 6]}', '{"x": [NaN, 1, 1]}', "null"):
        notes.path.write_text(text)
        assert notes.read("x") is None
        notes.write("y", pace.Pace(1, 2, 3))
        assert notes.read("y") == pace.Pace(1, 2, 3)
    assert [path.name for path in notes.path.parent.iterdir()] == ["paces.json"]


def test_a_notebook_that_can_t_be_written_is_no_failure(tmp_path):
    notes = pace.Notebook(tmp_path / "missing" / "paces.json")
    notes.write("x", pace.Pace(1, 2, 3))
    assert notes.read("x") is None


def test_growing_tables_and_compiling_are_no_pace():
    class State:
        header = FAST

    run = pieces.Run(State(), lambda: 0.0)
    run.paces = [(1e-5, 1000)] * 20 + [(5e-4, 1000), (2e-2, 1000)]
    assert run.pace == pytest.approx(1e-5)
    assert run.growth == pytest.approx(0.49), "tables that grew, not what was compiled"


@pytest.mark.usefixtures("toy_predictor")
def test_measuring_counts_what_the_clock_says(monkeypatch):
    """A clock that goes on by a second at every look: whatever is timed takes a second."""
    monkeypatch.setattr(pace, "SAMPLE", 8 << 10)
    monkeypatch.setattr(pace, "MODELLED", 2 << 10)
    now = iter(range(10**9))
    fast, default = (pace.measured(header, Session(), clock=lambda: float(next(now))) for header in (FAST, DEFAULT))
    assert fast.experts > 0 and fast.model == 0
    assert default.experts == fast.experts and default.model > 0
    assert default.start > fast.start


@pytest.mark.usefixtures("toy_predictor")
def test_the_source_is_left_where_it_was(notes, text):
    source = io.BytesIO(text)
    source.seek(7)
    assert pace.seconds(FAST, len(text) - 7, Session(), source=source) > 0
    notes.write(pace.key(FAST, Session(), False), pace.Pace(0, 1.0, 0, 0, 0))
    assert pace.seconds(replace(FAST, frame_size=1 << 16), 10**6, Session()) == pytest.approx(10**6)
    assert source.tell() == 7
