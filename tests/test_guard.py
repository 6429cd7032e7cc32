"""The guard stops what may round differently elsewhere, by operator, argument and line; and finds it in kernels."""

from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from guard import ContractError, guarded, kernel_violations

import lmzip

A, B = torch.full((4, 8), 3.0), torch.full((8, 4), 2.0)
I8 = torch.full((32, 8), 100, dtype=torch.int8)

BROKEN = {
    "fraction": (lambda: (A / torch.tensor(7.0)) @ B, "not integral"),
    "too long a sum": (lambda: (A * 1e4) @ (B * 1e4), "exact range"),
    "second operand": (lambda: torch._int_mm(I8, I8.t()), "±64"),
    "alpha": (lambda: torch.add(A, A, alpha=0.1), "alpha"),
    "alpha in place": (lambda: A.clone().add_(A, alpha=0.1), "alpha"),
    "scalar divisor": (lambda: A / 3, "scalar"),
    "softmax": (lambda: torch.softmax(A, 1), "softmax"),
    "sum": (lambda: A.sum(), "sum"),
    "fused": (lambda: torch.addcmul(A, A, A), "addcmul"),
    "lerp": (lambda: torch.lerp(A, A, 0.3), "lerp"),
    "scatter": (lambda: A.clone().index_add_(0, torch.tensor([0, 0]), A[:2]), "index_add"),
    "random": (lambda: torch.randn(3), "randn"),
    "infinity": (lambda: (A * 1e38 * 1e38) @ B, "finite"),
}


@pytest.mark.parametrize(("operation", "reason"), BROKEN.values(), ids=BROKEN)
def test_what_is_outside_the_contract_fails_with_name_and_line(operation, reason):
    with guarded(), pytest.raises(ContractError, match=reason) as caught:
        operation()
    assert "test_guard.py:" in str(caught.value)


def test_what_is_inside_the_contract_passes():
    with guarded():
        assert (A @ B)[0, 0] == 48
        assert torch._int_mm(I8, I8.clamp(-64, 64).t()).shape == (32, 32)
        assert (A + A - A * A / (A + 1.0)).sqrt().shape == A.shape


def test_fast_math_library_functions_and_doubles_are_found_in_kernels():
    @numba.njit(fastmath=True)
    def fast(x):
        return x + x * x

    @numba.njit
    def library(x):
        return np.exp(x)

    @numba.njit
    def promoted(x):
        return x * 0.5

    @numba.njit(error_model="numpy")
    def sound(x):
        return x + x * x

    for function in (fast, library, promoted, sound):
        function(np.float32(2))
    assert all(kernel_violations(function) for function in (fast, library, promoted))
    assert kernel_violations(sound) == []


def test_it_costs_nothing_outside_tests():
    """It stands with the tests, and no module of the package names it, so none loads it."""
    sources = Path(lmzip.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if "guard" in path.read_text("utf-8")] == []
