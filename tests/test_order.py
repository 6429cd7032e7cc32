"""Whatever can be refused is refused before long work, and a retry finds nothing in its way that the failure left."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import lmzip
from lmzip import files, sender
from lmzip.errors import FileError
from lmzip.prior import store

ARCHIVE = lmzip.compress(b"x" * 5000, code=False)


@pytest.fixture
def idle(monkeypatch):
    """Fails the test if anything is coded, decoded or sampled."""

    def work(*_, **__):
        raise AssertionError("long work was begun")

    monkeypatch.setattr(sender.Sender, "run", work)
    monkeypatch.setattr("lmzip.receiver.Receiver.run", work)
    monkeypatch.setattr("lmzip.plan.make", work)
    monkeypatch.setattr("lmzip.prior.choice.best", work)


@pytest.fixture
def book(tmp_path, monkeypatch, text):
    """A file of text in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("book.txt")
    path.write_bytes(text[:3000])
    return path


def refused(done, words: str) -> None:
    """One line that says why, and a remedy."""
    assert done.status in (1, 2)
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def names() -> list[str]:
    """What there is in the current folder."""
    return sorted(path.name for path in Path().iterdir())


def no_room(monkeypatch) -> None:
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 30, 1 << 30, 10))


# Archives


@pytest.mark.parametrize("how", [["--preset", "auto"], ["--time", "5m"], ["--prior", "auto"]])
def test_nothing_is_chosen_for_an_archive_that_can_not_be_written(run, idle, book, how):
    Path("book.txt.lmz").touch()
    refused(run("encode", book, *how), "exists; add -f")
    refused(run("encode", book, *how, "-f", "-o", "missing/x.lmz"), "can't write missing/x.lmz: No such file")
    refused(run("encode", book, *how, "-f", "-o", book), "is the input")
    refused(run("encode", book, *how, "-c", "--resume"), "can't be resumed")
    assert names() == ["book.txt", "book.txt.lmz"]


def test_what_may_be_saved_of_a_damaged_archive_needs_a_place(run, idle, book):
    archive = Path("x.lmz")
    archive.write_bytes(ARCHIVE)
    refused(run("decode", archive, "--keep-going", "-c"), "--keep-going works from file to file")
    refused(run("decode", "-", "--keep-going", "-o", "y", stdin=archive.read_bytes()), "--keep-going works from")
    Path("x.partial").touch()
    refused(run("decode", archive, "--keep-going"), "x.partial exists")


def test_an_original_of_another_length_is_not_compared(run, idle, book):
    archive = Path("x.lmz")
    archive.write_bytes(ARCHIVE)
    refused(run("verify", archive, book), "the original has 3,000 bytes, shorter than the archive's 5,000")


def test_what_is_too_long_to_decode_is_not_sampled(run, idle, book):
    archive = Path("x.lmz")
    archive.write_bytes(ARCHIVE)
    refused(run("sample", archive, "--max-output", "4000"), "--max-output")


# Priors


def test_a_prior_that_can_not_be_written_is_not_learnt(run, idle, book, monkeypatch):
    train = ("prior", "train", book, "-o")
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        refused(run(*train, "x.prior"), "pip install safetensors")
    with monkeypatch.context() as patch:
        no_room(patch)
        refused(run(*train, "x.prior"), "10 are free there")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        refused(run(*train, "x.prior"), "can't write x.prior: Permission denied")
    refused(run(*train, "missing/x.prior"), "can't write missing/x.prior: No such file")
    refused(run("prior", "train", book, "absent", "-o", "x.prior"), "absent: can't read it")
    Path("x.lmz").write_bytes(book.read_bytes())
    refused(run(*train, "x.prior"), "x.lmz exists; add -f")
    refused(run("prior", "train", "x.lmz", "-f", "-o", "x.prior"), "x.lmz is part of the corpus")
    Path("x.lmz").unlink()
    Path("x.prior").touch()
    refused(run(*train, "x.prior"), "x.prior exists; add -f")
    refused(run(*train, "x.prior", "--resume"), "x.prior exists; add -f")  # there is nothing to go on with
    assert names() == ["book.txt", "x.prior"]


@pytest.mark.parametrize("what", ["prior", "archive"])
def test_training_again_after_a_failure(run, toy_predictor, book, monkeypatch, what):
    """Whichever of the two files could not be written, the same command then writes both."""
    train = ("prior", "train", book, "-o", "x.prior", "--checkpoint", "0")

    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if what == "prior":
            patch.setattr(store, "write", fails)
        else:
            publish = files.Output.publish

            def half(output, *like):
                (publish if output.target.suffix == ".prior" else fails)(output, *like)

            patch.setattr(files.Output, "publish", half)
        assert run(*train).status == 1
    assert not [name for name in names() if name in ("x.lmz", "x.prior")]
    again = run(*train)
    if "--resume" in again.stderr:  # the checkpoint at the end of the corpus was kept: it is named, and goes on
        again = run(*train, "--resume")
    assert again.status == 0, again.stderr
    assert names() == ["book.txt", "x.lmz", "x.prior"]
    assert run("prior", "verify", "x.prior").status == 0


def test_a_prior_that_can_not_be_written_is_not_built(run, toy_predictor, book, idle, monkeypatch):
    archive = Path("x.lmz")
    archive.write_bytes(ARCHIVE)
    build = ("prior", "build", archive, "-o")
    with monkeypatch.context() as patch:
        no_room(patch)
        refused(run(*build, "x.prior"), "10 are free there")
    refused(run(*build, "x.prior", "--max-output", "4000"), "--max-output")
    refused(run(*build, "x.prior", "--resume"), "can't be resumed")
    refused(run(*build, "missing/x.prior"), "can't write missing/x.prior: No such file")
    Path("x.prior").touch()
    refused(run(*build, "x.prior"), "x.prior exists; add -f")


def test_an_export_that_failed_is_no_obstacle(run, toy_predictor, book, monkeypatch):
    assert run("prior", "train", book, "-o", "x.prior").status == 0
    command = ("prior", "export", "x.prior", "-o")
    refused(run(*command, "missing/x"), "can't write missing/x: No such file")
    with monkeypatch.context() as patch:
        no_room(patch)
        refused(run(*command, "x"), "10 are free there")

    def export(prior, folder):
        folder.mkdir()
        (folder / "config.json").touch()
        if fails:
            raise OSError(28, "No space left on device")

    fails = True
    monkeypatch.setitem(sys.modules, "lmzip.pretrained.export", SimpleNamespace(export=export))  # no transformers
    for _ in range(2):
        refused(run(*command, "x"), "can't write x: No space left on device")
    assert names() == ["book.txt", "x.lmz", "x.prior"]
    fails = False
    assert run(*command, "x").status == 0
    assert names() == ["book.txt", "x", "x.lmz", "x.prior"]


# The lab


def test_a_report_that_can_not_be_written_is_not_measured(run, idle, book):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    pytest.importorskip("scipy")
    report = ("report", book, "--preset", "fast")
    refused(run("report", book, "absent"), "absent: can't read it")
    refused(run(*report, "--plot", "x.doc"), "name a .png, .pdf or .svg")
    refused(run(*report, "--plot", "x"), "name a .png, .pdf or .svg")
    refused(run(*report, "--peer", "x=no-such-program {in} {out}"), "there is no program 'no-such-program'")
    refused(run(*report, "--peer", "x=cp '{in} {out}"), "is no peer")
    refused(run(*report, "--json", "missing/x"), "can't write missing/x: No such file")
    Path("r.json").touch()
    refused(run(*report, "--json", "r.json"), "r.json exists; add -f")
    assert names() == ["book.txt", "r.json"]


def test_a_report_that_failed_is_no_obstacle(run, book, monkeypatch):
    """Page, figures and plot appear together or not at all."""
    pytest.importorskip("jinja2")
    plots = pytest.importorskip("lmzip.lab.report.plots")
    measure = pytest.importorskip("lmzip.lab.report.measure")
    page = pytest.importorskip("lmzip.lab.report.page")
    monkeypatch.setattr(measure, "measure", lambda *_, **__: {})
    monkeypatch.setattr(page, "render", lambda _: "page")
    monkeypatch.setattr(plots, "save", lambda files, file, kind: file.write(b"plot"))
    report = ("report", book, "--preset", "fast", "--json", "r.json", "--plot", "r.png")
    publish = files.Output.publish

    def fails(output, *like):
        if output.target.name == "r.png":
            raise FileError("can't write r.png")
        publish(output, *like)

    with monkeypatch.context() as patch:
        patch.setattr(files.Output, "publish", fails)
        refused(run(*report), "can't write r.png")
    assert names() == ["book.txt"]
    assert run(*report).status == 0
    assert names() == ["book.txt", "r.json", "r.png", "report.html"]


def test_a_scan_that_can_not_be_written_is_not_run(run, idle, book, monkeypatch):
    pytest.importorskip("scipy")
    Path("data").write_bytes(bytes(range(256)) * 400)
    scan = ("scan", "data", "--sizes", "1x16")
    find = importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name, *_: None if name == "matplotlib" else find(name, *_))
        refused(run(*scan), "plots need matplotlib")
    refused(run(*scan, "--no-plots", "-o", "book.txt/out"), "can't write to book.txt/out")
    monkeypatch.setattr("lmzip.files.os.access", lambda *_: False)
    refused(run(*scan, "--no-plots"), "Permission denied")
