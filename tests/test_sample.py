"""Samples: random bits, decoded; the same on every machine."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest

from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings
from lmzip.lab.sample import noise, sample
from lmzip.progress import Watch
from lmzip.sender import Sender
from lmzip.session import Session

MODEL = ModelSettings(layers=2, width=32, heads=1, hidden=32, window=16, table_bits=10)
EXPERTS = ExpertSettings(slots=64, contexts=0b10111111)
HEADERS = {
    "model": Header(segment=16, frame_size=4096, model=MODEL),
    "experts": Header(segment=64, frame_size=4096, experts=EXPERTS),
    "both": Header(segment=16, frame_size=4096, model=MODEL, experts=EXPERTS),
}


def after(header: Header, data: bytes):
    """The predictor as it stands after `data`."""
    state = Session().lockstep(header)
    encoding = state.encode(np.frombuffer(data, np.uint8))
    while not encoding.done:
        encoding.advance(64)
    return state


def test_random_bits_are_pinned():
    """Big-endian words of a counter-based generator: nothing that a machine could do otherwise."""
    assert bytes(noise(0, 1)).hex() == "c051d9eb6c8fad4e"
    assert bytes(noise(7, 2))[8:].hex() == "6d2906e1e6e143ed"
    ones = np.unpackbits(noise(3, 10_000)).mean()
    assert abs(ones - 0.5) < 4 / np.sqrt(4 * 640_000)


@pytest.mark.parametrize("kind", HEADERS)
def test_a_seed_gives_the_same_bytes_and_another_seed_others(kind, text):
    said = [sample(after(HEADERS[kind], text[:3000]), 150, seed) for seed in (1, 1, 2)]
    assert said[0] == said[1] != said[2]
    assert len(said[0]) == 150


def test_samples_are_pinned(text):
    """These bytes came out on the machine that wrote the test; they must on any."""
    said = sample(after(HEADERS["both"], text[:3000]), 200, 5)
    assert hashlib.sha256(said).hexdigest()[:16] == "4e7a7032c0423016"


@pytest.mark.parametrize("kind", ["experts", "both"])
def test_a_pattern_goes_on(kind):
    said = sample(after(HEADERS[kind], b"abcdefgh" * 500), 80, 3)
    assert said == b"abcdefgh" * 10


def test_what_is_sampled_is_as_probable_as_the_model_says(text):
    """The code length of a sample under its own model is, on average, its entropy: coding it gives the bits back."""
    state, again = (after(HEADERS["experts"], text[:6000]) for _ in range(2))
    said = sample(state, 1500, 11)
    encoding = again.encode(np.frombuffer(said, np.uint8))
    while not encoding.done:
        encoding.advance(64)
    transcript = encoding.finish()
    assert len(transcript) > 100
    assert transcript[:-8] == bytes(noise(11, len(transcript)))[: len(transcript) - 8]


def test_cold_samples_say_what_is_likely(text):
    """Lower temperature, lower code length under the model itself; zero takes no chances at all."""

    def bits(temperature: float, seed: int = 1) -> float:
        state = after(HEADERS["experts"], text[:4000])
        said = sample(state, 200, seed, temperature)
        judge = after(HEADERS["experts"], text[:4000]).encode(np.frombuffer(said, np.uint8))
        while not judge.done:
            judge.advance(64)
        return judge.nll / (1 << 20)

    assert bits(0.0) < bits(0.5) < bits(1.0) < bits(2.0)
    assert bits(0.0, seed=1) == bits(0.0, seed=2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["model", "both"])
def test_temperatures_of_the_language_model(kind, text):
    """More kernels to compile, so not in the quick tests."""
    said = {t: [sample(after(HEADERS[kind], text[:8000]), 200, seed, t) for seed in (1, 1, 2)] for t in (0.0, 0.5)}
    assert said[0.5][0] == said[0.5][1] != said[0.5][2]
    assert said[0.0][0] == said[0.0][2]


@pytest.mark.usefixtures("toy_predictor")
def test_the_command(run, tmp_path, text):
    sink = io.BytesIO()
    Sender(sink, Header(segment=64, frame_size=4096, experts=EXPERTS), b"", Watch(), session=Session()).run(
        io.BytesIO(text[:5000])
    )
    path = tmp_path / "x.lmz"
    path.write_bytes(sink.getvalue())
    first = run("sample", path, "--bytes", 100, "--seed", 1)
    assert (first.status, first.stderr, len(first.stdout)) == (0, "", 100)
    assert run("sample", path, "--bytes", 100, "--seed", 1).stdout == first.stdout
    assert run("sample", path, "--bytes", 100, "--seed", 2).stdout != first.stdout
    assert run("sample", "-", "--bytes", 100, "--seed", 1, stdin=sink.getvalue()).stdout == first.stdout
    path.write_bytes(sink.getvalue()[:-9])
    assert run("sample", path).status == 1
    assert run("sample", path, "--temperature", "hot").status == 2
    assert run("sample", path, "--bytes", "0").status == 2
