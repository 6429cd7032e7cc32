"""A prior made, rebuilt and decoded with under other settings than those of the machine that made it: the same bits."""

import pytest
from test_matrix import FEW, digests


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with a prior and an archive that builds on it, and their digests; of the usual settings."""
    folder = tmp_path_factory.mktemp("base")
    return folder, digests({}, ["1", "ieee", str(folder)], folder, "prior_cell.py")


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "arguments"), FEW.values(), ids=FEW)
def test_a_prior_is_the_same_everywhere(environment, arguments, base, tmp_path):
    folder, expected = base
    assert expected["prior"] == expected["rebuilt"] == expected["stored"]
    assert digests(environment, [*arguments, str(folder)], tmp_path, "prior_cell.py") == expected
