"""File objects: whole or not at all, refusals before a file is touched, seeking, several processes."""

from __future__ import annotations

import io
import os
import stat

import pytest

import lmzip
from lmzip.errors import ArchiveError, PriorError, UsageError


@pytest.fixture
def existing(tmp_path):
    path = tmp_path / "existing.lmz"
    path.write_bytes(b"what stood here before")
    return path


BAD = {
    "a preset": ({"preset": "nope"}, UsageError),
    "experts": ({"experts": "nope"}, UsageError),
    "a frame size": ({"frame_size": 0}, UsageError),
    "a missing prior": ({"prior": "nobody"}, PriorError),
    "options that do nothing": ({"preset": "fast", "seed": 1}, UsageError),
    "threads": ({"threads": 0}, UsageError),
    "a name": ({"nope": 1}, TypeError),
}


@pytest.mark.parametrize(("options", "error"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("mode", ["wb", "xb", "wt"])
def test_bad_options_are_refused_before_the_file_is_touched(existing, tmp_path, options, error, mode):
    path = tmp_path / "new.lmz" if mode == "xb" else existing
    with pytest.raises(error):
        lmzip.open(path, mode, **options)
    assert sorted(tmp_path.iterdir()) == [existing]
    assert existing.read_bytes() == b"what stood here before"


def test_unknown_options_are_named_and_nothing_internal_is():
    for call in (lambda: lmzip.open(io.BytesIO(), "wb", nope=1), lambda: lmzip.compress(b"", nope=1)):
        with pytest.raises(TypeError, match="there is no option 'nope'; there are preset, ") as caught:
            call()
        assert "__init__" not in str(caught.value)


@pytest.mark.parametrize("mode", ["wb", "wt"])
def test_a_file_appears_when_it_is_closed(existing, toy_predictor, text, mode):
    data = text[:5000] if mode == "wb" else text[:5000].decode()
    with lmzip.open(existing, mode, frame_size=1024) as file:
        file.write(data)
        assert existing.read_bytes() == b"what stood here before"
    assert lmzip.decompress(existing.read_bytes()) == text[:5000]
    assert os.listdir(existing.parent) == [existing.name]


@pytest.mark.parametrize("mode", ["wb", "wt", "xb"])
def test_a_block_left_by_an_exception_leaves_what_was(existing, tmp_path, toy_predictor, text, mode):
    path = tmp_path / "new.lmz" if mode == "xb" else existing
    with pytest.raises(ZeroDivisionError), lmzip.open(path, mode, frame_size=1024) as file:  # noqa: PT012
        file.write(text[:5000] if mode != "wt" else text[:5000].decode())
        _ = 1 / 0
    assert sorted(tmp_path.iterdir()) == [existing]
    assert existing.read_bytes() == b"what stood here before"
    assert file.closed


def test_a_new_file_must_be_new(existing):
    with pytest.raises(FileExistsError):
        lmzip.open(existing, "xb")
    with pytest.raises(FileNotFoundError):
        lmzip.open(existing.parent / "no" / "x.lmz", "wb")
    with pytest.raises(IsADirectoryError):
        lmzip.open(existing.parent, "wb")
    with pytest.raises(FileNotFoundError):
        lmzip.open(existing.parent / "no.lmz")


def test_a_link_is_followed_and_the_mode_stays(existing, tmp_path, toy_predictor):
    existing.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(existing)
    with lmzip.open(link, "wb") as file:
        file.write(b"new")
    assert link.is_symlink()
    assert lmzip.decompress(existing.read_bytes()) == b"new"
    assert stat.S_IMODE(existing.stat().st_mode) == 0o640


@pytest.mark.parametrize("file", [3, 2.5, None, object(), ["x"]])
def test_what_is_no_file_is_refused_by_its_type(file):
    for mode in ("rb", "wb"):
        with pytest.raises(TypeError, match=f"a path or a binary file, not {type(file).__name__}"):
            lmzip.open(file, mode)


def test_files_have_names(existing, toy_predictor):
    with lmzip.open(existing, "wb") as file:
        assert file.name == str(existing) or os.fspath(file.name) == str(existing)
    with lmzip.open(existing) as file:
        assert os.fspath(file.name) == str(existing)
        assert file.fileno() == file.raw.fileno()
    with lmzip.open(existing, "rt") as file:
        assert os.fspath(file.name) == str(existing)
    with open(existing, "rb") as raw, lmzip.open(raw) as file:
        assert file.name == raw.name
    assert not hasattr(lmzip.open(io.BytesIO(lmzip.compress(b"", preset="fast"))), "name")


@pytest.mark.parametrize("independent", [True, False])
def test_seeking_in_an_archive_that_begins_within_a_stream(toy_predictor, text, independent):
    archive = lmzip.compress(text[:4000], frame_size=512, independent_frames=independent)
    stream = io.BytesIO(b"12345678" + archive)
    assert stream.read(8) == b"12345678"
    with lmzip.open(stream) as file:
        assert file.read(100) == text[:100]
        for place in (0, 3000, 10, 3999, 700):
            assert file.seek(place) == place
            assert file.read(20) == text[place : min(place + 20, 4000)]
        assert file.seek(-10, 2) == 3990
        assert file.read() == text[3990:4000]


def test_a_reader_of_no_archive_says_so(tmp_path):
    (tmp_path / "x").write_bytes(b"no archive at all")
    with pytest.raises(ArchiveError):
        lmzip.open(tmp_path / "x")


@pytest.mark.slow
def test_several_processes_give_the_same_bytes(text, tmp_path):
    """compress, decompress and open with threads: the same archive, the same original, with the real codec."""
    data, options = text[:20_000], {"preset": "fast", "frame_size": 4096, "independent_frames": True}
    alone = lmzip.compress(data, **options)
    assert lmzip.compress(data, threads=2, **options) == alone
    assert lmzip.decompress(alone, threads=2) == data
    with lmzip.open(tmp_path / "x.lmz", "wb", threads=2, **options) as file:
        for start in range(0, len(data), 3000):
            file.write(data[start : start + 3000])
            assert file.tell() == min(start + 3000, len(data))
    assert (tmp_path / "x.lmz").read_bytes() == alone
    with lmzip.open(tmp_path / "x.lmz", threads=2) as file:
        assert file.read(5000) == data[:5000]
        file.seek(15_000)
        assert file.read() == data[15_000:]
        file.seek(100)
        assert file.read(10) == data[100:110]
