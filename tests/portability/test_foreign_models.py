"""Archives by models of transformers under other settings than those of the machine that made them: the same bits."""

import sys
from pathlib import Path

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
    """A folder with two models and archives made with them, and their digests; of the usual settings."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    import foreign_models

    folder = tmp_path_factory.mktemp("base")
    for family, kind in (("gpt2", "wordpiece"), ("llama", "byte level")):
        foreign_models.save(folder / family, family, kind)
    return folder, digests({}, ["1", "ieee", str(folder)], folder, "foreign_cell.py")


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "arguments"), CELLS.values(), ids=CELLS)
def test_an_archive_is_the_same_everywhere(environment, arguments, base, tmp_path):
    folder, expected = base
    assert len(expected) == 4
    assert digests(environment, [*arguments, str(folder)], tmp_path, "foreign_cell.py") == expected
