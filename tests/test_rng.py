"""Random numbers are the same words on every machine, and any of them can be had alone."""

import numpy as np

from lmzip.codec import rng


def test_first_words_are_pinned():
    assert [hex(w) for w in rng.words(0, 0, 3)] == ["0x0", "0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4"]
    assert [hex(w) for w in rng.words(7, 0, 2)] == ["0x94d722913ed8c01d", "0xb899824c7584ef50"]


def test_any_word_can_be_had_alone():
    together = rng.words(3, 0, 1000)
    assert all(rng.words(3, i, 1)[0] == together[i] for i in range(0, 1000, 37))


def test_normal_numbers_have_the_deviation_asked_for():
    x = rng.normal(5, (200, 500), 0.25).astype(np.float64)
    assert x.dtype == np.float64 and abs(x.mean()) < 0.003 and abs(x.std() - 0.25) < 0.003


def test_normal_numbers_are_pinned():
    assert rng.normal(1, (4,), 1.0).view(np.int32).tolist() == [1062106948, -1095496361, 1049937869, 1044769268]


def test_below_stays_below():
    assert all(0 <= rng.below(2, i, 17) < 17 for i in range(200))
