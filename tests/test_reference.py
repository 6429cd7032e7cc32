"""A decoder without numpy, torch and numba, written from the documents, rebuilds the golden archives."""

import subprocess
import sys
from pathlib import Path

import pytest
import reference_decoder

HERE = Path(__file__).parent
GOLDEN = sorted(HERE.glob("golden/*.lmz"))
QUICK = {"empty.fast", "empty.default", "byte.default", "short.none", "short.fast"}


def quick_ones():
    """The smallest archives; the others take seconds to minutes."""
    return [pytest.param(path, marks=() if path.stem in QUICK else pytest.mark.slow, id=path.stem) for path in GOLDEN]


@pytest.mark.parametrize("archive", quick_ones())
def test_golden_archives_decode_with_the_standard_library_alone(archive):
    decoder = [sys.executable, "-I", "-S", HERE / "reference_decoder.py", archive]
    done = subprocess.run(decoder, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == archive.with_name(archive.name.partition(".")[0]).read_bytes()


def test_every_damaged_byte_is_noticed():
    whole = (HERE / "golden" / "byte.default.lmz").read_bytes()
    assert reference_decoder.decode(whole) == b"x"
    for at in range(len(whole)):
        broken = bytearray(whole)
        broken[at] ^= 1
        with pytest.raises(reference_decoder.Refused):
            reference_decoder.decode(bytes(broken))


def test_float32_results_are_rounded_once_and_overflow_is_an_error():
    assert reference_decoder.one(1 + 2**-24) == 1  # a tie, to even
    assert reference_decoder.one(1 + 3 * 2**-24) == 1 + 2**-22
    assert reference_decoder.one(2**-150) == 0
    with pytest.raises(OverflowError):
        reference_decoder.one(2.0**128)
