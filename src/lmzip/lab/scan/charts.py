"""Plots of a scan: log-log, told apart by marker and dash as well as by colours that colour-blind readers can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from . import fit
from .laws import LOSSES, Run
from .task import GUESSING

# Okabe and Ito 2008, darkest first, without the yellow that print loses.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TASKS = ("repeat", "recall", "analogy")


@contextmanager
def _plots() -> Iterator[Any]:
    """matplotlib's pyplot, without a display, the same bytes each time."""
    try:
        import matplotlib  # extra: lab
    except ImportError:
        raise UsageError(
            "plots need matplotlib, of the extra `lab` (bash scripts/setup.sh .venv lab); or add --no-plots"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot  # extra: lab

    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "lmzip", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3}
        | {"grid.linewidth": 0.5, "lines.markersize": 4, "lines.linewidth": 1.2, "legend.frameon": False}
    ):
        yield pyplot


def _styles() -> Iterator[dict[str, Any]]:
    return ({"color": colour, "marker": marker} for colour, marker in zip(cycle(COLOURS), cycle(MARKERS)))


KINDS = (".svg", ".png")


def _save(figure: Any, pyplot: Any, stem: Path, kinds: Sequence[str]) -> list[Path]:
    paths = [stem.with_name(stem.name + suffix) for suffix in kinds]
    for path in paths:
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=130, metadata=metadata)
    pyplot.close(figure)
    return paths


def _law(axis: Any, law: dict[str, Any], x: np.ndarray, **style: Any) -> None:
    """The fitted curve, if there is one: solid where it was fitted, dotted beyond."""
    if not law["form"] or law["verdict"] == "no power law":
        return
    y = law["E"]["value"] + (law["x0"]["value"] / x) ** law["alpha"]["value"]
    inside = (x >= min(law["x"]) * 0.999) & (x <= max(law["x"]) * 1.001)
    axis.plot(x[inside], y[inside], "-", **style)
    axis.plot(x[x >= max(law["x"]) * 0.999], y[x >= max(law["x"]) * 0.999], ":", **style)


def _log(axis: Any, low: float, high: float) -> None:
    """Logarithmic axes; the upright one, over less than a decade, marked with plain numbers."""
    from matplotlib.ticker import FuncFormatter, NullFormatter  # extra: lab

    axis.set_xscale("log")
    axis.set_yscale("log")
    ratio = high / low
    digits = [1, 1.5, 2, 3, 4, 6, 8] if ratio > 3 else [1, 1.2, 1.4, 1.7, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9]
    if ratio < 1.25:
        digits = np.arange(1, 10, 0.05 if ratio > 1.1 else 0.02).tolist()
    axis.set_yticks([digit * scale for scale in (0.01, 0.1, 1) for digit in digits])
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="y", which="minor", length=0)
    axis.set_ylim(low * 0.97, high * 1.03)


def _which(analysis: dict[str, Any]) -> str:
    return f"{analysis['data']}, n-gram tables of 2^{analysis['table_bits']} rows"


def _by_loss(laws: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    by_loss = {loss: [law for law in laws if law["loss"] == loss] for loss in LOSSES}
    return {loss: some for loss, some in by_loss.items() if some}


def over_data(runs: list[Run], analysis: dict[str, Any], stem: Path, kinds: Sequence[str] = KINDS) -> list[Path]:
    """Loss against D for every size, each loss in a panel, with the fits carried on to ten times the data."""
    by_loss = _by_loss(analysis["laws_of_data"])
    with _plots() as pyplot:
        figure, axes = pyplot.subplots(
            1, len(by_loss), figsize=(3.6 * len(by_loss), 3.9), layout="constrained", squeeze=False
        )
        for (loss, laws), axis in zip(by_loss.items(), axes[0]):
            for run, law, style in zip(runs, laws, _styles()):
                x, y = run.curve(loss)
                label = f"{run.setting.layers}×{run.setting.width}: N = {run.setting.parameters:,}"
                axis.plot(x, y, linestyle="none", label=label, **style)
                _law(axis, law, np.geomspace(x[0], 10 * x[-1], 60), color=style["color"])
            values = [value for run in runs for value in run.curve(loss)[1]]
            _log(axis, 0.8 * min(values), max(values))
            axis.set(xlabel="D, bytes", title=f"{loss} loss")
        axes[0][0].set_ylabel("bits per byte")
        axes[0][0].legend(fontsize=7, title="layers × width", title_fontsize=7)
        figure.suptitle(
            f"{_which(analysis)}: loss against data; lines are fits, dotted where they forecast", fontsize=10
        )
        return _save(figure, pyplot, stem, kinds)


def over_size(analysis: dict[str, Any], stem: Path, kinds: Sequence[str] = KINDS) -> list[Path]:
    """Loss against N at several D, each loss in a panel."""
    by_loss = _by_loss(analysis["laws_of_size"])
    with _plots() as pyplot:
        figure, axes = pyplot.subplots(
            1, len(by_loss), figsize=(3.6 * len(by_loss), 3.6), layout="constrained", squeeze=False
        )
        for (loss, laws), axis in zip(by_loss.items(), axes[0]):
            for law, style in zip(laws, _styles()):
                axis.plot(law["x"], law["y"], linestyle="none", label=f"D = {law['D']:,}", **style)
                _law(axis, law, np.geomspace(law["x"][0], 10 * law["x"][-1], 60), color=style["color"])
            values = [value for law in laws for value in law["y"]]
            _log(axis, 0.9 * min(values), max(values))
            axis.set(xlabel="N, parameters of the trunk", title=f"{loss} loss")
        axes[0][0].set_ylabel("bits per byte")
        axes[0][0].legend(fontsize=7)
        figure.suptitle(f"{_which(analysis)}: loss against model size", fontsize=10)
        return _save(figure, pyplot, stem, kinds)


def over_compute(runs: list[Run], analysis: dict[str, Any], stem: Path, kinds: Sequence[str] = KINDS) -> list[Path]:
    """Loss against C for every size with the efficient frontier; the best size for each budget beside it."""
    compute = analysis["compute"]
    loss = compute["loss"]
    with _plots() as pyplot:
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.8), layout="constrained")
        values = []
        for run, style in zip(runs, _styles()):
            x, y = run.curve(loss)
            values += y
            cost = [6 * run.setting.parameters * length for length in x]
            left.plot(
                cost, y, label=f"{run.setting.layers}×{run.setting.width}: N = {run.setting.parameters:,}", **style
            )
        hull = compute["frontier"]
        left.plot(
            [p["C"] for p in hull],
            [p["loss"] for p in hull],
            "--",
            color="0.45",
            linewidth=3,
            zorder=0,
            label="frontier",
        )
        _log(left, 0.9 * min(values), max(values))
        left.set(xlabel="C = 6·N·D, operations", ylabel=f"bits per byte, {loss}")
        left.legend(fontsize=7)
        best = compute["best_size"]
        right.set(xscale="log", yscale="log", xlabel="C = 6·N·D, operations", ylabel="best N for the budget")
        right.plot(
            [p["C"] for p in hull],
            [p["N"] for p in hull],
            linestyle="none",
            marker="o",
            color="0.6",
            label="on the frontier",
        )
        right.plot(
            best["budgets"], best["sizes"], linestyle="none", marker="s", color=COLOURS[1], label="parabola in log N"
        )
        if best["exponent"]:
            budgets = np.array(best["budgets"])
            middle, a = np.exp(np.log(budgets).mean()), best["exponent"]["value"]
            right.plot(
                budgets,
                np.exp(np.log(best["sizes"]).mean()) * (budgets / middle) ** a,
                "-",
                color=COLOURS[2],
                label=f"C^{a:.2f}",
            )
        right.legend(fontsize=7)
        figure.suptitle(f"{_which(analysis)}: loss against compute", fontsize=10)
        return _save(figure, pyplot, stem, kinds)


def checked(analysis: dict[str, Any], stem: Path, kinds: Sequence[str] = KINDS) -> list[Path]:
    """Relative errors of forecasts made from the smaller part, against how far ahead they look."""
    with _plots() as pyplot:
        figure, axis = pyplot.subplots(figsize=(5.4, 3.6), layout="constrained")
        checks = [one for one in analysis["forecasts_checked"] if one["law"] == "data" and one["points"]]
        for loss, style in zip(LOSSES, _styles()):
            for k, one in enumerate(one for one in checks if one["loss"] == loss):
                ahead = [point["x"] / one["learnt_up_to"] for point in one["points"]]
                errors = [100 * point["error"] for point in one["points"]]
                axis.plot(ahead, errors, label=f"{loss} loss" if k == 0 else None, alpha=0.7, **style)
        axis.axhline(0, color="0.4", linewidth=0.8)
        axis.set(xscale="log", xlabel="times the data that the fit had seen", ylabel="error of the forecast, %")
        axis.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
        axis.set_xticks([], minor=True)
        if checks:
            axis.legend(fontsize=8)
        axis.set_title(f"{analysis['data']}: forecasts against what came", fontsize=10)
        return _save(figure, pyplot, stem, kinds)


def capability(runs: list[Run], loss: str, stem: Path, kinds: Sequence[str] = KINDS) -> list[Path]:
    """Bits per letter of the tasks' answers against the loss, frozen above and learning below, for every size."""
    with _plots() as pyplot:
        figure, axes = pyplot.subplots(2, 3, figsize=(9.6, 6), sharex=True, sharey="row", layout="constrained")
        for row, way in zip(axes, ("frozen", "learning")):
            for axis, task in zip(row, TASKS):
                for run, style in zip(runs, _styles()):
                    points = [(run.loss(loss, at), scores[task][way]) for at, scores in run.tasks().items()]
                    x = [point[0] for point in points]
                    label = f"{run.setting.layers}×{run.setting.width}"
                    axis.plot(x, [score["after"] for _, score in points], "-", label=label, **style)
                    axis.plot(x, [score["before"] for _, score in points], ":", **style | {"marker": ""})
                axis.axhline(GUESSING, color="0.5", linewidth=0.8, linestyle="--")
                axis.set_title(f"{task}, weights {way}", fontsize=9)
            row[0].set_ylabel("bits per letter of the answer")
        axes[0][0].invert_xaxis()
        figure.supxlabel(f"{loss} loss, bits per byte; training goes to the right", fontsize=9)
        axes[0][0].legend(fontsize=7, title="layers × width", title_fontsize=7)
        title = "solid: when the context tells; dotted: before it can; dashed: guessing letters"
        figure.suptitle(f"{runs[0].name}: tasks in context. {title}", fontsize=10)
        return _save(figure, pyplot, stem, kinds)


def exponents(analyses: list[dict[str, Any]], loss: str, stem: Path, kinds: Sequence[str] = KINDS) -> list[Path]:
    """Exponents over data of each kind of data, with their intervals, for every size: with a floor, and without."""
    with _plots() as pyplot:
        size = (8.4, 0.9 + 0.6 * len(analyses))
        figure, axes = pyplot.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
        styles = dict(zip(sorted({size for one in analyses for size in one["sizes"]}), _styles()))
        for axis, which in zip(axes, ("alpha", "alpha_without_floor")):
            shown = set()
            for place, analysis in enumerate(analyses):
                laws = [law for law in analysis["laws_of_data"] if law["loss"] == loss and law["form"]]
                for k, law in enumerate(laws):
                    if which == "alpha" and (law["form"] != fit.FLOOR or law["verdict"] == "no power law"):
                        continue
                    alpha, style = law[which], styles[law["N"]]
                    y = place + 0.5 * (k / max(len(laws) - 1, 1) - 0.5)
                    label = None if law["N"] in shown else f"N = {law['N']:,}"
                    shown.add(law["N"])
                    axis.plot([alpha["low"], alpha["high"]], [y, y], "-", color=style["color"])
                    axis.plot(alpha["value"], y, linestyle="none", label=label, **style)
            axis.axvline(0, color="0.4", linewidth=0.8)
            if shown:
                axis.legend(fontsize=7)
        axes[0].set_yticks(range(len(analyses)), [analysis["data"] for analysis in analyses])
        axes[0].invert_yaxis()
        axes[0].set_xlabel("α, where a floor E is identified")
        axes[1].set_xlabel("α without floor")
        figure.suptitle(f"L(D) = E + (D0/D)^α, {loss} loss", fontsize=10)
        return _save(figure, pyplot, stem, kinds)


def structure(
    tables: list[dict[str, Any]], experts: list[dict[str, Any]], stem: Path, kinds: Sequence[str] = KINDS
) -> list[Path]:
    """What added structure saves as the data grow: n-gram tables beside the trunk, experts beside the model."""
    with _plots() as pyplot:
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.4, 3.6), layout="constrained")
        for axis, rows, parts in (
            (left, tables, [("few", "many")]),
            (right, experts, [("model", "mix"), ("experts", "mix")]),
        ):
            styles = _styles()
            for without, with_ in parts:
                for size in sorted({row["N"] for row in rows}):
                    here = [row for row in rows if row["N"] == size]
                    saved = [100 * (1 - row["marginal"][with_] / row["marginal"][without]) for row in here]
                    label = f"N = {size:,}" if axis is left else f"{without} alone → mix, N = {size:,}"
                    axis.plot([row["D"] for row in here], saved, label=label, **next(styles))
            axis.set(xscale="log", xlabel="D, bytes", ylabel="smaller marginal loss, %")
            if rows:
                axis.legend(fontsize=7)
        left.set_title("n-gram tables beside the trunk", fontsize=9)
        right.set_title("experts and model together", fontsize=9)
        return _save(figure, pyplot, stem, kinds)
