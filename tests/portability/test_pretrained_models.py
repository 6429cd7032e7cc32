"""Archives by models of transformers under other settings than those of the machine that made them: the same bits."""

import sys
from pathlib import Path

import pytest
from test_matrix import FEW, digests


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with two models and archives made with them, and their digests; of the usual settings."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    import pretrained_models

    folder = tmp_path_factory.mktemp("base")
    for family, kind in (("gpt2", "wordpiece"), ("llama", "byte level")):
        pretrained_models.save(folder / family, family, kind)
    return folder, digests({}, ["1", "ieee", str(folder)], folder, "pretrained_cell.py")


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "arguments"), FEW.values(), ids=FEW)
def test_an_archive_is_the_same_everywhere(environment, arguments, base, tmp_path):
    folder, expected = base
    assert len(expected) == 4
    assert digests(environment, [*arguments, str(folder)], tmp_path, "pretrained_cell.py") == expected
