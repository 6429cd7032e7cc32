"""What is kept in the user's cache: integers of models, small results; what is removed, and that nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pretrained_models as made
import pytest

from lmzip import kept
from lmzip.errors import UsageError
from lmzip.pretrained import inference, model, numbers


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lmzip"


def test_a_models_integers_are_made_once_and_are_the_same_from_the_cache(cache, tmp_path, monkeypatch):
    folder = made.save(tmp_path / "model", "gemma3_text")
    makings, make = [], numbers.made
    monkeypatch.setattr(numbers, "made", lambda *given: makings.append(1) or make(*given))
    tokens = np.arange(40, dtype=np.int32)
    found = []
    for _ in range(3):
        network = model.open_model(folder).network()
        found.append(network.logits([(network.window(), tokens, 0)])[0])
    assert makings == [1] and len(list((cache / "weights").iterdir())) == 2  # rotations have a file of their own
    model.open_model(folder, 12).network()
    assert makings == [1, 1]
    monkeypatch.setattr(kept, "private_folder", lambda name: str(tmp_path / "missing"))  # it can't be written
    network = model.open_model(folder).network()
    found.append(network.logits([(network.window(), tokens, 0)])[0])
    assert makings == [1, 1, 1] and all(np.array_equal(found[0], other) for other in found[1:])


def test_a_damaged_file_is_made_anew(cache, tmp_path):
    folder = made.save(tmp_path / "model", "llama")
    model.open_model(folder).network()
    for file in list((cache / "weights").iterdir()):
        whole = file.read_bytes()
        file.write_bytes(whole[:-5])
        assert isinstance(model.open_model(folder).network(), inference.Network)
        assert file.read_bytes() == whole


def test_what_was_used_longest_ago_makes_room(cache, tmp_path, monkeypatch):
    folders = [made.save(tmp_path / family, family) for family in ("gpt2", "llama")]
    model.open_model(folders[0]).network()
    first = max((cache / "weights").iterdir(), key=lambda file: file.stat().st_size)
    monkeypatch.setenv(numbers.LIMIT_NAME, str(first.stat().st_size + 10))
    model.open_model(folders[1]).network()
    assert not first.exists()
    monkeypatch.setenv(numbers.LIMIT_NAME, "8G")
    with pytest.raises(UsageError, match="a number of bytes"):
        model.open_model(folders[1], 12).network()


def test_a_result_is_made_once(cache):
    made_ = []
    for _ in range(2):
        assert kept.once("things", "ab12", lambda: made_.append(1) or b"result") == b"result"
    assert made_ == [1] and kept.look_up(kept.place("things", "other")) is None


def test_the_cache_is_listed_and_cleared_but_for_priors(cache, run):
    kept.once("models", "ab", lambda: b"x" * 32)
    kept.once("squeezed", "cd", lambda: b"y" * 10)
    (cache / "priors").mkdir()
    (cache / "priors" / "mine").write_bytes(b"learnt")
    listed = run("cache").stdout.decode()
    assert "32 B       1 files  models" in listed and "10 B       1 files  squeezed" in listed
    assert run("cache", "--clear", "models").status == 0
    assert not (cache / "models").exists() and (cache / "squeezed" / "cd").exists()
    assert run("cache", "--clear").status == 0
    assert not (cache / "squeezed").exists() and (cache / "priors" / "mine").read_bytes() == b"learnt"
