"""Compiling: said when it happens, in one line; `lmzip warm` leaves nothing to be compiled later."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from lmzip import compilation, sender, warm
from lmzip.codec.cache import kernel_folder
from lmzip.session import Session

CODED = """
import io, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import lmzip
from lmzip import compilation
from lmzip.cli import main
from lmzip.warm import IMAGE, SOUND

compilation.announce(print)
text = Path(sys.argv[2]).read_bytes()[:1500]
samples = text[:300] + SOUND + text[:300] + IMAGE[:300]
models = []
try:
    import pretrained_models
    for family in pretrained_models.FAMILIES:
        models.append(pretrained_models.save(Path(family), family))
except ImportError:
    pass
Path("corpus").write_bytes(text)


def run(*words):
    assert main([str(word) for word in words]) == 0
    if compilation.count():
        sys.exit(f"compiled: {words}")


run("prior", "train", "corpus", "-o", "x.prior", "-q")
run("prior", "train", "corpus", "-o", "y.prior", "--preset", "fast", "-q")
kinds = [["--preset", preset] for preset in ("fast", "default", "max")]
kinds += [["--experts", "none"], ["-T", "2"], ["--prior", "x.prior"], ["--prior", "y.prior"]]
for model in models:
    kinds += [["--prior", model], ["--prior", model, "--experts", "none", "--adapt", "head", "--prior-bits", "12"]]
for kind in kinds:
    for data in (text, samples):
        Path("data").write_bytes(data)
        run("encode", "data", "-qf", *kind)
        run("decode", "data.lmz", "-qf", "-o", "back", "--prior-path", ".")
        assert Path("back").read_bytes() == data
"""


def test_compiling_is_said_once(monkeypatch):
    """One line for all the kernels compiled together, to whoever asked last; a session passes it on, not to others."""
    numba = pytest.importorskip("numba")
    said: list[str] = []
    monkeypatch.setattr(compilation._listener(), "_last", -2 * compilation.PAUSE)  # whatever tests before compiled
    before = compilation.count()
    for number in range(2):
        session = Session(notice=said.append)
        compilation.announce(session.notice)
        exec(f"def double(x): return {number + 2} * x", names := {})
        assert numba.njit(names["double"])(3) == 3 * (number + 2)
    assert said == [compilation.NOTICE]
    assert compilation.count() == before + 2
    compilation.announce(None)
    assert pickle.loads(pickle.dumps(session)).notice is None


def test_the_command(run, monkeypatch):
    jobs = [warm.Done("experts", 12.3, 40), warm.Done("priors", 1.2, 0)]
    asked = []
    monkeypatch.setattr(warm, "warm", lambda processes: asked.append(processes) or iter(jobs))
    done = run("warm", "-T", "3")
    assert (done.status, asked) == (0, [3])
    lines = done.stderr.splitlines()
    assert "in 3 processes" in lines[0]
    assert lines[1:3] == ["  12 s  experts", "   1 s  priors: there already"]
    assert lines[3].startswith("40 kernels compiled, in ")
    assert str(kernel_folder()) in lines[3]
    assert run("warm", "-q").stderr == ""


def test_processes_that_would_compile_in_silence(run, toy_predictor, text, tmp_path, monkeypatch):
    """Independent frames are coded in processes of their own: the one that starts them says what they do first."""
    (tmp_path / "x").write_bytes(text[:4096])
    monkeypatch.setattr(sender.Sender, "run", lambda *_: sys.exit(3))
    for there in (False, True):
        monkeypatch.setattr(compilation, "are_there", lambda _, there=there: there)
        done = run("encode", tmp_path / "x", "-T", "2", "--independent-frames", "--frame-size", "2K")
        assert (compilation.NOTICE in done.stderr) != there
    assert compilation.NOTICE not in run("encode", tmp_path / "x").stderr


@pytest.mark.slow
def test_nothing_is_left_to_be_compiled(tmp_path):
    """Every preset, priors and pretrained models, both ways, on text and on samples."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    here = Path(__file__).parent

    def run(*words):
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    encode = ("-m", "lmzip", "encode", "-f", "--preset", "fast", str(here / "conftest.py"), "-o", os.devnull)
    assert run(*encode).count(compilation.NOTICE) == 1
    assert compilation.NOTICE not in run(*encode)
    said = run("-m", "lmzip", "warm")
    assert "kernels compiled, in" in said
    assert str(tmp_path / "cache") in said
    assert "all kernels were there already" in run("-m", "lmzip", "warm")
    run("-c", CODED, str(here), str(here.parent / "samples" / "tom-sawyer.txt"))
