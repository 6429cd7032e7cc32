"""Scans: what a run records, that it is resumed, that one run gives all shorter ones, and the command."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from lmzip.errors import UsageError
from lmzip.lab.scan import fit, laws
from lmzip.lab.scan import runs as scan
from lmzip.session import Session

SETTING = scan.Setting(layers=1, width=16, table_bits=10)


@pytest.fixture(autouse=True)
def few_replicates(monkeypatch):
    """Enough for an interval; what intervals are worth is the subject of test_fit.py."""
    monkeypatch.setattr(fit, "fit", partial(fit.fit, replicates=60))


@pytest.fixture
def data(text, tmp_path) -> scan.Data:
    path = tmp_path / "text"
    path.write_bytes(text[: 40 << 10])
    return scan.Data.read(path, 32 << 10, 4 << 10)


def synthetic(setting: scan.Setting, loss, length: int = 1 << 20) -> laws.Run:
    """A run whose byte at position x costs loss(x) bits."""
    bits = {"model": loss(np.arange(length) + 0.5).reshape(-1, scan.BLOCK).sum(1).tolist()}
    about = {"name": "made", "length": length, "held_out": 0, "digest": ""}
    probes = [{"length": at} for at in scan.lengths(length)]
    record = {"data": about, "setting": vars(setting), "bits": bits, "probes": probes, "cpu_seconds": 0.0}
    return laws.Run(record)


def test_the_standard_formulas():
    setting = scan.Setting(layers=2, width=128, window=64)
    assert setting.parameters == 12 * 2 * 128**2 == 393_216
    assert setting.context_share == 64 / (12 * 128)
    assert setting.tables == 5 * 2**17 * 128
    row = synthetic(setting, lambda x: 0 * x + 2).rows()[-1]
    assert row["C"] == 6 * 393_216 * (1 << 20)
    assert row["petaflop_days"] * 1e15 * 86400 == pytest.approx(row["C"])


def test_n_is_what_the_trunks_matrices_hold():
    """12·L·d² is exact for hidden = 4·width, the shape of every scan."""
    from lmzip.codec.model import Model
    from lmzip.codec.product import Products

    setting = scan.Setting(layers=3, width=32, table_bits=8)
    model = Model(setting.header().model, 1, 32, 0, Products())
    assert setting.parameters == sum(
        getattr(block, name).weight.size for block in model.net.blocks for name in ("qkv", "out", "up", "down")
    )


def test_lengths_are_halves_in_whole_blocks():
    assert scan.lengths(1 << 16) == [1 << 13, 1 << 14, 1 << 15, 1 << 16]
    assert all(length % scan.BLOCK == 0 for length in scan.lengths(1_000_000 // scan.BLOCK * scan.BLOCK))


def test_one_run_gives_every_shorter_one(data):
    """Nothing depends on the total length, nor on the probes: the shorter run's blocks are the longer one's first."""
    whole = scan.measure(data, SETTING, Session(), tasks=True)["bits"]["model"]
    shorter = scan.Data(data.name, data.scanned[: 16 << 10], data.held_out[:0])
    assert scan.measure(shorter, SETTING, Session())["bits"]["model"] == whole[:16]


def test_the_blocks_cost_what_the_archive_costs(data):

    encoding = Session().lockstep(SETTING.header()).encode(data.scanned)
    encoding.advance(1 << 20)
    record = scan.measure(data, SETTING, Session())
    assert sum(record["bits"]["model"]) == pytest.approx(encoding.nll / (1 << 20), abs=0.01 * len(data.scanned) / 1024)


def test_with_experts_the_parts_are_told_apart(data):
    record = scan.measure(data, replace(SETTING, experts=True), Session())
    alone = scan.measure(data, SETTING, Session())["bits"]["model"]
    run = laws.Run(
        {
            "data": {"name": "text", "length": len(data.scanned)},
            "setting": vars(replace(SETTING, experts=True)),
            **record,
        }
    )
    costs = {part: run.loss("cumulative", run.length, part) for part in ("mix", "experts", "model")}
    assert costs["mix"] < costs["experts"] < costs["model"]
    assert sum(record["bits"]["model"]) == pytest.approx(sum(alone), rel=1e-4)  # the mix doesn't change the model
    assert "held-out" not in record["probes"][0]  # experts can't be frozen


def test_a_finished_run_is_not_run_again(data, tmp_path, monkeypatch, toy_predictor):
    first = scan.run(data, SETTING, tmp_path, Session())
    monkeypatch.setattr(scan, "measure", lambda *_: pytest.fail("it was run again"))
    assert scan.run(data, SETTING, tmp_path, Session()) == first


@pytest.mark.parametrize("change", ["data", "held out", "setting", "tasks"])
def test_a_run_is_known_by_all_that_it_depends_on(data, change):
    other, setting, tasks = data, SETTING, False
    if change == "data":
        other = replace(data, scanned=np.where(np.arange(len(data.scanned)) == 7, 0, data.scanned).astype(np.uint8))
    elif change == "held out":
        other = replace(data, held_out=data.held_out[1:])
    elif change == "setting":
        setting = replace(SETTING, seed=1)
    else:
        tasks = True
    assert scan.identity(other, setting, tasks) != scan.identity(data, SETTING, False)


def test_an_interrupted_run_leaves_no_record(data, tmp_path, toy_predictor):
    def stop(done: int, bits: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan.run(data, SETTING, tmp_path / "runs", Session(), tick=stop)
    assert not list(tmp_path.glob("runs/*"))


def test_losses_of_a_known_curve():
    run = synthetic(SETTING, lambda x: 1 + (1e5 / x) ** 0.25)
    at = 1 << 18
    exact = at + 1e5**0.25 * at**0.75 / 0.75  # its integral from 0
    assert run.loss("cumulative", at) == pytest.approx(exact / at, rel=2e-3)
    start = at / 2**0.5
    stretch = exact - (start + 1e5**0.25 * start**0.75 / 0.75)
    assert run.loss("marginal", at) == pytest.approx(stretch / (at - start), rel=2e-3)


def test_laws_of_a_scan_are_found():
    """L = 0.5 + (N0/N)^0.2 + (D0/D)^0.3, for every size: α over D at each, forecasts that come true."""
    pytest.importorskip("scipy")

    def loss(n: int):
        return lambda x: 0.5 + (300 / n) ** 0.2 + (1e5 / x) ** 0.3

    settings = [scan.Setting(1, width) for width in (16, 32, 64, 128, 256)]
    found = laws.analyse([synthetic(setting, loss(setting.parameters)) for setting in settings])
    marginal = [law for law in found["laws_of_data"] if law["loss"] == "marginal"]
    assert [law["verdict"] for law in marginal] == ["power law"] * 5
    assert [law["alpha"]["value"] for law in marginal] == [pytest.approx(0.3, abs=0.01)] * 5
    checks = [one for one in found["forecasts_checked"] if one["law"] == "data" and one["loss"] == "marginal"]
    assert all(one["mean_absolute_error"] < 0.005 and len(one["points"]) in (4, 6) for one in checks)
    sizes = [law for law in found["laws_of_size"] if law["loss"] == "marginal"]
    assert all(law["verdict"] == "power law" for law in sizes)
    text = laws.table(found)
    assert "α = 0.300" in text and "10,485,760" in text
    json.dumps(found)


def test_a_scan_without_a_law_says_so():
    pytest.importorskip("scipy")
    runs = [synthetic(scan.Setting(1, width), lambda x: 0 * x + 2) for width in (16, 32, 64, 128)]
    text = laws.table(laws.analyse(runs))
    assert "no power law" in text and "a constant is not ruled out" in text


def test_only_runs_that_differ_in_size_alone_make_a_series():
    base = [scan.Setting(1, width) for width in (64, 16, 32)]
    others = [replace(base[0], seed=1), replace(base[0], window=16), replace(base[0], experts=True)]
    runs = [synthetic(setting, lambda x: 0 * x + 2, 1 << 14) for setting in base]
    mixed = laws.Run({**runs[0].record, "setting": vars(others[2])})
    odd = [laws.Run({**runs[0].record, "setting": vars(setting)}) for setting in others[:2]]
    (members,) = laws.series([*odd, mixed, *runs]).values()
    assert [run.setting.width for run in members] == [16, 32, 64]


def test_a_run_cut_is_the_shorter_run():
    whole, shorter = (synthetic(SETTING, lambda x: 1 + (1e5 / x) ** 0.25, 1 << k) for k in (18, 16))
    cut = whole.cut(1 << 16)
    assert cut.rows() == shorter.rows() and cut.lengths("marginal") == shorter.lengths("marginal")


def test_the_plan_gives_seeds_and_experts_to_the_corners():
    plan = scan.plan(["1x64", "1x16", "2x128"], [64, 16], 2, True)
    assert [one.parameters for one in plan[:3]] == sorted(one.parameters for one in plan[:3])
    assert plan[3] == replace(scan.Setting(1, 64), window=16)
    assert {(one.layers, one.width) for one in plan if one.seed == 1 or one.experts} == {(1, 16), (2, 128)}
    assert len(plan) == len(set(plan)) == 8


@pytest.mark.parametrize("size", ["128", "2x", "1x100", "0x64", "axb"])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(UsageError, match="LAYERSxWIDTH"):
        scan.Setting.parse(size)


def test_the_command(text, tmp_path, run, toy_predictor):
    """Two files, two sizes, two seeds; the second call finds all runs there and prints the same."""
    pytest.importorskip("scipy")
    for name, part in (("a.txt", text[: 24 << 10]), ("b.bin", text[24 << 10 : 48 << 10])):
        (tmp_path / name).write_bytes(part)
    out = tmp_path / "out"
    words = ["scan", tmp_path / "a.txt", tmp_path / "b.bin", "-o", out, "--bytes", "16K", "--held-out", "1K"]
    words += ["--sizes", "1x16,1x32", "--seeds", "2", "--no-plots"]
    first = run(*words)
    assert first.status == 0, first.stderr
    assert "8 of 8 runs to go" in first.stderr and b"too few to tell" in first.stdout
    with open(out / "points.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 * 3 and {row["data"] for row in rows} == {"a.txt", "b.bin"}
    assert len(json.loads((out / "laws.json").read_text())["seeds"]) == 4
    written = {
        path: path.read_bytes() for path in out.rglob("*") if path.suffix == ".csv" or path.parent.name == "runs"
    }
    again = run(*words)
    assert "all 8 runs are there already" in again.stderr and again.stdout == first.stdout
    assert len(written) == 9 and written == {path: path.read_bytes() for path in written}


def test_plots(tmp_path, run, toy_predictor):
    """Each kind of plot is drawn, without a law as well; the same runs give the same bytes."""
    pytest.importorskip("scipy")
    pytest.importorskip("matplotlib")
    from lmzip.lab.scan import charts

    def loss(n: int):
        return lambda x: 0.5 + (300 / n) ** 0.2 + (1e5 / x) ** 0.3

    runs = [synthetic(setting, loss(setting.parameters)) for setting in (scan.Setting(1, w) for w in (16, 32, 64, 128))]
    found = laws.analyse(runs)
    drawn = charts.over_data(runs, found, tmp_path / "data")
    assert [path.name for path in drawn] == ["data.svg", "data.png"]
    assert b"196,608" in drawn[0].read_bytes() and drawn[1].read_bytes().startswith(b"\x89PNG")
    (again,) = charts.over_data(runs, found, tmp_path / "again", [".svg"])
    assert again.read_bytes() == drawn[0].read_bytes()
    flat = laws.analyse([synthetic(scan.Setting(1, width), lambda x: 0 * x + 2, 1 << 17) for width in (16, 32)])
    charts.over_size(found, tmp_path / "size", [".svg"])
    charts.over_compute(runs, found, tmp_path / "compute", [".svg"])
    charts.checked(flat, tmp_path / "forecasts", [".svg"])
    charts.exponents([found, flat], "marginal", tmp_path / "kinds", [".svg"])


def test_the_command_says_what_it_can_not_do(tmp_path, run):
    pytest.importorskip("scipy")
    (tmp_path / "short").write_bytes(b"x" * 1000)
    assert "bytes at least" in run("scan", tmp_path / "short", "--held-out", "1").stderr
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    assert run("scan", tmp_path / "file", "--bytes", "1M").status == 2
    assert run("scan", tmp_path / "file", "-o", tmp_path / "file").status == 1
    assert run("scan", tmp_path / "file", "--windows", "a").status == 2
    assert run("scan", tmp_path / "absent").status == 1
