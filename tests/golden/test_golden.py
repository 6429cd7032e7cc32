"""Golden archives: the same bytes from every encoder, the same original from every decoder, for every preset."""

import importlib.util
from functools import cache
from pathlib import Path

import pytest

import lmzip
from lmzip import released
from lmzip.codec.message import VERSION

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("golden_make", HERE / "make.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)

CHANGED = """the encoder writes other bytes than {name}.lmz: archives made before this change no longer decode.
If that is not meant, undo it. If it is, say in dev/LOG.md what changed and what it gains. {released}
Then write all pinned values anew: `bash scripts/regenerate.sh`"""
RELEASED = f"""Format version {VERSION} is released and must go on to mean these bytes: the change needs a version of
its own, VERSION = {VERSION + 1} in src/lmzip/codec/message.py; docs/format.md, section 9, has the other steps."""
UNRELEASED = f"Format version {VERSION} is not released, so it may keep its number."


def advice(name):
    """What to do about other bytes."""
    return CHANGED.format(name=name, released=RELEASED if released.versions() >= {VERSION} else UNRELEASED)


def stored(name):
    return HERE.joinpath(f"{name}.lmz").read_bytes()


@cache
def decoded(archive):
    """The archives of the present version stand in two folders."""
    return lmzip.decompress(archive)


def test_the_folder_holds_what_make_writes():
    assert {path.stem for path in HERE.glob("*.lmz")} == set(make.ARCHIVES)
    assert {name: HERE.joinpath(name).read_bytes() for name in make.ORIGINALS} == make.ORIGINALS


@pytest.mark.parametrize("name", make.ARCHIVES)
def test_the_encoder_writes_these_bytes(name):
    assert make.archive(name) == stored(name), advice(name)


@pytest.mark.parametrize("name", make.ARCHIVES)
def test_the_decoder_accepts_them(name):
    assert decoded(stored(name)) == make.original(name)


def test_with_the_products_chosen_by_their_test_too(monkeypatch):
    monkeypatch.delenv("LMZIP_PRODUCTS")
    assert make.archive("short.none") == stored("short.none")


@pytest.mark.parametrize(
    "archive", sorted(HERE.glob("format-*/*.lmz")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_archives_of_released_versions_open_for_ever(archive):
    assert decoded(archive.read_bytes()) == archive.with_name(archive.name.partition(".")[0]).read_bytes()


def test_released_versions_have_golden_archives():
    kept = {int(folder.name.partition("-")[2]) for folder in HERE.glob("format-*") if any(folder.glob("*.lmz"))}
    assert kept == released.versions()


def test_the_advice_depends_on_whether_the_version_is_released(monkeypatch):
    for versions, words in ((set(), "may keep its number"), ({VERSION}, f"VERSION = {VERSION + 1} in")):
        monkeypatch.setattr(released, "versions", lambda versions=versions: versions)
        assert words in advice("short.fast")


def test_an_archive_with_code_has_the_same_frames():
    bare, whole = stored("text.fast"), lmzip.compress(make.original("text.fast"), preset="fast")
    footer = int.from_bytes(bare[-4:], "little")
    assert whole.startswith(bare[:-footer])
    assert lmzip.decompress(whole) == make.original("text.fast")
