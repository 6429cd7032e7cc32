"""Tasks in the context: what they ask, and that asking leaves a run as it was."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings
from lmzip.lab.scan import task
from lmzip.session import Session

MODEL = ModelSettings(layers=1, width=16, hidden=16, window=32, table_bits=10)


HEADERS = {
    "model": Header(model=MODEL),
    "both": Header(model=MODEL, experts=ExpertSettings(slots=1024)),
    "experts": Header(segment=256, experts=ExpertSettings(slots=1024)),
}


def code(state, data: bytes) -> int:
    encoding = state.encode(np.frombuffer(data, np.uint8))
    while not encoding.done:
        encoding.advance(64)
    return encoding.nll


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("frozen", [False, True])
def test_what_is_coded_aside_leaves_no_trace(header, frozen, text):
    """Also where it makes the experts' tables grow, and where its length is no whole number of segments."""
    plain, probed = Session().lockstep(header), Session().lockstep(header)
    for start in range(0, 8192, 4096):
        part = text[start : start + 4096]
        assert code(plain, part) == code(probed, part)
        with task.aside(probed, frozen):
            code(probed, bytes(np.random.default_rng(start).integers(0, 256, 5_001, np.uint8)))
        assert {name: array.tobytes() for name, array in plain.arrays().items()} == {
            name: array.tobytes() for name, array in probed.arrays().items()
        }


def test_an_error_aside_leaves_no_trace_either(text):
    state = Session().lockstep(Header(model=MODEL))
    code(state, text[:4096])
    digest, learner = state.digest(), state.learner
    with contextlib.suppress(InterruptedError), task.aside(state, frozen=True):
        code(state, text[4096:5000])
        raise InterruptedError
    assert state.digest() == digest and state.learner is learner


def test_frozen_weights_do_not_learn(text):
    state = Session().lockstep(Header(model=MODEL))
    code(state, text[:8192])
    weights = {name: array.copy() for name, array in state.arrays().items() if "weight" in name or "tables" in name}
    with task.aside(state, frozen=True):
        code(state, text[8192:9192])
        assert all(np.array_equal(weights[name], state.arrays()[name]) for name in weights)
    with task.aside(state):
        learning = code(state, text[8192:12288])
    with task.aside(state, frozen=True):
        assert code(state, text[8192:12288]) > learning


def test_bytes_cost_what_the_frame_costs(text):
    state = Session().lockstep(Header(model=MODEL))
    code(state, text[:4096])
    part = np.frombuffer(text[4096:5100], np.uint8)
    with task.aside(state):
        whole = task.code_length(state, part)
    with task.aside(state):
        assert task.byte_costs(state, part).sum() == pytest.approx(whole, abs=1e-3 * len(part))


def test_costs_of_bytes_want_a_model_without_replay():
    for header in (Header(experts=ExpertSettings(slots=1024)), Header(model=MODEL, replay=1)):
        with pytest.raises(ValueError, match="no replay"):
            task.byte_costs(Session().lockstep(header), np.zeros(32, np.uint8))


def test_what_the_tasks_ask():
    repeat, recall, analogy = task.tasks(trials=5)
    assert [one.name for one in (repeat, recall, analogy)] == ["repeat", "recall", "analogy"]
    lines = bytes(repeat.text).split()
    assert lines[::2] == lines[1::2] and len(set(lines)) == 5
    assert bytes(repeat.text[repeat.after]) == b"".join(lines[::2])
    pairs = dict(line.split(b"=") for line in bytes(recall.text).split())
    assert len(pairs) == 5 * task.PAIRS  # a key's second value is its first
    assert sorted(bytes(recall.text[recall.after])) == sorted(bytes(recall.text[recall.before]))
    rules = (bytes, lambda word: word[::-1], bytes.upper)
    lines = [line.split(b"=") for line in bytes(analogy.text).split()]
    for trial in range(5):
        here = lines[trial * task.EXAMPLES : (trial + 1) * task.EXAMPLES]
        assert any(all(rule(given) == answer for given, answer in here) for rule in rules)
    assert bytes(analogy.text[analogy.after]) == b"".join(lines[k][1] for k in range(task.EXAMPLES - 1, len(lines), 4))


def test_the_same_seed_asks_the_same():
    first, same, other = (task.tasks(seed)[0].text for seed in (1, 1, 2))
    assert np.array_equal(first, same) and not np.array_equal(first, other)


def test_a_score_is_the_mean_cost_of_what_is_asked():
    one = task.tasks(trials=2)[1]
    costs = np.ones(len(one.text))
    costs[one.after] = 0.25
    assert one.score(costs) == {"before": 1.0, "after": 0.25}


def test_learning_copies_what_frozen_weights_can_not(text):
    """A toy of a model has no heads that copy, but its n-gram tables learn a string from one look at it."""
    state = Session().lockstep(Header(model=replace(MODEL, table_bits=14)))
    code(state, text[: 32 << 10])
    digest = state.digest()
    scores = task.examine(state, trials=16)
    assert state.digest() == digest
    assert scores["repeat"]["learning"]["after"] < scores["repeat"]["learning"]["before"] - 1
    assert scores["repeat"]["frozen"]["after"] > scores["repeat"]["frozen"]["before"] - 0.5
