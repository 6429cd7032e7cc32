"""The experts and the mixer: what is decoded is what was coded, from the past alone, with the same bits everywhere."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmzip import presets
from lmzip.codec import coder, experts, mixer, numeric
from lmzip.codec.experts import Experts
from lmzip.codec.kernel import heapless, kernel
from lmzip.codec.settings import ExpertSettings

FAST, MAX = presets.EXPERTS["fast"], presets.EXPERTS["max"]
SMALL = ExpertSettings(slots=64)
SEGMENT, RING = 512, 1 << 12  # a ring smaller than the data: old bytes are overwritten
NO_MODEL = np.zeros((0, 256), np.uint32)
SAMPLE = Path(__file__).read_bytes()[:6000]


@heapless
def code_one(state, history, i, frequencies, coder_state, message):
    experts.code_byte(state, history, i, frequencies, 0, coder_state, message, False, None)


@kernel
def _decode_with_model(state, history, start, stop, frequencies, coder_state, message, numbers):
    for i in range(start, stop):
        experts.code_byte(state, history, i, frequencies, i - start, coder_state, message, True, numbers)


def _segments(length):
    return [(a, min(a + SEGMENT, length)) for a in range(0, length, SEGMENT)]


def encode(data: bytes, frequencies=None, chosen=SMALL, ring=RING):
    predictor, history = Experts(chosen, frequencies is not None), np.zeros(ring, np.uint8)
    state, out = coder.encoder(), np.zeros(len(data) * 2 + 64, np.uint8)
    for start, stop in _segments(len(data)):
        history[np.arange(start, stop) % ring] = np.frombuffer(data[start:stop], np.uint8)
        rows = NO_MODEL if frequencies is None else frequencies[start:stop]
        predictor.code(history, start, stop - start, rows, state, out, False)
    return out[: coder.finish(state, out)].copy(), predictor


def decode(message, length: int, frequencies=None, chosen=SMALL, ring=RING):
    predictor, history = Experts(chosen, frequencies is not None), np.zeros(ring, np.uint8)
    state, out = coder.decoder(message), np.zeros(length, np.uint8)
    for start, stop in _segments(length):
        if frequencies is None:
            predictor.code(history, start, stop - start, NO_MODEL, state, message, True)
        else:
            numbers, rows = predictor.begin(history, start, stop - start), frequencies[start:stop]
            _decode_with_model(predictor.state, history, start, stop, rows, state, message, numbers)
        out[start:stop] = history[np.arange(start, stop) % ring]
    return out.tobytes(), predictor


def model_rows(data: bytes, seed: int = 1) -> np.ndarray:
    """A language model's rows: random, sometimes nearly sure of the next byte."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 1 << 16, (len(data), 256)) >> rng.integers(0, 16, (len(data), 256)).astype(np.int64)
    rows = np.maximum(rows, 1)
    known = np.arange(0, len(data), 2)
    rows[known, np.frombuffer(data, np.uint8)[known]] += 1 << 15
    rows = np.maximum(rows * (1 << 23) // rows.sum(1, keepdims=True), 1)
    rows[np.arange(len(data)), rows.argmax(1)] += (1 << 24) - rows.sum(1)
    return rows.astype(np.uint32)


def same_state(a: Experts, b: Experts) -> bool:
    return all(np.array_equal(x, b.arrays()[name]) for name, x in a.arrays().items())


def image(width: int, height: int, channels: int = 3) -> bytes:
    """A smooth texture, its channels nearly alike."""
    noise = np.random.default_rng(11).integers(-12, 13, (height, width, 1))
    texture = sum(np.roll(noise, (y, x), (0, 1)) for y in range(5) for x in range(5))
    own = np.random.default_rng(13).integers(-1, 2, (height, width, channels))
    return np.clip(128 + texture + own, 0, 255).astype(np.uint8).tobytes()


def sound(samples: int, channels: int = 1) -> bytes:
    """A resonance, 16 bits, little endian."""
    a = b = 0
    out = []
    for n in np.random.default_rng(12).integers(-150, 151, samples).tolist():
        a, b = (a * 253 - b * 126) // 128 + n, a
        out.append([a] * channels)
    return np.clip(out, -32768, 32767).astype("<i2").tobytes()


WIDE_RING = 1 << 17  # the shortest that is searched for samples
WAV = b"RIFF\x24\xf4\x01\0WAVEfmt \x10\0\0\0\1\0\2\0\x44\xac\0\0\x10\xb1\2\0\4\0\x10\0data\0\xf4\1\0"
SAMPLES = {  # data, and the kind that is found
    "PPM": (b"P6\n150 50\n255\n" + image(150, 50), 1),
    "PGM": (b"P5\n200 100 255\n" + image(200, 100, 1), 1),
    "WAV": (WAV + sound(5000, 2), 2),
    "pixels": (image(150, 70), 1),
    "pixels of four channels": (image(96, 70, 4), 1),
    "numbers from an odd place": (b"?" + sound(15000), 2),
    "past the ring": (b"P6\n150 300\n255\n" + image(150, 300), 1),
    "sound, then text": (sound(10000) + SAMPLE * 4, 0),
    "text that begins as a picture": (b"P6\n40 40\n255\n" + SAMPLE, 1),
    "text that begins as sound": (WAV + SAMPLE, 2),
}

KINDS = {
    "empty": b"",
    "one byte": b"\xff",
    "zeros": bytes(5000),
    "sample": SAMPLE,
    "random": np.random.default_rng(0).bytes(5000),
    "random, then known": (noise := np.random.default_rng(7).bytes(4000)) + noise + SAMPLE[:1000],
    "records": b"".join((n * 37).to_bytes(4, "little") + b"\0\1ab" for n in range(600)),
    "long lines": b"x" * 700 + b"\n" + b"y" * 700 + b"\n" + b"xy" * 400,
    "all bytes": bytes(range(256)) * 12,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_coded_comes_back_and_both_ends_learn_the_same(kind):
    data = KINDS[kind]
    message, sender = encode(data)
    result, receiver = decode(message, len(data))
    assert result == data
    assert same_state(sender, receiver)


@pytest.mark.parametrize("kind", ["one byte", "zeros", "sample", "random"])
def test_round_trip_with_a_language_model(kind):
    data = KINDS[kind]
    message, sender = encode(data, model_rows(data))
    result, receiver = decode(message, len(data), model_rows(data))
    assert result == data
    assert same_state(sender, receiver)


@cache
def sent(name: str):
    """The message of samples, and the sender after it."""
    return encode(SAMPLES[name][0], ring=WIDE_RING)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_come_back(name):
    data, kind = SAMPLES[name]
    message, sender = sent(name)
    result, receiver = decode(message, len(data), ring=WIDE_RING)
    assert result == data
    assert same_state(sender, receiver)
    assert sender.state.sampled[numeric.KIND] == kind


@pytest.mark.parametrize("name", ["PPM", "WAV"])
def test_samples_come_back_with_a_language_model(name):
    data = SAMPLES[name][0][:5000]
    message, sender = encode(data, model_rows(data), ring=WIDE_RING)
    result, receiver = decode(message, len(data), model_rows(data), ring=WIDE_RING)
    assert result == data
    assert same_state(sender, receiver)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_worth_finding_and_false_ones_do_little_harm(name, monkeypatch):
    data, _ = SAMPLES[name]
    found = len(sent(name)[0])
    monkeypatch.setattr(experts, "watch", lambda *_: None)
    most = {"PPM": 0.9, "PGM": 0.93, "numbers from an odd place": 0.9, "past the ring": 0.87}
    most["WAV"] = 1.1  # a pure chord repeats: text contexts are good at it
    assert found < len(encode(data, ring=WIDE_RING)[0]) * most.get(name, 1.8 if "begins" in name else 1.05)


@pytest.mark.parametrize("data", [SAMPLE * 4, np.random.default_rng(9).bytes(30000), bytes(30000)])
def test_other_data_is_not_taken_for_samples(data):
    assert encode(data, ring=WIDE_RING)[1].state.sampled[numeric.FIRST] == 1 << 62


def _fitted(x, y, decay=0.998):
    system, work = np.zeros((numeric.TAPS + 2, numeric.TAPS)), np.zeros((numeric.TAPS + 2, numeric.TAPS))
    for row, value in zip(x, y, strict=True):
        work[numeric.TAPS + 1, : len(row)] = row
        numeric.fit(system, work, float(value), x.shape[1], decay)
    return system[numeric.TAPS + 1, : x.shape[1]]


def test_weights_are_those_of_least_squares():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 256, (300, 7)), rng.integers(0, 256, 300)
    faded = 0.998 ** np.arange(299, -1, -1)
    moments = (x.T * faded) @ x + 0.0625 * faded.sum() + 2 * np.eye(7)
    assert _fitted(x, y) == pytest.approx(np.linalg.solve(moments, (x.T * faded) @ y + 0.0625 * faded.sum()))


@pytest.mark.parametrize("high", [0, 1, 32767])
def test_weights_stay_finite_and_normal(high):
    rng = np.random.default_rng(3)
    for rows in (np.full((3000, 24), high), rng.integers(-1, 2, (3000, 1)) * np.full((1, 24), high)):
        weights = _fitted(rows, rng.integers(-high, high + 1, 3000), 0.99)
        assert np.isfinite(weights).all()
        assert not ((weights != 0) & (np.abs(weights) < 1e-20)).any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 300))
def test_any_bytes_come_back(parts, times):
    data = b"".join(part * (times % (k + 2)) for k, part in enumerate(parts))
    message, _ = encode(data)
    assert decode(message, len(data))[0] == data


@pytest.mark.parametrize("chosen", [FAST, MAX])
def test_presets_come_back(chosen):
    message, _ = encode(SAMPLE, chosen=chosen)
    assert decode(message, len(SAMPLE), chosen=chosen)[0] == SAMPLE


def test_any_bytes_decode_to_something():
    garbage = np.frombuffer(np.random.default_rng(3).bytes(300), np.uint8).copy()
    assert len(decode(garbage, 3000)[0]) == 3000


def test_a_later_byte_changes_no_earlier_probability():
    """The code lengths up to a byte do not depend on it or on what follows, though an encoder has it in the ring."""
    where = 3 * SEGMENT - 100
    other = bytearray(SAMPLE[: 3 * SEGMENT])
    other[where:] = bytes(byte ^ 0x55 for byte in other[where:])
    costs = []
    for data in (SAMPLE[: 3 * SEGMENT], bytes(other)):
        predictor, history = Experts(SMALL, False), np.zeros(1 << 11, np.uint8)
        state, out = coder.encoder(), np.zeros(9999, np.uint8)
        costs.append([])
        for start, stop in _segments(len(data)):
            predictor.grow(start)
            history[np.arange(start, stop) % len(history)] = np.frombuffer(data[start:stop], np.uint8)
            for i in range(start, stop):
                code_one(predictor.state, history, i, NO_MODEL, state, out)
                costs[-1].append(tuple(predictor.state.ledger))
    assert costs[0][:where] == costs[1][:where]
    assert costs[0][where] != costs[1][where]


def test_a_header_is_known_by_bytes_already_decoded():
    """A sound's header that a segment cuts short says nothing yet: what would make it one is still to come."""
    for cut in range(1, len(WAV)):
        data = bytes(SEGMENT - cut) + WAV + sound(150, 2)
        message, sender = encode(data, ring=WIDE_RING)
        result, receiver = decode(message, len(data), ring=WIDE_RING)
        assert result == data
        assert same_state(sender, receiver)
    marks = bytes(SEGMENT - 8) + b"fmt data\1\0\2\0" + bytes([16] * 100)
    assert decode(encode(marks, ring=WIDE_RING)[0], len(marks), ring=WIDE_RING)[0] == marks


def test_the_ledger_is_the_message():
    for rows in (None, model_rows(SAMPLE)):
        message, predictor = encode(SAMPLE, rows)
        bits = predictor.state.ledger[experts.MIX] / 2**20
        assert bits - 1 <= 8 * len(message) <= bits * 1.0001 + 64


def test_a_sure_language_model_is_believed_and_a_useless_one_does_little_harm():
    alone = len(encode(SAMPLE)[0])
    uniform = np.full((len(SAMPLE), 256), 1 << 16, np.uint32)
    assert len(encode(SAMPLE, uniform)[0]) < 1.02 * alone
    sure = np.full((len(SAMPLE), 256), 1, np.uint32)
    sure[np.arange(len(SAMPLE)), np.frombuffer(SAMPLE, np.uint8)] = (1 << 24) - 255
    message, predictor = encode(SAMPLE, sure)
    assert len(message) < 0.1 * alone
    assert predictor.state.ledger[experts.MODEL] / 2**23 < 1


def test_the_language_models_share_is_its_own_code_length():
    rows = model_rows(SAMPLE)
    _, predictor = encode(SAMPLE, rows)
    exact = sum(24 - math.log2(row[byte]) for row, byte in zip(rows, SAMPLE, strict=True))
    assert predictor.state.ledger[experts.MODEL] / 2**20 == pytest.approx(exact, rel=1e-6)


def test_squash_and_stretch_are_inverse():
    logits = np.arange(-mixer.LIMIT, mixer.LIMIT + 1)
    exact = 2.0**mixer.BITS / (1 + np.exp(-logits / 256))
    assert np.abs(mixer._SQUASH - exact).max() <= 1
    middle = (np.arange(4096) + 0.5) / 4096
    assert np.abs(mixer._STRETCH - np.clip(256 * np.log(middle / (1 - middle)), -2047, 2047)).max() <= 1


def test_random_bytes_cost_almost_nothing_extra():
    data = np.random.default_rng(5).bytes(1 << 17)
    message, _ = encode(data)
    assert len(message) <= 1.0005 * len(data) + 64


def test_growing_tables_keep_what_they_know():
    """A slot found before the tables doubled is found afterwards."""
    predictor = Experts(ExpertSettings(slots=1024), False)
    before = len(predictor.arrays()["slots"])
    predictor.grow(1 << 20)
    assert len(predictor.arrays()["slots"]) > before
    known = SAMPLE[:500] * 2
    costs = []
    for position in (0, 1 << 20):
        predictor, history = Experts(ExpertSettings(slots=1024), False), np.zeros(RING, np.uint8)
        history[:1000] = np.frombuffer(known, np.uint8)
        state, out = coder.encoder(), np.zeros(9999, np.uint8)
        predictor.code(history, 0, 500, NO_MODEL, state, out, False)
        predictor.grow(position)
        predictor.code(history, 500, 500, NO_MODEL, state, out, False)
        costs.append(predictor.state.ledger[experts.MIX])
    assert costs[1] <= costs[0] * 1.01


_SCRIPT = """
import hashlib, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from test_experts import messages
print(hashlib.sha256(messages()).hexdigest())
"""


def messages() -> bytes:
    parts = [encode(SAMPLE), encode(SAMPLE, model_rows(SAMPLE))]
    parts += [encode(SAMPLES[name][0][:9000], ring=WIDE_RING) for name in ("PPM", "PGM", "WAV")]
    return b"".join(bytes(message) for message, _ in parts)


@pytest.mark.portability
@pytest.mark.parametrize("setting", ["NUMBA_OPT=1", "NUMBA_CPU_NAME=generic", "NUMBA_BOUNDSCHECK=1"])
def test_the_message_does_not_depend_on_the_compiler(setting, tmp_path):
    name, value = setting.split("=")
    environment = {**os.environ, name: value, "NUMBA_CACHE_DIR": str(tmp_path)}
    folders = [str(Path(experts.__file__).parents[2]), str(Path(__file__).parent)]
    printed = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *folders], env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.split()[-1] == hashlib.sha256(messages()).hexdigest()


def test_contexts_have_their_names_beside_them():
    """Where a context is hashed stands what the lab calls it."""
    import itertools
    import re

    from lmzip.lab.report.contexts import NAMES

    lines = Path(experts.__file__).read_text("utf-8").splitlines()
    names = {}
    for before, line in itertools.pairwise(lines):
        if (hashed := re.match(r"    h\[(\d+)\] = ", line)) is not None:
            names[int(hashed[1])] = (line if "  # " in line else before).partition("# ")[2]
    assert tuple(names[number] for number in range(len(names))) == NAMES
