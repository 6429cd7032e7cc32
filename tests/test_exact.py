"""Exact arithmetic: each operation against a plain restatement in Python's integers or float64, and its invariants."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lmzip.codec import exact
from lmzip.codec.exact import FIRST, SECOND, f4, i4
from lmzip.codec.kernel import call, kernel
from lmzip.codec.product import BACKENDS, Products, self_test

rows = hnp.arrays(np.float32, st.sampled_from([4, 16, 64, 256]), elements=st.floats(-1e6, 1e6, width=32))


@kernel
def quantised(x, q, limit):
    return exact.quantise(x, q, limit)


@kernel
def softmax(logits, f):
    exact.frequencies(logits, np.empty(logits.shape[0], i4), exact.EXP2, f)


@kernel
def extremes(x):
    return exact.max_abs(x), exact.maximum(x)


@kernel
def halved_sum(x):
    return exact.pairwise_sum(x, x.shape[0])


@kernel
def called(numbers, products):
    for number in numbers:
        call(products, number)


@kernel
def combined(weights, rows, y):
    exact.weighted_rows(weights, rows, 0, y)


def test_exp2_table_is_two_to_the_minus_i_over_4096():
    assert all(abs(int(v) - 2 ** (24 - i / 4096)) <= 1 for i, v in enumerate(exact.EXP2))


@settings(max_examples=100, deadline=None)
@given(rows)
def test_extremes(x):
    largest, most = extremes(x)
    assert largest == max(np.abs(x).max(), exact.TINY)
    assert most == x.max()


@settings(max_examples=100, deadline=None)
@given(rows, st.sampled_from([FIRST, SECOND]))
def test_quantised_rows_are_integers_within_the_limit_and_near_the_row(x, limit):
    q = np.empty_like(x)
    scale = quantised(x, q, limit)
    assert (q == np.rint(q)).all() and np.abs(q).max(initial=0) <= limit
    assert np.abs(q.astype(np.float64) * float(scale) - x).max() <= 0.501 * float(scale)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float32, 256, elements=st.floats(-200, 200, width=32)))
def test_frequencies_are_positive_sum_to_one_and_follow_softmax(logits):
    f = np.zeros(256, np.uint32)
    softmax(logits, f)
    assert f.min() >= 1 and int(f.sum(dtype=np.int64)) == 1 << 24
    p = np.exp(logits.astype(np.float64) - logits.max())
    p /= p.sum()
    assert np.abs(f / (1 << 24) - p).max() < 4e-4


def test_sums_in_halves_and_rows_in_fours_have_the_stated_order():
    x = np.random.default_rng(0).normal(size=64).astype(f4)
    y = x.copy()
    while len(y) > 1:
        y = y[: len(y) // 2] + y[len(y) // 2 :]
    assert halved_sum(x.copy()) == y[0]
    w, m = np.random.default_rng(1).normal(size=8).astype(f4), np.random.default_rng(2).normal(size=(8, 5)).astype(f4)
    expected = np.zeros(5, f4)
    for k in (0, 4):
        a, b, c, d = (w[k + i] * m[k + i] for i in range(4))
        expected = expected + ((a + b) + (c + d))
    got = np.zeros(5, f4)
    combined(w, m, got)
    assert (got == expected).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(1, 16, 16), (32, 128, 384), (33, 512, 40), (96, 2048, 8)])
def test_backends_multiply_exactly(backend, shape):
    if math.isinf(self_test(backend)):
        pytest.skip(f"{backend} fails its self-test on this machine, so it would not be taken")
    (m, k, n), products = shape, Products(backend)
    random = np.random.default_rng(k)

    def integers(limit, *shape):
        return random.integers(-limit, limit + 1, shape).astype(products.operand)

    x, weights, gradient, small = integers(127, m, k), integers(64, k, n), integers(127, m, n), integers(64, m, n)
    y, dx, dw = (np.zeros(shape, products.result) for shape in ((1, m, n), (1, m, k), (k, n)))
    numbers = [products.add(x[None], weights, y), products.add(gradient[None], weights.T, dx)]
    numbers.append(products.add(x.T, small, dw))
    products.run(called, np.array(numbers))
    x, weights, gradient, small = (a.astype(np.int64) for a in (x, weights, gradient, small))
    assert (y[0] == x @ weights).all()
    assert (dx[0] == gradient @ weights.T).all()
    assert (dw == x.T @ small).all()


def test_what_fails_inside_a_kernel_reaches_python():
    products = Products("float32")
    with pytest.raises(IndexError):
        products.run(called, np.zeros(1, np.int64))
    products.run(called, np.zeros(0, np.int64))


def test_a_backend_that_computes_wrongly_is_not_taken(monkeypatch):
    def saturating(a, b, out):
        out.copy_((a.int() @ b.int()).clamp(-32768, 32767))

    monkeypatch.delenv("LMZIP_PRODUCTS")
    monkeypatch.setitem(BACKENDS, "int8", (saturating, np.int8, np.int32))
    assert math.isinf(self_test("int8"))
    assert Products().backend != "int8"
    with pytest.raises(ArithmeticError, match="no exact matrix product"):
        Products("int8")
