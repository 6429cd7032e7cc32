"""A pretrained model mixed with the experts: never much worse than the better of them, wherever the data ends."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pretrained_models as made
import pytest

from lmzip import presets
from lmzip.codec.lockstep import Lockstep
from lmzip.codec.message import NLL_BITS
from lmzip.pretrained import model
from lmzip.pretrained.guesses import Guesses
from lmzip.pretrained.lockstep import PretrainedLockstep

TEXT = made.SAMPLE.read_bytes()[5000:13000]
NOISE = np.random.default_rng(3).integers(0, 256, 1500, np.uint8).tobytes()
DATA = {"text": TEXT, "repeated": TEXT[:1500] * 3, "noise, then text": NOISE + TEXT[:2000]}
SIZES = (500, 1000, 2000, 4000, 8000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made.save(tmp_path_factory.mktemp("models") / "gpt2")


class Seer:
    """Logits that know the next token but for a share of tokens: sharp, as those of a large model are."""

    def __init__(self, predictor: PretrainedLockstep, data: bytes, wrong: float) -> None:
        table, random = predictor.pretrained.table, np.random.default_rng(5)
        places, _ = predictor.pretrained.tokens.cut(data)
        self.rows = random.normal(0, 2, (len(places), made.VOCABULARY)).astype(np.float32)
        known = np.flatnonzero(random.random(len(places)) >= wrong)
        self.rows[known, table.order[places[known]]] += 12
        self.at = 0

    def logits(self, asked: list) -> list[np.ndarray]:
        ((_, tokens, first),) = asked
        count = len(tokens) - first
        self.at += count
        return [self.rows[self.at - count : self.at]]


def predictor(folder, experts: str, data: bytes, wrong: float, adapt: str = "none") -> PretrainedLockstep:
    pretrained = model.open_model(folder, 8, adapt)
    header = pretrained.archive_header(presets.EXPERTS[experts], 1 << 20)
    lockstep = PretrainedLockstep(header, pretrained, SimpleNamespace(span=made.CONTEXT, window=lambda: None))
    lockstep.network = Seer(lockstep, data, wrong)
    return lockstep


def sizes(lockstep: Lockstep, data: bytes) -> list[float]:
    """Bytes of transcript by the time that so many of the data are coded."""
    encoding, found = lockstep.encode(np.frombuffer(data, np.uint8)), [(0, 0.0)]
    while not encoding.done:
        encoding.advance(1)
        found.append((encoding.position, encoding.nll / (8 << NLL_BITS)))
    return [max(nll for at, nll in found if at <= size) for size in (*SIZES, len(data)) if size <= len(data)]


@pytest.mark.parametrize("wrong", [0.02, 0.2])
@pytest.mark.parametrize("name", DATA)
def test_a_mix_is_no_worse_than_its_model_wherever_the_data_ends(folder, name, wrong):
    data = DATA[name]
    alone, mixed = (sizes(predictor(folder, experts, data, wrong), data) for experts in ("none", "fast"))
    for a, b in zip(alone, mixed, strict=True):
        assert b <= 1.005 * a + 8


def test_a_mix_follows_the_experts_where_the_model_knows_nothing(folder):
    data = TEXT[:1500] * 3
    experts = sizes(Lockstep(presets.header("fast")), data)[-1]
    assert sizes(predictor(folder, "fast", data, 1.0), data)[-1] < 1.25 * experts  # what the ends of tokens cost


@pytest.mark.parametrize("adapt", ["none", "head"])
def test_a_mix_comes_back(folder, adapt, monkeypatch):
    monkeypatch.setattr(Guesses, "ahead", lambda self, most: [])  # the seer knows one place at a time
    data = DATA["noise, then text"]
    sender, receiver = (predictor(folder, "fast", data, 0.1, adapt) for _ in range(2))
    encoding = sender.encode(np.frombuffer(data, np.uint8))
    while not encoding.done:
        encoding.advance(4)
    transcript = encoding.finish()
    decoding = receiver.decode(np.frombuffer(transcript, np.uint8), len(data))
    while not decoding.done:
        decoding.advance(4)
    assert decoding.finish().tobytes() == data and sender.digest() == receiver.digest()
