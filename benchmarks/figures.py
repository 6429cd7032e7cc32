"""How the figures of the experiments look: legible in print and without colours; the same numbers, the same bytes."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from .run import RESULTS, ROOT

FOLDER = ROOT / "docs"
# Okabe and Ito's colours, which colour-blind readers tell apart; each with its own marker and dashes
STYLES = [
    {"color": color, "marker": marker, "linestyle": dashes}
    for color, marker, dashes in (
        ("#0072B2", "o", "-"),
        ("#D55E00", "s", "--"),
        ("#009E73", "^", "-."),
        ("#CC79A7", "D", ":"),
        ("#000000", "v", "-"),
        ("#E69F00", "P", "--"),
        ("#56B4E9", "X", "-."),
    )
]
FILLS = [{"color": color, "hatch": hatch} for color, hatch in (("#0072B2", ""), ("#E69F00", "///"), ("#999999", "..."))]


def add_options(parser: ArgumentParser) -> None:
    """Where figures and what they are made of go, and whether anything is measured for them."""
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the figures (default docs)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the raw figures")
    parser.add_argument("--draw", action="store_true", help="measure nothing, draw what is there")


def panels(columns: int = 1, width: float = 7, height: float = 4.2, **options: Any) -> tuple[Any, list[Any]]:
    """A figure and its axes, in a row."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update(
        {"font.size": 11, "svg.hashsalt": "lmzip", "lines.markersize": 6, "hatch.linewidth": 0.6}
    )
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, columns, figsize=(width, height), layout="constrained", squeeze=False, **options)
    for axis in axes[0]:
        axis.grid(color="0.88", linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, list(axes[0])


def ticks(axis: Any, values: list[float], names: list[str] | None = None) -> None:
    """These and no others on a logarithmic x axis."""
    axis.set_xscale("log")
    axis.set_xticks(values, names or [f"{value:,}" for value in values])
    axis.minorticks_off()


def size(count: float) -> str:
    """31 K, 1 M."""
    return f"{count / 1e6:.3g} M" if count >= 1e6 else f"{count / 1e3:.3g} K"


def save(figure: Any, path: Path) -> None:
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
