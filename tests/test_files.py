"""Files as they are written: holes for runs of zeros, wherever nothing that stood there is lost by them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from lmzip import checkpoint
from lmzip.files import HOLE, Sparse

LENGTH = 64 * HOLE


def disk(path: Path) -> int:
    """Bytes that a file takes on the disk."""
    return path.stat().st_blocks * 512


@pytest.fixture
def holes(tmp_path):
    """Does this file system leave holes at all?"""
    with open(tmp_path / "probe", "wb") as file:
        file.truncate(LENGTH)
    if not hasattr(os.stat_result, "st_blocks") or disk(tmp_path / "probe"):
        pytest.skip("no holes on this file system")


@pytest.fixture
def zeros(run, tmp_path):
    """An archive of zeros with something in the middle, in frames that are filled, stored or coded."""
    data = bytearray(LENGTH)
    data[LENGTH // 2 : LENGTH // 2 + 4] = b"text"
    original = tmp_path / "zeros"
    original.write_bytes(data)
    assert run("encode", original, "--preset", "fast", "--no-code", "--frame-size", "4K").status == 0
    original.unlink()
    return tmp_path / "zeros.lmz", bytes(data)


def test_runs_of_zeros_become_holes(toy_predictor, run, holes, zeros, tmp_path):
    archive, data = zeros
    assert run("decode", archive).status == 0
    assert (tmp_path / "zeros").read_bytes() == data
    assert disk(tmp_path / "zeros") <= 4 * HOLE
    assert run("decode", archive, "--no-sparse", "-o", tmp_path / "full").status == 0
    assert (tmp_path / "full").read_bytes() == data
    assert disk(tmp_path / "full") >= LENGTH


def test_what_a_damaged_archive_still_holds_has_holes_too(toy_predictor, run, holes, zeros, tmp_path):
    archive, data = zeros
    archive.write_bytes(archive.read_bytes()[:-3])
    assert run("decode", archive, "--keep-going").status == 1
    assert (tmp_path / "zeros.partial").read_bytes() == data
    assert disk(tmp_path / "zeros.partial") <= 4 * HOLE


LMZIP = f"{sys.executable} -m lmzip"


@pytest.mark.parametrize(
    ("command", "before", "after", "sparse"),
    [
        ("{} decode zeros.lmz -c > out", b"", b"", True),
        ("(echo before; {} decode zeros.lmz -c; echo after) > out", b"before\n", b"after\n", True),
        ("{} decode zeros.lmz zeros.lmz -c > out", b"", None, True),
        ("echo before > out; {} decode zeros.lmz -c >> out", b"before\n", b"", False),
        ("{} decode zeros.lmz -c | cat > out", b"", b"", False),
    ],
)
def test_standard_output_has_holes_only_where_it_is_a_new_file(run, holes, tmp_path, command, before, after, sparse):
    data = bytes(LENGTH)  # filled frames: no predictor is needed
    (tmp_path / "zeros").write_bytes(data)
    assert run("encode", tmp_path / "zeros", "--no-code").status == 0
    subprocess.run(["bash", "-c", command.format(LMZIP)], cwd=tmp_path, check=True)
    assert (tmp_path / "out").read_bytes() == before + data + (data if after is None else after)
    assert (disk(tmp_path / "out") < LENGTH) == sparse


def test_a_file_that_is_written_in_its_middle_has_no_holes(run, tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(LENGTH))
    assert run("encode", tmp_path / "zeros", "--no-code").status == 0
    (tmp_path / "out").write_bytes(b"x" * 2 * LENGTH)  # 1<> opens it as it is
    subprocess.run(["bash", "-c", f"{LMZIP} decode zeros.lmz -c 1<> out"], cwd=tmp_path, check=True)
    assert (tmp_path / "out").read_bytes() == bytes(LENGTH) + b"x" * LENGTH


def test_a_sparse_file_reads_as_it_was_written(tmp_path):
    source = random.Random(0)
    for trial in range(30):
        path, expected = tmp_path / str(trial), bytearray()
        with open(path, "w+b") as file:
            sparse = Sparse(file)
            for _ in range(source.randrange(8)):
                part = source.choice((b"\0", b"\0", b"x")) * source.choice((0, 1, 1000, HOLE, 3 * HOLE + 7))
                assert sparse.write(part) == len(part)
                expected += part
                assert sparse.tell() == len(expected)
                if source.random() < 0.2:  # as after an interruption
                    checkpoint.sync(sparse)
                    assert os.fstat(file.fileno()).st_size == len(expected)
                    del expected[source.randrange(len(expected) + 1) :]
                    checkpoint.rewind(sparse, len(expected))
                    assert sparse.tell() == len(expected)
            sparse.flush()
        assert path.read_bytes() == expected
