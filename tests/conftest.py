from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
import toy
import turns

from lmzip import pace, session
from lmzip.codec import cache

# Machines are slow and busy: no test fails for the time it takes.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# Every predictor would choose again what multiplies, which takes longer than most tests. The choice changes no bit:
# that is the claim of test_exact.py, the golden archives and the numeric matrix, which name or choose it themselves.
os.environ.setdefault("LMZIP_PRODUCTS", "float32")

cache.kernel_folder()  # chosen for good, before a test says that the user's cache is elsewhere
if "PYTEST_XDIST_WORKER" in os.environ:
    turns.take_turns()

SAMPLE = Path(__file__).parent.parent / "samples" / "tom-sawyer.txt"


@pytest.fixture
def toy_predictor(monkeypatch, tmp_path_factory):
    """A predictor in pure Python in place of the codec's, where the codec is not the subject; its pace is forgotten."""
    notes = pace.Notebook(tmp_path_factory.mktemp("pace") / "paces.json")
    monkeypatch.setattr(pace, "notebook", lambda: notes)
    monkeypatch.setattr(session, "lockstep_class", lambda *_: toy.ToyLockstep)
    monkeypatch.setattr(session.Session, "load_torch", lambda *_: None)


@pytest.fixture(scope="session")
def text() -> bytes:
    """The sample in the repository."""
    return SAMPLE.read_bytes()


@pytest.fixture
def run(monkeypatch, capfdbinary) -> Callable[..., SimpleNamespace]:
    """Run the command line in this process: run("encode", path, stdin=b"") gives status, stdout, stderr."""
    from lmzip.cli import main

    def call(*arguments: object, stdin: bytes = b"") -> SimpleNamespace:
        fake = SimpleNamespace(buffer=io.BytesIO(stdin), isatty=lambda: False)
        monkeypatch.setattr(sys, "stdin", fake)
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = capfdbinary.readouterr()
        return SimpleNamespace(status=status, stdout=out, stderr=err.decode())

    return call
