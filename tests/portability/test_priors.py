"""A prior made, rebuilt and decoded with under other settings than those of the machine that made it: the same bits."""

import pytest
from test_matrix import cell, digests

CELLS = [
    cell(2),
    cell(4, "float32", mkl="COMPATIBLE"),
    cell(products="int64", aten="default"),
    cell(2, "int8", onednn="AVX2"),
    cell(products="float32", aten="avx2", flush="both"),
    cell(numba="any processor"),
    cell(2, numba="little optimised", products="int64", flush="ftz"),
]
CELLS = {name: settings for name, *settings in CELLS}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with a prior and an archive that builds on it, and their digests; of the usual settings."""
    folder = tmp_path_factory.mktemp("base")
    return folder, digests({}, ["1", "ieee", str(folder)], folder, "prior_cell.py")


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "arguments"), CELLS.values(), ids=CELLS)
def test_a_prior_is_the_same_everywhere(environment, arguments, base, tmp_path):
    folder, expected = base
    assert expected["prior"] == expected["rebuilt"] == expected["stored"]
    assert digests(environment, [*arguments, str(folder)], tmp_path, "prior_cell.py") == expected
