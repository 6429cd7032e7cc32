"""A decoder without numpy, torch and numba, written from the documents, rebuilds the golden archives."""

import importlib.util
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reference_decoder import Refused, decode
from reference_decoder.floats import f32
from reference_decoder.samples import Samples
from small import HEADERS

from lmzip import presets
from lmzip.codec import numeric
from lmzip.progress import Watch
from lmzip.sender import Sender
from lmzip.session import Session

HERE = Path(__file__).parent
GOLDEN = sorted(HERE.glob("golden/*.lmz"))
QUICK = {"empty.fast", "empty.default", "byte.default", "short.fast"}


def tiers():
    """The smallest archives; those that take seconds; those of a language model, which take minutes."""
    seconds = QUICK | {"short.none", "text.independent", "text.continued"}
    for path in GOLDEN:
        marks = [pytest.mark.slow] * (path.stem not in QUICK)
        if path.stem not in seconds and path.suffixes[0] != ".fast":
            marks.append(pytest.mark.long)
        yield pytest.param(path, marks=marks, id=path.stem)


@pytest.mark.parametrize("archive", list(tiers()))
def test_golden_archives_decode_with_the_standard_library_alone(archive):
    decoder = [sys.executable, "-I", "-S", HERE.parent / "docs" / "reference_decoder", archive]
    done = subprocess.run(decoder, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == archive.with_name(archive.name.partition(".")[0]).read_bytes()


def archive_of(data, header):
    sink = io.BytesIO()
    Sender(sink, header, b"", Watch(), session=Session()).run(io.BytesIO(data))
    return sink.getvalue()


@pytest.mark.parametrize("kind", ["model", "both"])
def test_a_language_model_of_two_layers_is_the_codecs(kind, text):
    """Small, for Python takes its time; the golden archives of presets with a language model are slow tests."""
    data = text[1000:1080]
    assert decode(archive_of(data, replace(HEADERS[kind], frame_size=64))) == data


@pytest.mark.parametrize(("what", "options"), [("image", (8, 12, 3)), ("image", (14, 18, 1)), ("audio", (60, 2, 2))])
def test_pictures_and_sounds_decode(what, options):
    """Small ones; the golden archives of such are slow tests."""
    data = golden(what)(*options)
    assert decode(archive_of(data, presets.header("fast"))) == data


def test_every_damaged_byte_is_noticed():
    whole = (HERE / "golden" / "byte.default.lmz").read_bytes()
    assert decode(whole) == b"x"
    for at in range(len(whole)):
        broken = bytearray(whole)
        broken[at] ^= 1
        with pytest.raises(Refused):
            decode(bytes(broken))


def test_float32_results_are_rounded_once_and_overflow_is_an_error():
    assert f32(1 + 2**-24) == 1  # a tie, to even
    assert f32(1 + 3 * 2**-24) == 1 + 2**-22
    assert f32(2**-150) == 0
    with pytest.raises(OverflowError):
        f32(2.0**128)


def golden(name):
    """What tests/golden/make.py calls so."""
    spec = importlib.util.spec_from_file_location("golden_make", HERE / "golden" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def pixels():
    """Rows of 90 bytes, three colours, waves and a little noise."""
    (y, x), random = np.mgrid[:140, :30], np.random.default_rng(1)
    waves = 100 + 70 * np.sin(x / 5 + y / 40) + 30 * np.cos(y / 9)
    return (waves[..., None] + [0, 9, 30] + random.integers(-1, 2, (140, 30, 3))).astype(np.uint8).tobytes()


SAMPLED = {
    "pixels": pixels,  # no header: the statistics must say so, twice
    "sound": lambda: golden("audio")(3200, 2, 2)[45:],  # from the second byte of a sample on
    "text": lambda: golden("RHYME") * 13,
    "text and sound": lambda: golden("RHYME")[:700] + golden("audio")(100, 2, 2) + golden("RHYME"),
    "noise": lambda: golden("noise")(8448),
    "zeros": lambda: bytes(9000),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_are_found_where_the_codec_finds_them(name):
    """The golden archives are too small for the statistics of blocks."""
    data, samples = SAMPLED[name](), Samples(False)
    numbers, history, known = numeric.arrays(False)["sampled"], np.zeros(1 << 17, np.uint8), bytearray(len(data) + 256)
    for start in range(0, len(data), 256):
        numeric.watch(numbers, history, start)
        samples.watch(known, start)
        assert samples.numbers() == numbers.tolist()
        history[start : start + 256][: len(data) - start] = np.frombuffer(data[start : start + 256], np.uint8)
        known[start : start + 256] = data[start : start + 256]
    assert samples.kind == {"pixels": 1, "sound": 2, "text and sound": 2}.get(name, 0)
