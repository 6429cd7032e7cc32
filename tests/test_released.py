"""Archives of an older format version are decoded by the codec that was released with it, kept as packed then."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

import lmzip
from lmzip import pack, released, session
from lmzip.codec.message import VERSION, Header
from lmzip.codec.settings import ModelSettings
from lmzip.errors import ArithmeticDiffers, DamageError, LimitError, VersionError
from lmzip.limits import Limits
from lmzip.progress import Watch
from lmzip.salvage import salvage
from lmzip.sender import Sender
from lmzip.session import Session

OLDER = 1000 + VERSION  # the present codec knows nothing of it
PACKAGE = f"lmzip_format_{OLDER}"
SMALL = Header(segment=16, frame_size=256, format_version=OLDER)
CHANGES = {"message.py": (f"VERSION = {VERSION}\n", f"VERSION = {OLDER}\n"), "lockstep.py": ("<= DIGESTED", "< 8")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a release of another format version lies, whose frames carry another digest of the state."""
    path = tmp_path_factory.mktemp("released")
    for kind in pack.LEFT_OUT:
        files = released.sources(pack.committed(kind))
        for name, (present, then) in CHANGES.items():
            assert files[name].decode().count(present) == 1
            files[name] = files[name].replace(present.encode(), then.encode())
        content = pack.zipped(released.unpacked(pack.committed(kind))[0], files)
        (path / released.name(OLDER, kind, content)).write_bytes(content)
    return path


@pytest.fixture
def older(monkeypatch, folder):
    """That release is one of ours; nothing of it is loaded yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    monkeypatch.setattr(released, "FOLDER", folder)
    yield
    released._package.cache_clear()
    for name in [name for name in sys.modules if name.startswith(PACKAGE)]:
        del sys.modules[name]


def archive_of(data: bytes, header: Header = SMALL) -> bytes:
    sink = io.BytesIO()
    Sender(sink, header, pack.code(header), Watch(), session=Session()).run(io.BytesIO(data))
    return sink.getvalue()


def test_an_older_archive_opens_with_every_command(older, run, text, tmp_path):
    data, path = text[:600] + bytes(256), tmp_path / "x.lmz"
    path.write_bytes(archive_of(data))
    assert run("decode", path).status == 0
    assert (tmp_path / "x").read_bytes() == data
    assert run("verify", path, tmp_path / "x").status == 0
    shown = run("info", path, "--compare", tmp_path / "x").stdout.decode()
    assert f"code: released with format version {OLDER}" in shown
    assert "has the digests of the archive's original" in shown
    assert b"856" in run("list", path).stdout
    with lmzip.open(path) as file:
        assert file.read(700)[590:] == data[590:700]


def test_it_is_not_the_present_codec_that_decodes_it(older, text, monkeypatch):
    archive = archive_of(text[:600])
    monkeypatch.setattr(session, "lockstep_class", lambda: pytest.fail("the present codec"))
    assert lmzip.decompress(archive) == text[:600]
    state = Session().lockstep(SMALL)
    assert type(state).__module__ == f"{PACKAGE}.lockstep"
    assert state.digest() != released.part(VERSION, "lockstep").Lockstep(Header()).digest()


@pytest.mark.parametrize("at", [8, 30, 100, 500])  # header, head of a frame, transcript, stored bytes
def test_damage_to_it_is_noticed_in_the_same_words(older, text, at):
    broken = bytearray(archive_of(text[:600]))
    broken[at] ^= 1
    with pytest.raises(DamageError, match=r"; .*--keep-going"):
        lmzip.decompress(bytes(broken))


def test_other_arithmetic_than_that_of_its_release_is_noticed(older, text, monkeypatch):
    archive = archive_of(text[:600])
    lockstep = released.part(OLDER, "lockstep").Lockstep
    monkeypatch.setattr(lockstep, "digest", released.part(VERSION, "lockstep").Lockstep.digest)
    with pytest.raises(ArithmeticDiffers):
        lmzip.decompress(archive)


def test_independent_frames_in_any_order_and_salvage(older, text):
    header = Header(segment=16, frame_size=256, independent_frames=True, format_version=OLDER)
    archive = archive_of(text[:600], header)
    with lmzip.open(io.BytesIO(archive)) as file:
        file.seek(512)
        assert file.read() == text[512:600]
    broken, sink = bytearray(archive), io.BytesIO()
    broken[100] ^= 1  # in the first frame
    found, recovered, lost = salvage(io.BytesIO(bytes(broken)), sink, Limits(), Session())
    assert (found, recovered, lost) == (2, 344, [(0, 256)])
    assert sink.getvalue()[256:] == text[256:600]


def test_limits_hold_before_anything_is_allocated(older):
    huge = Header(model=ModelSettings(layers=128, width=512, heads=2, hidden=2048, table_bits=24), format_version=OLDER)
    with pytest.raises(LimitError, match="MB of memory"):
        lmzip.decompress(huge.pack())
    assert f"{PACKAGE}.lockstep" not in sys.modules
    assert f"{PACKAGE}.product" not in sys.modules


def test_a_version_that_was_never_released():
    with pytest.raises(VersionError, match=f"format version {OLDER} is not the one .*; get a newer lmzip"):
        lmzip.decompress(SMALL.pack())


def test_released_code_is_unchanged():
    for path in Path(released.__file__).parent.glob("*.zip"):
        version, kind, _ = path.stem.split("-")
        assert path.name == released.name(int(version), kind, path.read_bytes()), "a released codec was changed"
        assert released.version_of(path.read_bytes()) == int(version)


def test_a_release_keeps_what_is_packed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(released, "FOLDER", tmp_path)
    pack.release_all()
    for kind in pack.LEFT_OUT:
        assert released.blob(VERSION, kind) == pack.committed(kind)
    (path,) = tmp_path.glob(f"{VERSION}-whole-*.zip")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(released.VersionError):
        released.blob(VERSION, "whole")
    assert capsys.readouterr().out.count("keep this file") == 3


@pytest.mark.parametrize("name", ["text.none.lmz", "text.fast.lmz"])
def test_archives_of_the_first_pretrained_models_open(name, run, tmp_path):
    folder = Path(__file__).parent / "golden" / "pretrained-1"
    archive, back = folder / name, tmp_path / "back"
    assert run("decode", archive, "-o", back, "--prior-path", folder / "model").status == 0
    assert back.read_bytes() == (folder / "text").read_bytes()
    assert run("info", archive, "--prior-path", folder).status == 0
