"""Golden archives: the same bytes from every encoder, the same original from every decoder, for every preset."""

import importlib.util
from pathlib import Path

import pytest

import lmzip

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("golden_make", HERE / "make.py")
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)

CHANGED = """the encoder writes other bytes than {name}.lmz: archives made before this change no longer decode.
If that is meant: say in dev/LOG.md what changed and what it gains; once version 1 is released, raise
`message.VERSION` and keep the released codec; then write all pinned values anew: `bash scripts/regenerate.sh`"""


def stored(name):
    return HERE.joinpath(f"{name}.lmz").read_bytes()


def test_the_folder_holds_what_make_writes():
    assert {path.stem for path in HERE.glob("*.lmz")} == set(make.ARCHIVES)
    assert {name: HERE.joinpath(name).read_bytes() for name in make.ORIGINALS} == make.ORIGINALS


@pytest.mark.parametrize("name", make.ARCHIVES)
def test_the_encoder_writes_these_bytes(name):
    assert make.archive(name) == stored(name), CHANGED.format(name=name)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if ".max" in name else ()) for name in make.ARCHIVES]
)
def test_the_decoder_accepts_them(name):
    assert lmzip.decompress(stored(name)) == make.original(name)


def test_an_archive_with_code_has_the_same_frames():
    bare, whole = stored("text.fast"), lmzip.compress(make.original("text.fast"), preset="fast")
    footer = int.from_bytes(bare[-4:], "little")
    assert whole.startswith(bare[:-footer])
    assert lmzip.decompress(whole) == make.original("text.fast")
