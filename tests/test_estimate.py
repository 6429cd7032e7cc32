"""The size of a data set from the training curve: areas that are known, and the talk's arithmetic."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lmzip.errors import FileError, UsageError
from lmzip.lab.estimate import Curve, Message, crossing, messages, table

CURVES = Path(__file__).with_name("curves")
BIT = math.log(2)


def power(scale: float, exponent: float, name: str = "power", last: float = 1e9) -> Curve:
    tokens = np.geomspace(1, last, 40)
    return Curve(name, tokens, scale * tokens**exponent)


def test_the_arithmetic_of_the_talk(run):
    """Rae's "Compression for AGI": 1.4 trillion tokens, 5.6 TB, about 400 GB and 1 MB of code, 14 times.

    The curve is an assumption, as its file says; the talk gives its area only.
    """
    arguments = ("estimate", CURVES / "large.csv", "--tokens", "1.4T", "--bytes-per-token", 4, "--code", "1M")
    made = json.loads(run(*arguments, "--json").stdout)["messages"][0]
    assert made["original"] == 5.6e12
    assert made["transcript"] == pytest.approx(400e9, rel=0.01)
    assert made["total"] == made["transcript"] + 1e6
    assert round(made["ratio"]) == 14
    text = run(*arguments).stdout.decode()
    assert "5.6 TB" in text and "1 MB of code" in text and "assumed: one pass" in text


def test_a_flat_curve_is_a_product():
    curve = Curve("flat", np.array([1.0, 1000.0]), np.array([2 * BIT, 2 * BIT]))
    made = Message(curve, 4000, 4, 100)
    assert made.transcript == pytest.approx(1000)
    assert made.total == pytest.approx(1100)
    assert made.original / made.total == pytest.approx(16000 / 1100)


@pytest.mark.parametrize("exponent", [-0.05, -0.5, -1.0, -1.3])
def test_the_area_under_a_power_law(exponent):
    """From the first point on, as integrated by hand, and beyond the end along the same law."""
    made = power(3, exponent, last=1e6)
    for end in (10.0, 12345.6, 1e6, 1e8):
        area = math.log(end) if exponent == -1 else (end ** (1 + exponent) - 1) / (1 + exponent)
        assert made.nats_until(end) == pytest.approx(3 + 3 * area, rel=1e-9)
    assert made.slope == pytest.approx(exponent)


def test_pieces_of_the_area_add_up():
    curve = Curve.read(CURVES / "large.csv")
    ends = np.linspace(2e9, 1.4e12, 7)
    areas = [curve.nats_until(end) for end in ends]
    assert areas == sorted(areas)
    fine = np.geomspace(1e7, 1.4e12, 200_001)
    loss = curve.loss(fine)
    numeric = 1e7 * loss[0] + ((loss[1:] + loss[:-1]) / 2 * np.diff(fine)).sum()
    assert areas[-1] == pytest.approx(numeric, rel=1e-6)


def test_what_is_beyond_the_curve_is_told():
    made = Message(power(3, -0.1, last=1000), 2000, 1, 0).as_dict()
    assert 0 < made["extrapolated"] < 0.55
    assert made["transcript"] < made["transcript_if_flat_beyond"]
    assert Message(power(3, -0.1, last=1000), 900, 1, 0).as_dict()["extrapolated"] == 0
    rising = Curve("rising", np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    assert rising.slope == 0  # no one believes that


def test_the_larger_model_is_the_shorter_message_once_it_has_paid():
    """Losses are equal throughout but for a constant, so the message crosses where that has paid for the code."""
    grid = np.geomspace(1, 1e6, 50)
    small, large = Curve("small", grid, np.full(50, 2 * BIT)), Curve("large", grid, np.full(50, BIT))
    told = crossing(Message(small, 1e6, 1, 1000), Message(large, 1e6, 1, 11_000))
    assert told["shorter"] == "large"
    assert told["shorter_from_tokens"] == pytest.approx(80_000, rel=1e-6)  # 10,000 bytes at a bit per token
    assert told["saved"] == pytest.approx(1e6 / 8 - 10_000)
    assert told["better_loss_from_tokens"] == 0


def test_curves_that_cross():
    """The large one is behind while it learns; its area crosses well after its loss does."""
    small, large = Curve.read(CURVES / "small.csv"), Curve.read(CURVES / "large.csv")
    told = crossing(*messages([small, large], None, 4, [1e6]))
    assert told["shorter"] == "large"
    assert 1e9 < told["better_loss_from_tokens"] < told["shorter_from_tokens"] < 1e11
    at = told["shorter_from_tokens"]
    assert small.nats_until(at) == pytest.approx(large.nats_until(at), rel=1e-6)
    assert "large is the shorter message" in table(messages([small, large], None, 4, [1e6]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tokens,nats\n1,2\n", "fewer than two"),
        ("tokens,nats\n1,2\n2,x\n", "is not tokens,nats"),
        ("1,2\n1,2\n", "must rise"),
        ("1,2\n2,nan\n", "must rise"),
        ("0,2\n2,1\n", "must rise"),
        ("1,2\n2,-1\n", "must rise"),
        ("1\n2\n3\n", "is not tokens,nats"),
    ],
)
def test_bad_curves(tmp_path, text, words):
    path = tmp_path / "c.csv"
    path.write_text(text)
    with pytest.raises(FileError, match=words):
        Curve.read(path)


def test_usage(run, tmp_path):
    with pytest.raises(UsageError):
        messages([power(1, -0.1)] * 2, None, 4, [1.0, 2.0, 3.0])
    assert run("estimate", tmp_path / "missing.csv", "--bytes-per-token", 4).status == 1
    assert run("estimate", CURVES / "large.csv").status == 2
    assert run("estimate", CURVES / "large.csv", "--bytes-per-token", 0).status == 2
    assert run("estimate", CURVES / "large.csv", "--bytes-per-token", "x").status == 2
