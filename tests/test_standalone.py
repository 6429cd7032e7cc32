"""`python FILE.lmz [OUT]`: an archive rebuilds its original where lmzip isn't installed."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import sysconfig
from functools import partial
from pathlib import Path

import pytest

import lmzip
from lmzip import pack, presets
from lmzip.codec import cache
from lmzip.codec.message import Header
from lmzip.progress import Watch
from lmzip.sender import Sender
from lmzip.session import Session

NEEDED = ("numpy", "numba", "llvmlite", "torch", "typing_extensions", "sympy", "mpmath", "networkx", "jinja2")
NEEDED += ("markupsafe", "filelock", "fsspec", "torchgen", "functorch", "nvidia", "triton")
HOME = str(Path(cache.kernel_folder()).parent.parent)  # where kernels that an earlier test run compiled are found


@pytest.fixture
def bare(tmp_path):
    """A Python that finds torch, numpy, numba and what those need, and nothing else."""
    packages = tmp_path / "packages"
    packages.mkdir()
    site = Path(sysconfig.get_paths()["platlib"])
    for path in site.iterdir():
        if path.stem.partition(".")[0].lower() in NEEDED:
            (packages / path.name).symlink_to(path)

    def run(*arguments: object, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess:
        clean = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages), "HOME": str(tmp_path / "home"), **environment}
        command = [sys.executable, "-S", *map(str, arguments)]
        return subprocess.run(command, input=stdin, capture_output=True, env=clean, cwd=tmp_path, check=False)

    return run


def archive_of(data: bytes, header: Header) -> bytes:
    sink = io.BytesIO()
    Sender(sink, header, pack.packed(pack.kind_of(header)), Watch(), session=Session()).run(io.BytesIO(data))
    return sink.getvalue()


def test_an_archive_decodes_itself(bare, text, tmp_path):
    path, out = tmp_path / "x.lmz", tmp_path / "out"
    bare = partial(bare, XDG_CACHE_HOME=HOME)
    data = text[:1000] + bytes(256) + text[1000:1100]
    path.write_bytes(archive_of(data, Header(segment=16, frame_size=256)))
    assert bare("-c", "import lmzip").returncode != 0
    done = bare(path, out)
    assert (done.returncode, done.stderr) == (0, b"")
    assert out.read_bytes() == data
    done = bare(path, out)
    assert done.returncode == 1
    assert b"exists; name another file" in done.stderr
    broken = bytearray(path.read_bytes())
    broken[100] ^= 1
    path.write_bytes(broken)
    done = bare(path, tmp_path / "other")
    assert done.returncode == 1
    assert b"damaged" in done.stderr
    assert not list(tmp_path.glob("other*"))


def test_a_home_that_can_not_be_written(bare, text, tmp_path):
    path = tmp_path / "x.lmz"
    path.write_bytes(archive_of(text[:300], Header(segment=16, frame_size=256)))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = bare(path, XDG_CACHE_HOME="/dev/null", TMPDIR=str(temporary))
    assert done.stdout == text[:300]
    assert list(temporary.iterdir())


def test_the_default_preset_decodes_itself(bare, text, tmp_path):
    """With torch, and kernels of all parts."""
    path = tmp_path / "x.lmz"
    path.write_bytes(archive_of(text[:600], presets.header()))
    done = bare(path, XDG_CACHE_HOME=HOME, LMZIP_PRODUCTS="float32")  # each backend has kernels of its own
    assert (done.stdout, done.stderr) == (text[:600], b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "experts", "length"),
    [
        ("default", None, 600),
        *(pytest.param(name, None, 20_000, marks=pytest.mark.long) for name in presets.PRESETS),
        pytest.param("default", "none", 20_000, marks=pytest.mark.long),
    ],
)
def test_every_preset_decodes_itself(bare, text, tmp_path, preset, experts, length):
    """The kernels of all parts are compiled by the receiver: there is nothing in the cache."""
    path = tmp_path / "x.lmz"
    path.write_bytes(archive_of(text[:length], presets.header(preset, experts=experts)))
    done = bare(path)
    assert (done.stdout, done.stderr) == (text[:length], b"")


def test_run_embedded(run, text, tmp_path):
    path, out = tmp_path / "x.lmz", tmp_path / "out"
    path.write_bytes(archive_of(text[:300], Header(segment=16, frame_size=256)))
    right = hashlib.sha256(pack.packed(pack.kind_of(Header()))).hexdigest()
    result = run("decode", path, f"--run-embedded={right}")
    assert (result.status, result.stderr) == (0, "")
    assert (tmp_path / "x").read_bytes() == text[:300]
    assert run("decode", path, "-o", out, f"--run-embedded={right[:-1]}").status == 2


def test_private_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    folder = Path(cache.private_folder("x"))
    assert folder.parent == tmp_path / "home" / "lmzip"
    assert folder.stat().st_mode & 0o077 == 0
    folder.chmod(0o777)  # anyone may have put a pickle there
    assert Path(cache.private_folder("x")) != folder


def test_no_jit_is_refused(monkeypatch):
    import numba

    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(lmzip.UsageError, match="NUMBA_DISABLE_JIT"):
        Session().lockstep(Header())
