"""Archives by pretrained models under other settings than those of the machine that made them: the same bits.

The GGUF file's bytes are the same everywhere, so the digests of its archives are pinned, in golden-pretrained.json.
"""

import json
import sys
import tempfile
from pathlib import Path

import pytest
from test_matrix import FEW, HERE, digests

sys.path.insert(0, str(HERE.parent))
import gguf_models
import pretrained_models

GOLDEN = HERE / "golden-pretrained.json"
PINNED = "gemma3.gguf"


def digests_of(folder, environment, arguments, caches):
    return digests(environment, [*arguments, str(folder)], caches, "pretrained_cell.py")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with models, two with windows of their own, and archives made with them, and their digests."""
    folder = tmp_path_factory.mktemp("base")
    for family, kind in (("gpt2", "wordpiece"), ("llama", "byte level"), ("gemma3_text", "sentencepiece")):
        pretrained_models.save(folder / family, family, kind)
    gguf_models.pinned(folder / PINNED)
    return folder, digests_of(folder, {}, ["1", "ieee"], folder)


@pytest.mark.portability
def test_a_gguf_file_gives_the_pinned_archives(tmp_path):
    gguf_models.pinned(tmp_path / PINNED)
    assert digests_of(tmp_path, {}, ["1", "ieee"], tmp_path) == json.loads(GOLDEN.read_text())


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "arguments"), FEW.values(), ids=FEW)
def test_an_archive_is_the_same_everywhere(environment, arguments, base, tmp_path):
    folder, expected = base
    assert len(expected) == 12
    assert json.loads(GOLDEN.read_text()).items() <= expected.items()
    assert digests_of(folder, environment, arguments, tmp_path) == expected


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        gguf_models.pinned(Path(folder, PINNED))
        GOLDEN.write_text(json.dumps(digests_of(folder, {}, ["1", "ieee"], Path(folder)), indent=1) + "\n")
