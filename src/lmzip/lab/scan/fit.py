"""Fits of scaling laws, L(x) = E + (x0/x)^α, which say when the data show no such law.

Four forms are fitted to ln L by least squares, so that residuals are relative errors: a constant; a straight line in
log x; a power law without floor (E = 0); one with. A parameter has to earn its place: α beside a constant, E beside a
law without it, each by an F-test. The line, which no law contains, is compared by the Bayesian information criterion
(Schwarz 1978). All of it takes residuals as independent, which those of cumulative losses are not. Intervals come from
a seeded bootstrap of the residuals, widened for the parameters that the fit has used up and, by Student's t, for few
points; those of forecasts contain a new point's own scatter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CONSTANT, LINE, POWER, FLOOR = "constant", "line in log x", "power law", "power law with floor"
PARAMETERS = {CONSTANT: 1, LINE: 2, POWER: 2, FLOOR: 3}
REPLICATES = 300
LEVEL = 0.95  # of all intervals
FEWEST, NARROWEST = 4, 4.0  # points, and the ratio of largest to smallest x, below which nothing is said
SIGNIFICANT = 0.05  # of an F-test, that a parameter is needed
MARGIN = 2.0  # of the criterion: what is closer than that fits as well
LOWEST = 1e-20  # mean squared residual of an exact fit, so that its logarithm is finite
STEEPEST = 4.0  # α; what falls faster is a step, not a power law
FLOORS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.96, 0.99)  # of the smallest loss: where searches for E start


@dataclass(frozen=True)
class Interval:
    """A value and where it lies with probability LEVEL, by the bootstrap."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} … {self.high:.4g})"


@dataclass(frozen=True)
class Fit:
    """The law that was found, or why there is none. `verdict` is "power law", "undecided" or "no power law"."""

    verdict: str
    form: str
    floor: Interval  # E
    scale: Interval  # x0
    exponent: Interval  # α
    slope: (
        Interval  # α of the law without floor: what can be compared where one curve shows a floor and another doesn't
    )
    notes: list[str]
    x: np.ndarray
    y: np.ndarray
    residuals: dict[str, float]  # root mean square of every form, relative
    replicates: np.ndarray = field(repr=False)  # [REPLICATES, 3]: E, ln x0^α at the middle of x, α
    scatter: np.ndarray = field(repr=False)  # [REPLICATES], a new point's relative deviation

    @property
    def holds(self) -> bool:
        return self.verdict == "power law"

    def value(self, x: float) -> float:
        """L(x) by the fit."""
        return float(self.floor.value + (self.scale.value / x) ** self.exponent.value) if len(self.x) else float("nan")

    def forecast(self, x: float) -> Interval:
        """L(x) as it would be measured."""
        if not len(self.replicates):
            return Interval(float("nan"), float("nan"), float("nan"))
        e, c, alpha = self.replicates.T
        drawn = (e + np.exp(c - alpha * (np.log(x) - _middle(self.x)))) * np.exp(self.scatter)
        return _interval(self.value(x), drawn)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "verdict": self.verdict,
            "form": self.form,
            "E": vars(self.floor),
            "x0": vars(self.scale),
            "alpha": vars(self.exponent),
            "alpha_without_floor": vars(self.slope),
            "relative_residuals": self.residuals,
            "notes": self.notes,
            "x": self.x.tolist(),
            "y": self.y.tolist(),
        }

    def __str__(self) -> str:
        text = f"{self.verdict}: " if not self.holds else ""
        if self.exponent.value == self.exponent.value:
            text += f"α = {self.exponent}, E = {self.floor}, x0 = {self.scale.value:.3g}"
        return "; ".join([text, *self.notes]).removeprefix("; ")


def fit(
    x: Sequence[float],
    y: Sequence[float],
    seed: int = 0,
    replicates: int = REPLICATES,
    noise: Sequence[float] | None = None,
) -> Fit:
    """Fit losses y > 0 at x > 0. noise: their relative standard errors up to a factor; None: all are the same.

    Raises ValueError for too few points.
    """
    order = np.argsort(np.asarray(x, np.float64), kind="stable")
    xs, ys = np.asarray(x, np.float64)[order], np.asarray(y, np.float64)[order]
    if not (np.all(np.isfinite(xs)) and np.all(np.isfinite(ys)) and np.all(xs > 0) and np.all(ys > 0)):
        raise ValueError("a scaling law is fitted to finite numbers above 0")
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    if len(np.unique(xs)) < FEWEST or xs[-1] < NARROWEST * xs[0]:
        why = f"{len(np.unique(xs))} points over a range of {xs[-1] / xs[0] if len(xs) else 0:.3g}× are too few to tell"
        return Fit(
            "undecided", "", nothing, nothing, nothing, nothing, [why], xs, ys, {}, np.zeros((0, 3)), np.zeros(0)
        )

    weights = np.ones(len(xs)) if noise is None else 1 / np.asarray(noise, np.float64)[order]
    weights /= np.sqrt(np.mean(weights**2))
    logs = np.log(xs) - _middle(xs)
    target = np.log(ys)
    power = _power(logs, target, weights)
    laws = {POWER: power, FLOOR: _floor(logs, target, weights, power)}
    fitted = {CONSTANT: np.full(len(xs), np.average(target, weights=weights**2)), LINE: _line(logs, ys, weights)}
    fitted |= {form: _log_law(law, logs) for form, law in laws.items()}
    squares = {
        form: max(float(np.sum(((target - values) * weights) ** 2)), LOWEST * len(xs))
        for form, values in fitted.items()
    }
    falls = _is_needed(squares[CONSTANT], squares[POWER], len(xs) - PARAMETERS[POWER])
    bends = _is_needed(squares[POWER], squares[FLOOR], len(xs) - PARAMETERS[FLOOR])
    both = _is_needed(squares[CONSTANT], squares[FLOOR], len(xs) - PARAMETERS[FLOOR], 2)
    form = FLOOR if bends or (both and not falls) else POWER
    law, residuals = laws[form], target - fitted[form]
    drawn, scatter = _bootstrap(form, law, logs, residuals, weights, seed, replicates)
    without, _ = _bootstrap(POWER, power, logs, target - fitted[POWER], weights, seed, replicates)

    scale = np.exp(_middle(xs)) * np.exp(np.clip(drawn[:, 1] / _not_zero(drawn[:, 2]), -600, 600))
    result = Fit(
        verdict="",
        form=form,
        floor=_interval(law[0], drawn[:, 0]),
        scale=_interval(float(np.exp(_middle(xs) + np.clip(law[1] / _not_zero(law[2]), -600, 600))), scale),
        exponent=_interval(law[2], drawn[:, 2]),
        slope=_interval(power[2], without[:, 2]),
        notes=[],
        x=xs,
        y=ys,
        residuals={form: float(np.sqrt(value / len(xs))) for form, value in squares.items()},
        replicates=drawn,
        scatter=scatter,
    )
    verdict, notes = _judge(result, squares, residuals)
    object.__setattr__(result, "verdict", verdict)
    result.notes.extend(notes)
    return result


def _judge(law: Fit, squares: dict[str, float], residuals: np.ndarray) -> tuple[str, list[str]]:
    """Whether the data show the law, and what is to be said of it."""
    alpha, count, parameters = law.exponent, len(residuals), PARAMETERS[law.form]
    against, doubts = [], []
    line = count * np.log(squares[law.form] / squares[LINE]) + (parameters - PARAMETERS[LINE]) * np.log(count)
    if not _is_needed(squares[CONSTANT], squares[law.form], count - parameters, parameters - 1):
        against.append("a constant is not ruled out")
    elif alpha.value <= 0:
        against.append("the loss doesn't fall with x")
    elif alpha.low <= 0:
        against.append("α may as well be 0")
    elif line > MARGIN:
        against.append("a straight line in log x fits better")
    elif alpha.value >= STEEPEST:
        against.append(f"α has no bound below {STEEPEST:g}: a step, not a power law")
    elif alpha.high >= STEEPEST:
        doubts.append("α has no upper bound")
    elif line > -MARGIN:
        doubts.append("a straight line in log x fits as well")
    notes = [*against, *doubts]
    if not against:
        if law.form == POWER:
            notes.append("E is not identified, so it is taken as 0")
        elif law.floor.low <= 0:
            notes.append("E may as well be 0")
        worst = int(np.argmax(np.abs(residuals)))
        if abs(residuals[worst]) > 0.01:
            notes.append(
                f"off by {100 * np.expm1(residuals[worst]):+.1f} % at x = {law.x[worst]:,.0f}, where it fits worst"
            )
    return ("no power law" if against else "undecided" if doubts else "power law"), notes


def _middle(x: np.ndarray) -> float:
    """Centre of log x, about which α and the scale hardly depend on each other."""
    return float(np.log(x).mean())


def _not_zero(value: Any) -> Any:
    return np.where(np.abs(value) < 1e-12, 1e-12, value)


def _is_needed(without: float, squares: float, free: int, added: int = 1) -> bool:
    """F-test: do the squares that `added` parameters take away leave no other choice? `free` degrees of freedom."""
    from scipy import stats  # extra: lab

    if free < 1:
        return False
    return bool(stats.f.sf((without / squares - 1) * free / added, added, free) < SIGNIFICANT)


def _log_law(law: Sequence[float], logs: np.ndarray) -> np.ndarray:
    """ln L of a law (E, c, α) at centred logarithms of x."""
    e, c, alpha = law
    return np.log(e + np.exp(c - alpha * logs))


def _power(logs: np.ndarray, target: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    slope, offset = np.polyfit(logs, target, 1, w=weights)
    return 0.0, float(offset), float(-slope)


def _line(logs: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """ln of the straight line a + b·log x whose relative errors are least; -inf never, where it passes 0."""
    from scipy.optimize import least_squares  # extra: lab

    low = 1e-3 * y.min()

    def values(p: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(p[0] + p[1] * logs, low))

    start = np.polyfit(logs, y, 1, w=weights)[::-1]
    return values(least_squares(lambda p: (values(p) - np.log(y)) * weights, start).x)


def _floor(
    logs: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray,
    power: Sequence[float],
    start: Sequence[float] | None = None,
) -> tuple[float, float, float]:
    """The law with 0 < E < min L, from the two best of several starts, or from the one given; never worse than the
    law without floor. E is searched for as a logistic function of u, so the search knows no bounds."""
    from scipy.optimize import leastsq  # extra: lab

    def cost_of(law: Sequence[float]) -> float:
        return float(np.sum(((_log_law(law, logs) - target) * weights) ** 2))

    least = float(np.exp(target.min()))
    starts = []
    if start is None:
        for share in FLOORS:
            _, c, alpha = _power(logs, np.log(np.exp(target) - share * least * (1 - 1e-9)), weights)
            starts.append((share * least, c, alpha))
        starts.sort(key=cost_of)
    else:
        starts.append((min(start[0], 0.999 * least), start[1], start[2]))

    def residuals(p: np.ndarray) -> np.ndarray:
        return (np.log(least / (1 + np.exp(-p[0])) + np.exp(p[1] - p[2] * logs)) - target) * weights

    def slopes(p: np.ndarray) -> np.ndarray:
        share, falling = 1 / (1 + np.exp(-p[0])), np.exp(p[1] - p[2] * logs)
        whole = (least * share + falling) / weights
        return np.stack([least * share * (1 - share) / whole, falling / whole, -falling * logs / whole], axis=1)

    best, cost = tuple(power), cost_of(power)
    with np.errstate(over="ignore", under="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a search came to its end without converging: it is judged by its cost
        for e, c, alpha in starts[:2]:
            share = min(max(e / least, 1e-4), 1 - 1e-6)
            p = leastsq(residuals, (np.log(share / (1 - share)), c, alpha), Dfun=slopes, maxfev=200)[0]
            error = float(np.sum(residuals(p) ** 2))
            if error < cost:
                best, cost = (least / (1 + float(np.exp(-p[0]))), float(p[1]), float(p[2])), error
    return best  # type: ignore[return-value]


def _bootstrap(
    form: str,
    law: Sequence[float],
    logs: np.ndarray,
    residuals: np.ndarray,
    weights: np.ndarray,
    seed: int,
    replicates: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Laws refitted to the fit plus residuals drawn anew, and one more residual for each, of a point as sure as the
    last."""
    from scipy import stats  # extra: lab

    generator = np.random.Generator(np.random.PCG64(seed))
    count = len(logs)
    free = max(count - PARAMETERS[form], 1)
    student = float(stats.t.ppf((1 + LEVEL) / 2, free) / stats.norm.ppf((1 + LEVEL) / 2))
    widened = residuals * weights * np.sqrt(count / free) * student
    fitted = _log_law(law, logs)
    drawn = []
    for _ in range(replicates):
        target = fitted + generator.choice(widened, count) * generator.choice((-1.0, 1.0), count) / weights
        power = _power(logs, target, weights)
        drawn.append(power if form == POWER else _floor(logs, target, weights, power, law))
    scatter = generator.choice(widened, replicates) * generator.choice((-1.0, 1.0), replicates) / weights[-1]
    return np.array(drawn), scatter


def _interval(value: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))


def slope(x: Sequence[float], y: Sequence[float], seed: int = 0, replicates: int = REPLICATES) -> Interval:
    """Exponent a of y ∝ x^a, by least squares in logarithms, with its interval from the same bootstrap."""
    logs = np.log(np.asarray(x, np.float64))
    logs -= logs.mean()
    target = np.log(np.asarray(y, np.float64))
    weights = np.ones(len(logs))
    law = _power(logs, target, weights)
    drawn, _ = _bootstrap(POWER, law, logs, target - _log_law(law, logs), weights, seed, replicates)
    return _interval(-law[2], -drawn[:, 2])


def lower_hull(x: Sequence[float], y: Sequence[float]) -> list[int]:
    """Indices of the points on the falling part of the lower convex hull in log-log: the efficient frontier."""
    order = sorted(range(len(x)), key=lambda i: (x[i], y[i]))
    hull: list[int] = []
    for i in order:
        if hull and y[i] >= y[hull[-1]]:
            continue  # costs more and is no better
        point = np.log([x[i], y[i]])
        while len(hull) >= 2:
            a, b = (np.log([x[k], y[k]]) for k in hull[-2:])
            if (b[0] - a[0]) * (point[1] - a[1]) > (b[1] - a[1]) * (point[0] - a[0]):
                break
            hull.pop()  # it lies on or above the line between its neighbours
        hull.append(i)
    return hull


@dataclass(frozen=True)
class BestSize:
    """The model size that loses least for each compute budget, and its growth N* ∝ C^a.

    Budgets where the best size is the smallest or largest scanned tell nothing but a bound; they are only counted. Of
    others nothing is said where fewer than three sizes have a loss, or the best is at the edge of those that do.
    """

    budgets: list[float]
    sizes: list[float]
    at_smallest: int
    at_largest: int
    exponent: Interval | None

    def __str__(self) -> str:
        edges = f"the smallest size is best at {self.at_smallest} budgets, the largest at {self.at_largest}"
        if self.exponent is None:
            return (
                f"N* ∝ C^a: {len(self.budgets)} budgets have their best size between the others, too few for a; {edges}"
            )
        return f"N* ∝ C^a with a = {self.exponent} from {len(self.budgets)} budgets; {edges}"


def best_sizes(
    curves: dict[int, tuple[Sequence[float], Sequence[float]]], budgets: int = 24, seed: int = 0
) -> BestSize:
    """From a curve (D, L) for each size N, with C = 6·N·D: a parabola in log N through the best size and its
    neighbours at every budget (the isoFLOP profiles of Hoffmann et al. 2022)."""
    sizes = sorted(curves)
    lowest = min(6 * n * min(curves[n][0]) for n in sizes)
    highest = max(6 * n * max(curves[n][0]) for n in sizes)
    tried, chosen, at_smallest, at_largest = [], [], 0, 0
    for budget in np.geomspace(lowest, highest, budgets):
        here = []
        for n in sizes:
            curve = np.log(np.array(curves[n], np.float64))
            length = np.log(budget / (6 * n))
            if curve[0].min() - 1e-9 <= length <= curve[0].max() + 1e-9:
                here.append((np.log(n), float(np.interp(length, *curve))))
        if len(here) < 3:
            continue
        best = min(range(len(here)), key=lambda i: here[i][1])
        if best == 0:
            at_smallest += int(here[0][0] == np.log(sizes[0]))  # or else a smaller one has no more data
        elif best == len(here) - 1:
            at_largest += int(here[-1][0] == np.log(sizes[-1]))
        else:
            logs, losses = np.array(here[best - 1 : best + 2]).T
            a, b, _ = np.polyfit(logs, losses, 2)
            tried.append(float(budget))
            chosen.append(float(np.exp(-b / (2 * a))) if a > 0 else float(np.exp(here[best][0])))
    exponent = slope(tried, chosen, seed) if len(tried) >= FEWEST else None
    return BestSize(tried, chosen, at_smallest, at_largest, exponent)
