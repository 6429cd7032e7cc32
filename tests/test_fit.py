"""Fits on curves whose law is known, and on curves that have none."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from lmzip.lab.scan import fit

X = np.geomspace(1e4, 1e7, 13)


def curve(floor: float, scale: float, exponent: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    y = floor + (scale / X) ** exponent
    return y * np.exp(np.random.default_rng(seed).normal(0, noise, len(X)))


def inside(interval: fit.Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


@pytest.mark.parametrize(("floor", "exponent"), [(1.0, 0.3), (0.5, 0.1), (2.0, 0.5), (0.0, 0.2), (0.0, 0.05)])
def test_an_exact_law_is_recovered(floor, exponent):
    found = fit.fit(X, curve(floor, 1e6, exponent), replicates=20)
    assert found.holds
    assert found.exponent.value == pytest.approx(exponent, rel=1e-3)
    assert found.floor.value == pytest.approx(floor, abs=2e-3)
    assert found.scale.value == pytest.approx(1e6, rel=0.02)
    assert found.form == (fit.FLOOR if floor else fit.POWER)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    hits = {"exponent": 0, "floor": 0, "forecast": 0}
    trials = 40
    for seed in range(trials):
        found = fit.fit(X, curve(1.0, 1e6, 0.3, 0.01, seed), seed=seed, replicates=100)
        assert found.holds and found.form == fit.FLOOR
        hits["exponent"] += inside(found.exponent, 0.3)
        hits["floor"] += inside(found.floor, 1.0)
        hits["forecast"] += inside(found.forecast(1e8), 1 + 0.01**0.3)
    assert min(hits.values()) >= 0.8 * trials, hits


def test_the_same_seed_gives_the_same_intervals():
    y = curve(1.0, 1e6, 0.3, 0.01)
    first, second, other = (fit.fit(X, y, seed=seed, replicates=30) for seed in (1, 1, 2))
    assert first.exponent == second.exponent != other.exponent


def test_order_of_the_points_is_of_no_account():
    y = curve(1.0, 1e6, 0.3, 0.01)
    mixed = np.random.default_rng(0).permutation(len(X))
    assert fit.fit(X[mixed], y[mixed], replicates=20).exponent == fit.fit(X, y, replicates=20).exponent


NONE = {
    "flat": np.full(len(X), 2.0),
    "rising": 2 * (X / 1e4) ** 0.1,
    "falls by a constant a decade": 8 - np.log10(X),
    "a step": np.where(X < 3e5, 3.0, 2.0),
    "U-shaped": 2 + 0.2 * (np.log10(X) - 5.5) ** 2,
}


@pytest.mark.parametrize("name", NONE)
@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_a_curve_without_a_power_law_is_refused(name, noise):
    y = NONE[name] * np.exp(np.random.default_rng(5).normal(0, noise, len(X)))
    found = fit.fit(X, y, replicates=60)
    assert not found.holds, found
    assert found.notes and found.notes[0] in str(found)


def test_noise_is_refused_nearly_always():
    held = 0
    for seed in range(20):
        noise = 2 * np.exp(np.random.default_rng(seed).normal(0, 0.05, len(X)))
        held += fit.fit(X, noise, seed=seed, replicates=60).holds
    assert held <= 1


def test_too_few_points_or_too_short_a_range_tell_nothing():
    assert fit.fit(X[:3], curve(1, 1e6, 0.3)[:3]).verdict == "undecided"
    short = np.linspace(1e6, 2e6, 12)
    found = fit.fit(short, 1 + (1e6 / short) ** 0.3)
    assert found.verdict == "undecided" and "too few" in str(found)
    assert np.isnan(found.forecast(1e8).value)


def test_a_floor_that_the_data_do_not_show_is_not_claimed():
    found = fit.fit(X, curve(0.0, 1e6, 0.2, 0.02), replicates=30)
    assert found.form == fit.POWER and "E is not identified, so it is taken as 0" in found.notes


def test_the_place_of_the_worst_misfit_is_named():
    y = curve(1.0, 1e6, 0.3)
    y[0] *= 1.1
    assert f"x = {X[0]:,.0f}" in str(fit.fit(X, y, replicates=20))


@pytest.mark.parametrize("bad", [[1, 2, 0, 4, 5], [1, 2, np.nan, 4, 5], [1, -2, 3, 4, 5]])
def test_only_positive_numbers_are_fitted(bad):
    with pytest.raises(ValueError, match="above 0"):
        fit.fit([1, 10, 100, 1000, 10000], bad)


def test_the_frontier_is_the_falling_lower_hull():
    x = [1, 10, 10, 100, 100, 1000, 1000]
    y = [8, 6, 4, 3.9, 2, 1.9, 1]
    assert fit.lower_hull(x, y) == [0, 2, 4, 6] or [x[i] for i in fit.lower_hull(x, y)] == [1, 1000]
    assert fit.lower_hull([1, 10, 100], [8, 7.9, 1]) == [0, 2]  # above the line between its neighbours
    assert fit.lower_hull([1, 10, 100], [2, 1, 3]) == [0, 1]  # costs more, is worse


def test_the_best_size_grows_with_compute_as_theory_says():
    """For L = E + A/N^α + B/D^β the best size grows as C^(β/(α+β)) (Hoffmann et al. 2022)."""
    lengths = np.geomspace(1e4, 1e9, 40)
    curves = {int(n): (lengths, 1 + n**-0.3 * 20 + lengths**-0.2 * 20) for n in np.geomspace(1e3, 1e7, 13)}
    best = fit.best_sizes(curves)
    assert best.exponent is not None
    assert best.exponent.value == pytest.approx(0.2 / 0.5, abs=0.03)


def test_a_best_size_at_the_edge_gives_no_exponent():
    lengths = np.geomspace(1e4, 1e6, 20)
    curves = {n: (lengths, 1 + n**0.1 + lengths**-0.2) for n in (1000, 4000, 16000, 64000)}
    best = fit.best_sizes(curves)
    assert best.exponent is None and best.at_smallest and not best.at_largest
