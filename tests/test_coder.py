"""The range coder: every message comes back, and costs what its probabilities say."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmzip.codec import coder
from lmzip.codec.kernel import kernel


@kernel
def write_all(starts, sizes, bits, state, out):
    for i in range(starts.shape[0]):
        coder.encode(state, out, starts[i], sizes[i], bits[i])
    return coder.finish(state, out)


@kernel
def read_all(starts, sizes, bits, state, message):
    """Counts the symbols whose target falls into the interval that was written."""
    hits = 0
    for i in range(starts.shape[0]):
        target = coder.decode_target(state, bits[i])
        hits += starts[i] <= target < starts[i] + sizes[i]
        coder.decode(state, message, starts[i], sizes[i], bits[i])
    return hits


@kernel
def lengths(sizes, bits, out):
    for i in range(sizes.shape[0]):
        out[i] = coder.code_length(sizes[i], bits[i])


def transmit(symbols):
    """Bytes that the symbols (start, size, bits) take; fails unless a decoder finds each of them."""
    starts, sizes, bits = (np.array([s[k] for s in symbols], np.uint64) for k in range(3))
    out = np.zeros(8 * len(symbols) + 64, np.uint8)
    message = out[: write_all(starts, sizes, bits, coder.encoder(), out)].copy()
    assert read_all(starts, sizes, bits, coder.decoder(message), message) == len(symbols)
    return len(message)


@st.composite
def symbol(draw):
    bits = draw(st.integers(1, 32))
    start = draw(st.one_of(st.just(0), st.just((1 << bits) - 1), st.integers(0, (1 << bits) - 1)))
    rest = (1 << bits) - start
    return start, draw(st.one_of(st.just(1), st.just(rest), st.integers(1, rest))), bits


@settings(max_examples=150, deadline=None)
@given(st.lists(symbol(), max_size=200))
def test_every_sequence_of_intervals_comes_back(symbols):
    ideal = sum(bits - math.log2(size) for _, size, bits in symbols) / 8
    assert transmit(symbols) <= ideal + 9


@pytest.mark.parametrize("seed", range(3))
def test_overhead_is_below_the_bound(seed):
    random = np.random.default_rng(seed)
    sizes = np.maximum(1, (random.random(100_000) ** 8 * (1 << 24)).astype(np.int64))
    symbols = [(0 if i % 2 else (1 << 24) - int(s), int(s), 24) for i, s in enumerate(sizes)]
    ideal = float((24 - np.log2(sizes)).sum()) / 8
    assert abs(transmit(symbols) - ideal) <= 1e-4 * ideal + 64


def test_carries_run_through_long_rows_of_ones():
    almost = (1 << 32) - 1
    for tail in range(1, 40):
        assert transmit([(almost, 1, 32)] * tail + [(almost - 1, 2, 32), (1 << 31, 1 << 31, 32)] * tail)


def test_a_uniform_predictor_costs_eight_bits_a_byte():
    assert transmit([((17 * i) % 256 << 16, 1 << 16, 24) for i in range(10_000)]) in (10_000, 10_001)


def test_an_oracle_costs_next_to_nothing():
    assert transmit([(0, (1 << 24) - 255, 24)] * 80_000) * 8 <= 80_000 / 4096 + 64


def test_no_symbols_take_no_bytes():
    assert transmit([]) == 0


def test_code_lengths_agree_with_floating_point():
    sizes = np.unique(np.concatenate([np.geomspace(1, 1 << 24, 5000), (1 << 24) - np.arange(500)])).astype(np.uint64)
    got = np.zeros(len(sizes), np.int64)
    lengths(sizes, np.full(len(sizes), 24, np.uint64), got)
    exact = 24 - np.log2(sizes.astype(np.float64))
    assert np.abs(got / (1 << coder.LENGTH_UNIT) - exact).max() < 2e-6


def test_a_message_of_noise_decodes_to_something():
    noise = np.random.default_rng(1).integers(0, 256, 100).astype(np.uint8)
    starts, sizes, bits = np.zeros(2000, np.uint64), np.ones(2000, np.uint64), np.full(2000, 24, np.uint64)
    read_all(starts, sizes, bits, coder.decoder(noise), noise)
