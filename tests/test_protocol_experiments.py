"""The experiments on the protocol, on small data: what they claim, and that their figures can be drawn."""

from __future__ import annotations

import json

import pytest

from benchmarks import architectures, figures, protocol, protocol_figures
from benchmarks.run import RESULTS
from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings

MODEL = ModelSettings(layers=1, width=32, heads=1, hidden=32, window=16, table_bits=10)
BASE = {
    "language model": Header(segment=16, frame_size=4096, model=MODEL),
    "mixed": Header(segment=16, frame_size=4096, model=MODEL, experts=ExpertSettings(14)),
}

DOCUMENT = figures.FOLDER / "experiments.md"


@pytest.fixture
def data(text) -> bytes:
    return text[:6000]


def test_a_larger_network_does_not_make_a_larger_code(data):
    small, large = protocol.size(data, shapes=((1, 16), (1, 64)))
    assert large["weights"] > 4 * small["weights"]
    assert large["code"] == small["code"] > 0
    assert large["transcript"] < small["transcript"]
    for row in (small, large):
        assert row["archive"] == row["transcript"] + row["code"] + row["container"]


def test_replay_changes_the_transcript_and_not_the_code(data):
    rows = protocol.replay(data, steps=(0, 2), base=BASE)
    assert [(row["predictor"], row["replay"]) for row in rows] == [(name, k) for name in BASE for k in (0, 2)]
    for none, some in zip(rows[::2], rows[1::2]):
        assert none["transcript"] != some["transcript"]
        assert none["code"] == some["code"]


def test_only_the_first_pass_is_what_an_archive_costs(data):
    rows = protocol.epochs(data, passes=2, base=BASE)
    for row in rows:
        honest, contaminated = row["bits"]
        assert honest == pytest.approx(protocol.archive(BASE[row["predictor"]], data)["nll_bits"], abs=1)
        assert contaminated < 0.9 * honest
    assert rows[1]["bits"][1] < 0.05 * rows[1]["bits"][0]  # a match model remembers all of it


def test_a_prior_of_the_file_itself_is_charged(data):
    for row in protocol.self_prior(data[:3000], base=BASE):
        alone, after = row["without"], row["with"]
        assert after["transcript"] < 0.9 * alone["transcript"]
        for total in ("description_length", "description_length_rebuilt"):
            assert after[total] > alone[total]


def test_the_uniform_predictor_costs_eight_bits_and_the_oracle_next_to_none(data):
    rows = protocol.extremes(data[:2000])
    uniform, *oracles, wrong = rows
    assert uniform["nll_bits"] == 8 * 2000
    assert 0 <= uniform["transcript"] - 2000 <= 1
    assert oracles[0]["nll_bits"] == 8 * 2000  # an oracle that is not believed
    assert oracles[-1]["nll_bits"] <= 2000 / 2**12
    assert oracles[-1]["transcript"] <= 2
    assert oracles[-1]["told"] == 2000
    assert wrong["nll_bits"] == 24 * 2000
    for row in rows:
        assert row["nll_bits"] == pytest.approx(row["ideal_bits"], abs=1e-5 * row["original"])
        assert 8 * row["transcript"] <= row["nll_bits"] * (1 + 1e-4) + 72


def test_streams_learn_less_of_each_other(data):
    rows = protocol.streams(data[:3000], counts=(1, 4), lengths=(8, 32), base=BASE["language model"])
    assert [(row["streams"], row["segment"]) for row in rows] == [(1, 32), (4, 32), (1, 8), (1, 32)]
    one, four, _, again = (row["transcript"] for row in rows)
    assert one == again
    assert one < four


# The committed figures


@pytest.mark.parametrize("name", protocol.EXPERIMENTS)
def test_a_table_and_a_figure_are_made_of_the_raw_figures_alone(name, tmp_path):
    pytest.importorskip("matplotlib")
    result = json.loads((RESULTS / f"protocol-{name}.json").read_text())
    assert {"command", "commit", "versions", "machine", "file"} <= result.keys()
    assert protocol_figures.tabulate(name, result["rows"]).strip() in DOCUMENT.read_text("utf-8")
    protocol_figures.draw(name, result["rows"], tmp_path / "figure.svg")
    assert "<svg" in (tmp_path / "figure.svg").read_text()
    assert (figures.FOLDER / f"protocol-{name}.svg").exists()


def test_the_table_of_architectures_is_made_of_the_raw_figures():
    result = json.loads((RESULTS / "architectures.json").read_text())
    assert {"command", "commit", "versions", "machine"} <= result.keys()
    assert architectures.table(result).strip() in DOCUMENT.read_text("utf-8")
    assert all((figures.FOLDER / f"architectures-{what}.svg").exists() for what in architectures.FIGURES)


def test_curves_of_architectures_are_read_at_halves():
    row = {"position": list(range(1, 65)), "bits": {"mix": [2.0 * k for k in range(1, 65)]}}
    worse = {
        "position": row["position"],
        "bits": {"mix": [4.0 * k for k in range(1, 33)] + [128.0 + 2 * k for k in range(1, 33)]},
    }
    better, worse = architectures.at_sizes(row, "mix"), architectures.at_sizes(worse, "mix")
    assert [count for count, _ in better] == [2, 4, 8, 16, 32, 64]
    whole = architectures.gains(better, worse)
    assert [(round(of_all, 1), round(of_the_last, 1)) for _, of_all, of_the_last in whole[-2:]] == [(50, 50), (33.3, 0)]


def test_architectures_are_measured_resumed_and_drawn(data, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_bytes(data)
    words = [tmp_path / "file", "--bytes", 960, "--widths", "16", "--profiled", 16, "--pieces", 2, "--table-bits", 9]
    words = [str(word) for word in (*words, "--folder", tmp_path, "--results", tmp_path)]
    architectures.main(words)
    result = json.loads((tmp_path / "architectures.json").read_text())
    assert len(result["runs"]) == 1 + 5 + 4 + 4
    for row in result["runs"]:
        assert row["position"][-1] == 960
        assert all(bits == sorted(bits) for bits in row["bits"].values())
    assert all((tmp_path / f"architectures-{what}.svg").exists() for what in architectures.FIGURES[1:])
    capsys.readouterr()
    architectures.main(words)  # nothing is left to do
    assert "CPU s\n" not in capsys.readouterr().err
    assert json.loads((tmp_path / "architectures.json").read_text()) == result
