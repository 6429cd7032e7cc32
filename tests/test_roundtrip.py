"""What goes in comes out, whatever it is and whichever way it takes."""

from __future__ import annotations

import doctest
import io
import os
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import toy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lmzip
from lmzip import pack, session
from lmzip.codec import message
from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings
from lmzip.errors import LimitError
from lmzip.frames import is_incompressible
from lmzip.limits import Limits
from lmzip.progress import Watch
from lmzip.receiver import Receiver
from lmzip.sender import Sender
from lmzip.session import Session
from lmzip.survey import Survey

MODEL = ModelSettings(layers=1, width=32, heads=1, hidden=32, window=16, table_bits=10)
EXPERTS = ExpertSettings(slots=16, contexts=0b1111)
SIZES = [0, 1, 2, 15, 16, 17, 255, 256, 257, 511, 512, 513]
free = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def encode(data: bytes, header: Header, code: bytes = b"") -> bytes:
    sink = io.BytesIO()
    Sender(sink, header, code, Watch(), session=Session()).run(io.BytesIO(data))
    return sink.getvalue()


def decode(archive: bytes) -> bytes:
    sink = io.BytesIO()
    Receiver(io.BytesIO(archive), sink, Limits(), Watch(), session=Session()).run()
    return sink.getvalue()


def kinds(text: bytes, size: int) -> list[bytes]:
    return [text[:size], bytes(size), random.Random(size).randbytes(size), (bytes(range(256)) * 3)[:size]]


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_every_size_around_every_boundary(toy_predictor, text, size, independent):
    header = Header(segment=16, frame_size=256, independent_frames=independent)
    for data in kinds(text, size):
        assert decode(encode(data, header)) == data


@pytest.mark.parametrize(
    "parts",
    [{"model": MODEL}, {"experts": EXPERTS}, {"model": MODEL, "experts": EXPERTS}, {}],
    ids=["model", "experts", "both", "uniform"],
)
def test_the_real_predictors(text, parts):
    header = Header(segment=16, frame_size=256, replay=1 if "model" in parts else 0, **parts)
    for size in (1, 15, 16, 17, 255, 256, 257, 700):
        for data in kinds(text, size):
            assert decode(encode(data, header)) == data


@free
@given(data=st.binary(max_size=700), segment=st.sampled_from([1, 7, 16]), frame=st.integers(1, 20))
def test_free_bytes(toy_predictor, data, segment, frame):
    assert decode(encode(data, Header(segment=segment, frame_size=segment * frame))) == data


@settings(deadline=None, max_examples=25)
@given(data=st.binary(max_size=300))
def test_free_bytes_through_the_real_codec(data):
    header = Header(segment=16, frame_size=128, replay=1, model=MODEL, experts=EXPERTS)
    assert decode(encode(data, header)) == data


def test_the_same_input_gives_the_same_archive(text):
    header = Header(segment=16, frame_size=1024, replay=1, model=MODEL, experts=EXPERTS)
    assert encode(text[:3000], header) == encode(text[:3000], header)


class Dribble(io.RawIOBase):
    """A pipe: gives a few bytes at a time, can't seek."""

    def __init__(self, data: bytes) -> None:
        self.data, self.random = io.BytesIO(data), random.Random(0)

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        return self.data.read(min(count, self.random.randrange(1, 50)))


def test_a_pipe_gives_the_same_archive_as_a_file(toy_predictor, text):
    header = Header(segment=16, frame_size=512)
    sink, back = io.BytesIO(), io.BytesIO()
    Sender(sink, header, pack.committed("whole"), Watch(), session=Session()).run(Dribble(text[:2000]))
    assert sink.getvalue() == encode(text[:2000], header, pack.committed("whole"))
    Receiver(Dribble(sink.getvalue()), back, Limits(), Watch(), session=Session()).run()
    assert back.getvalue() == text[:2000]


def test_state_is_carried_across_frames_unless_they_are_independent(toy_predictor, text):
    data = text[:1024] * 2
    carried = encode(data, Header(segment=16, frame_size=1024))
    alone = encode(data, Header(segment=16, frame_size=1024, independent_frames=True))
    frames = Survey(io.BytesIO(alone), session=Session()).frames
    assert frames[0].size == frames[1].size
    assert len(carried) < len(alone)


@pytest.mark.slow
def test_several_processes_give_the_same_bytes(text):
    data = text[:200_000]
    options = {"preset": "fast", "frame_size": 1 << 16, "independent_frames": True}
    archive = lmzip.compress(data, **options)
    sink, back = io.BytesIO(), io.BytesIO()
    header = Survey(io.BytesIO(archive), session=Session()).header
    Sender(sink, header, pack.code(header), Watch(), session=Session(2)).run(io.BytesIO(data))
    assert sink.getvalue() == archive
    Receiver(io.BytesIO(archive), back, Limits(), Watch(), session=Session(2)).run()
    assert back.getvalue() == data


def test_random_and_compressed_data_are_stored(monkeypatch, text):
    monkeypatch.setattr(session, "lockstep_class", lambda *_: pytest.fail("no predictor is needed"))
    import zlib

    squeezed = zlib.compress(text, 9)
    for data in (random.Random(1).randbytes(300_000), squeezed):
        archive = lmzip.compress(data, code=False, frame_size=1 << 16)
        assert len(archive) - len(data) <= 0.001 * len(data) + 200
        assert lmzip.decompress(archive) == data


def test_few_stored_bytes_wait_for_a_predictor(monkeypatch):
    """A stream of incompressible frames is not held in memory until the first that is coded comes."""
    made = []
    monkeypatch.setattr(
        session, "lockstep_class", lambda *_: lambda header: made.append(header) or toy.ToyLockstep(header)
    )
    predictor = Session().predictor(Header(segment=16, frame_size=1 << 22))
    for _ in range(session.HELD >> 22):
        predictor.skip(np.zeros(1 << 22, np.uint8))
    assert not made
    predictor.skip(np.ones(1, np.uint8))
    assert len(made) == 1
    assert predictor.position == session.HELD + 1
    assert not predictor._skipped


def test_stored_bytes_that_wait_take_no_more_than_their_size(monkeypatch):
    """Nor do many small pieces take longer than one."""
    monkeypatch.setattr(session, "lockstep_class", lambda *_: toy.ToyLockstep)
    predictor, tail = Session().predictor(Header(segment=16, frame_size=16)), np.arange(100, dtype=np.uint8)
    tracemalloc.start()
    for _ in range(50_000):
        predictor.skip(tail[:1])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
    predictor.skip(tail)
    assert predictor.position == 50_100
    assert predictor.arrays()["last"][0] == 99


def test_what_has_structure_is_not_stored(text):
    counter = np.arange(100_000, dtype="<u4").tobytes()
    table = np.random.default_rng(0).integers(0, 256, (50_000, 4), np.uint8)
    table[:, 3] = 7
    twice = random.Random(2).randbytes(50_000) * 2
    for data in (text, counter, table.tobytes(), twice, bytes(range(256)) * 400):
        assert not is_incompressible(np.frombuffer(data, np.uint8))


def test_zeros_cost_next_to_nothing(toy_predictor):
    data = bytes(64 << 20)
    archive = lmzip.compress(data, preset="fast", code=False)
    assert len(archive) < 2500
    assert lmzip.decompress(archive) == data


def test_open_reads_what_compress_wrote(toy_predictor, text, tmp_path):
    data = text[:3000]
    for independent in (False, True):
        path = tmp_path / "x.lmz"
        with lmzip.open(path, "wb", frame_size=512, independent_frames=independent) as file:
            for start in range(0, 3000, 70):
                assert file.write(data[start : start + 70]) == len(data[start : start + 70])
        assert path.read_bytes() == lmzip.compress(data, frame_size=512, independent_frames=independent)
        with lmzip.open(path) as file:
            assert file.readable()
            assert not file.writable()
            assert file.peek(3)[:3] == data[:3]
            assert file.read(700) == data[:700]
            assert file.tell() == 700
            for place in (2999, 0, 512, 1500, 511):
                assert file.seek(place) == place
                assert file.read(20) == data[place : place + 20]
            assert file.seek(-5, 2) == 2995
            assert file.read() == data[-5:]
        with lmzip.open(path) as file:
            assert b"".join(file) == data
        with lmzip.open(path, "rt", encoding="utf-8", newline="") as file:
            assert file.readline() == data.decode().splitlines(keepends=True)[0]
        with pytest.raises(FileExistsError):
            lmzip.open(path, "xb")


def test_random_access_decodes_only_the_frame_asked_for(toy_predictor, text, monkeypatch):
    archive = lmzip.compress(text[:4096], frame_size=512, independent_frames=True)
    built: list[Header] = []
    real = Session.lockstep
    monkeypatch.setattr(Session, "lockstep", lambda self, header: built.append(header) or real(self, header))
    with lmzip.open(io.BytesIO(archive)) as file:
        file.seek(3600)
        assert file.read(10) == text[3600:3610]
    assert len(built) == 1


def test_limits_hold_for_random_access(toy_predictor, text):
    bomb = lmzip.compress(bytes(1 << 20), frame_size=1 << 12, independent_frames=True, code=False)
    for place in (0, 5000):
        with lmzip.open(io.BytesIO(bomb), limits=Limits(output=1 << 16)) as file:
            file.read(1)
            file.seek(100_000)
            file.seek(place)
            assert file.read(100) == bytes(100)
            with pytest.raises(LimitError, match="--max-output"):
                file.read()


def test_a_file_object_that_is_closed_or_fails(toy_predictor, text, tmp_path):
    with lmzip.open(tmp_path / "x.lmz", "w") as file:
        file.write(text[:100])
        assert file.tell() == 100
        with pytest.raises(io.UnsupportedOperation):
            file.read()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"more")
    assert lmzip.decompress((tmp_path / "x.lmz").read_bytes()) == text[:100]
    with lmzip.open(tmp_path / "x.lmz") as file, pytest.raises(io.UnsupportedOperation):
        file.write(b"more")
    with pytest.raises(ValueError, match="closed"):
        file.read()
    with lmzip.open(Dribble((tmp_path / "x.lmz").read_bytes())) as file:  # a pipe
        assert not file.seekable()
        assert file.read() == text[:100]
    with pytest.raises(TypeError, match="for writing only"):
        lmzip.open(tmp_path / "x.lmz", "r", seed=1)
    for mode in ("a", "rw", "rbt", "r+"):
        with pytest.raises(ValueError, match="invalid mode"):
            lmzip.open(tmp_path / "x.lmz", mode)

    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() > 100:
                raise OSError("full")
            return super().write(data)

    sink = Full()
    file = lmzip.open(sink, "w", frame_size=512)
    with pytest.raises(OSError, match="full"):
        file.write(text[:5000])
    with pytest.raises(OSError, match="full"):
        file.close()
    assert file.closed
    file.close()


def test_text_is_written_and_read(toy_predictor, text, tmp_path):
    lines = ["größer\n", "2\n", "end"]
    with lmzip.open(tmp_path / "x.lmz", "wt", encoding="utf-8", newline="\r\n") as file:
        file.writelines(lines)
    with lmzip.open(tmp_path / "x.lmz", "rb") as file:
        assert file.read() == "".join(lines).replace("\n", "\r\n").encode()
    with lmzip.open(tmp_path / "x.lmz", "rt", encoding="utf-8") as file:
        assert list(file) == lines
    with pytest.raises(FileExistsError):
        lmzip.open(tmp_path / "x.lmz", "xt")


def test_the_example_in_the_documentation_runs(toy_predictor):
    assert doctest.testmod(lmzip) == (0, 2)


def test_the_public_names_exist():
    for name in lmzip.__all__:
        assert getattr(lmzip, name) is not None
    with pytest.raises(lmzip.UsageError, match="no preset"):
        lmzip.compress(b"", preset="huge")
    with pytest.raises(lmzip.NotAnArchive):
        lmzip.decompress(b"something else")


CORPUS = Path(os.environ.get("LMZIP_CORPUS", Path(__file__).parents[2] / "shared" / "corpus"))
NAMES = sorted(path.name for path in CORPUS.iterdir()) if CORPUS.is_dir() else []
needs_corpus = pytest.mark.skipif(not NAMES, reason="LMZIP_CORPUS names no folder of files")


@needs_corpus
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("options", "size"), [({"preset": "fast"}, 4000), ({"experts": "none"}, 500)])
def test_beginnings_of_the_corpus(name, options, size):
    with open(CORPUS / name, "rb") as file:
        data = file.read(size)
    assert lmzip.decompress(lmzip.compress(data, code=False, **options)) == data


@pytest.mark.slow
@pytest.mark.long
@needs_corpus
@pytest.mark.parametrize("name", NAMES)
def test_whole_files_of_the_corpus(name):
    data = (CORPUS / name).read_bytes()
    for options, size in (({"preset": "fast"}, len(data)), ({"experts": "none"}, 200_000), ({}, 100_000)):
        archive = lmzip.compress(data[:size], **options)
        assert lmzip.decompress(archive) == data[:size]


def test_message_digest_is_of_frames(toy_predictor, text):
    archive = lmzip.compress(text[:1000], frame_size=256, code=False)
    leaves = b"".join(message.leaf(text[i : min(i + 256, 1000)]) for i in range(0, 1000, 256))
    assert Survey(io.BytesIO(archive), session=Session()).footer.whole == message.whole_digest(leaves)
