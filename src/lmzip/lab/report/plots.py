"""Plots of a report's figures, by matplotlib, as SVG to stand inside a page.

Colours are Okabe and Ito's, and lines differ in their dashes too, so neither colour-blind readers nor grey printers
lose anything. Text stays text: it is as sharp and as large as the page's.
"""

from __future__ import annotations

import html
import io
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from ...errors import UsageError

BLUE, ORANGE, GREEN, RED, SKY, PURPLE, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#666666",
)
PARTS = {
    "mix": ("the mix, as coded", BLUE, "-"),
    "experts": ("experts alone", ORANGE, "--"),
    "model": ("language model alone", GREEN, "-."),
}
ALONE = ("as coded", BLUE, "-")  # where there are no parts
FILES = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, "#000000")
DASHES = ("-", "--", "-.", ":")
SIZE = (5.2, 3.5)  # inches; as wide as a phone shows without shrinking text much
STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.size": 11,
    "grid.color": "#dddddd",
    "legend.fontsize": 10,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "lmzip",
    "text.parse_math": False,
}


@contextmanager
def style() -> Iterator[None]:
    """How all plots look, whatever the user's own settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def svg(draw: Callable[[Any], None], name: str, label: str, size: tuple[float, float] = SIZE) -> str:
    """What `draw` draws on an axis, as an <svg> element whose ids begin with `name`; `label`: for who can't see it."""
    with style():
        figure = Figure(figsize=size)
        draw(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawing = text.getvalue()
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing[drawing.index("<svg") :])
    drawing = re.sub(r"url\(#", f"url(#{name}-", drawing)
    drawing = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', drawing)
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    return drawing.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)


def thousands(axis: Any, log: bool = False) -> None:
    """Numbers with a comma between thousands, few of them."""
    axis.set_major_locator(LogLocator(numticks=6) if log else MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def ledger(figures: dict[str, Any]) -> Callable[[Any], None]:
    """One bar: what the description length is made of."""
    rows = figures["ledger"]
    parts = [
        ("transcript", "transcript", BLUE, ""),
        ("code", "code", ORANGE, "///"),
        ("container", "container", RED, ""),
    ]
    parts += [("code_left_out", "code left out", ORANGE, "..."), ("prior", "prior, stored", GREEN, "\\\\\\")]

    def draw(axes: Any) -> None:
        left = 0.0
        for key, name, colour, hatch in parts:
            if size := rows[key] or 0:
                axes.barh(
                    0,
                    size,
                    left=left,
                    color=colour,
                    hatch=hatch,
                    edgecolor="white",
                    label=f"{name} {size:,}",
                    height=0.6,
                )
                left += size
        axes.set(yticks=[], xlabel="bytes", ylim=(-0.5, 0.5))
        axes.spines["left"].set_visible(False)
        thousands(axes.xaxis)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=1.2)

    return draw


def curve(figures: dict[str, Any]) -> Callable[[Any], None]:
    """Bits per byte against position; the area under the mix's line is the transcript."""
    points = figures["curve"]
    ends = np.array(points["end"])
    middles = ends - np.diff(ends, prepend=0) / 2

    def draw(axes: Any) -> None:
        bits = np.array(points["mix"])
        edges = np.concatenate(([0], ends))
        axes.fill_between(edges, np.append(bits, bits[-1:]), step="post", color=BLUE, alpha=0.18, linewidth=0)
        for part in figures["parts"][::-1]:
            name, colour, dash = PARTS[part] if len(figures["parts"]) > 1 else ALONE
            axes.plot(middles, points[part], dash, color=colour, label=name)
        axes.set(xlabel="position, bytes", ylabel="bits per byte", ylim=(0, None), xlim=(0, ends[-1]))
        thousands(axes.xaxis)
        axes.legend(loc="best", title=f"shaded: {figures['bits']['mix'] / 8:,.0f} bytes", title_fontsize=10)

    return draw


def cumulative(figures: dict[str, Any]) -> Callable[[Any], None]:
    """Bytes of transcript so far, against position, and what code and container add."""
    points, rows = figures["curve"], figures["ledger"]
    fixed = rows["code"] + rows["container"] + rows["code_left_out"]

    def draw(axes: Any) -> None:
        x, y = np.array([0, *points["end"]]), np.array([0.0, *points["cumulative_bytes"]])
        axes.fill_between(x, y, color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(x, y, color=BLUE, label="transcript")
        axes.plot(x, y + fixed, "--", color=ORANGE, label="with code and container")
        axes.set(xlabel="position, bytes", ylabel="bytes so far", ylim=(0, None), xlim=(0, x[-1]))
        thousands(axes.xaxis)
        thousands(axes.yaxis)
        axes.legend(loc="best")

    return draw


def shares(figures: dict[str, Any]) -> Callable[[Any], None]:
    """Code length of each part alone, and of the mix."""
    parts = [part for part in ("model", "experts", "mix") if part in figures["bits"]]

    def draw(axes: Any) -> None:
        for k, part in enumerate(reversed(parts)):
            _name, colour, _ = PARTS[part]
            bpb = figures["bits"][part] / figures["bytes"]
            axes.barh(k, bpb, color=colour, height=0.6)
            axes.text(bpb, k, f" {bpb:.3f}", va="center")
        axes.set(yticks=range(len(parts)), xlabel="bits per byte", ylim=(-0.6, len(parts) - 0.4))
        axes.set_yticklabels([PARTS[part][0] for part in reversed(parts)])
        axes.margins(x=0.14)
        axes.grid(axis="y", visible=False)

    return draw


def context_worth(figures: dict[str, Any]) -> Callable[[Any], None]:
    """What leaving each context out costs, in parts of a hundred, dearest first."""
    judged = figures["contexts"]
    rows = sorted(judged["contexts"], key=lambda row: row["without"])

    def draw(axes: Any) -> None:
        worth = [100 * (row["without"] / judged["all"] - 1) for row in rows]
        axes.barh(range(len(rows)), worth, color=[BLUE if value > 0 else RED for value in worth], height=0.7)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set(xlabel="% longer without it", ylim=(-0.7, len(rows) - 0.3), yticks=range(len(rows)))
        _name_rows(axes, rows)
        axes.grid(axis="y", visible=False)

    return draw


def context_alone(figures: dict[str, Any]) -> Callable[[Any], None]:
    """Bits per byte with no context but this one, the best first."""
    judged = figures["contexts"]
    rows = sorted(judged["contexts"], key=lambda row: -row["alone"])

    def draw(axes: Any) -> None:
        bpb = [row["alone"] / judged["bytes"] for row in rows]
        axes.plot(bpb, range(len(rows)), "o", color=BLUE, label="this one alone")
        axes.axvline(judged["all"] / judged["bytes"], color=RED, linestyle="--", label="all together")
        axes.set(xlabel="bits per byte", ylim=(-0.7, len(rows) - 0.3), yticks=range(len(rows)))
        _name_rows(axes, rows)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, columnspacing=1.2)  # above: points are all over

    return draw


def context_height(count: int) -> float:
    """Inches that a plot with a row for each of so many contexts needs: their names take up to three lines."""
    return 1.2 + 0.34 * count


def _name_rows(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Contexts' whole names, in as many lines as they need."""
    axes.set_yticklabels([textwrap.fill(row["name"], 32) for row in rows], fontsize=8, linespacing=0.9)


def reliability(calibration: dict[str, Any], event: str) -> Callable[[Any], None]:
    """How often what was predicted to have a probability observed: on the diagonal, if it was right."""
    rows = [row for row in calibration["buckets"] if row["events"] >= 10]

    def draw(axes: Any) -> None:
        predicted = np.array([row["predicted"] for row in rows])
        floor = 10.0 ** np.floor(np.log10(min([*predicted, *(1 - predicted), 0.1])))
        inside = lambda p: np.clip(p, floor, 1 - floor)  # noqa: E731
        observed = inside(np.array([row["observed"] for row in rows]))
        low, high = (inside(np.array([row[end] for row in rows])) for end in ("low", "high"))
        axes.set(xscale="logit", yscale="logit")
        axes.plot([floor, 1 - floor], [floor, 1 - floor], color=GREY, linewidth=1, label="predicted = observed")
        axes.vlines(predicted, low, high, color=ORANGE, linewidth=2.5, label="95 % interval")
        axes.plot(predicted, observed, "o", color=BLUE, markersize=4.5, label="observed")
        axes.set(xlabel=f"predicted probability {event}", ylabel="share observed")
        axes.set(xlim=(floor, 1 - floor), ylim=(floor, 1 - floor))
        ticks = [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1 - 1e-4, 1 - 1e-5, 1 - 1e-6]
        ticks = [p for p in ticks if floor <= p <= 1 - floor]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(matplotlib.ticker.NullLocator())
            shown = ticks if axis is axes.yaxis else [p for p in (1e-5, 1e-3, 0.1, 0.9, 0.999, 1 - 1e-5) if p in ticks]
            axis.set_ticks(shown, [f"{p:.7g}" if p < 1e-3 or p > 0.9999 else f"{p:g}" for p in shown])
        axes.legend(loc="upper left")

    return draw


def window(figures: dict[str, Any]) -> Callable[[Any], None]:
    """The model's loss by the bytes of context that it sees."""
    rows = figures["context"]["model"]["rows"]

    def draw(axes: Any) -> None:
        x = np.array([row["context"] for row in rows])
        y = np.array([row["bits"] for row in rows])
        # Wider groups further out: a mean over places that hardly differ says more than its noise.
        edges = sorted({0, 1, 2, 3, 4, 5, 6, 7, *(int(e) for e in np.geomspace(8, len(x), 10)), len(x)})
        groups = [slice(a, b) for a, b in itertools.pairwise(edges)]
        mean = [y[g].mean() for g in groups]
        error = [
            1.96 * np.sqrt((np.array([row["error"] for row in rows[g]]) ** 2).sum()) / (g.stop - g.start)
            for g in groups
        ]
        middle = [x[g].mean() for g in groups]
        axes.errorbar(middle, mean, error, fmt="o-", color=GREEN, ecolor=ORANGE, elinewidth=2.5, markersize=4)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(-0.2, None)
        axes.set_ylim(0, None)
        ticks = [t for t in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if t <= len(x)]
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.set_xticks(ticks, [str(t) for t in ticks])
        axes.set(xlabel="bytes of context", ylabel="bits per byte")

    return draw


def place(figures: dict[str, Any], what: str) -> Callable[[Any], None]:
    """Mean bits per byte by the place in the line or in the word."""
    costs = figures["context"][what]

    def draw(axes: Any) -> None:
        for part in figures["parts"][::-1]:
            name, colour, dash = PARTS[part] if len(figures["parts"]) > 1 else ALONE
            axes.plot(costs["place"], costs[part], dash, color=colour, label=name, marker="o" if what == "word" else "")
        of = "bytes since the line's beginning" if what == "line" else "letters of the word before this one"
        axes.set(xlabel=of, ylabel="bits per byte", ylim=(0, None))
        axes.legend(loc="best")

    return draw


def sizes(figures: dict[str, Any]) -> Callable[[Any], None]:
    """Bits per byte of lmzip's description length and of the others, smallest first."""
    rows = comparison(figures)

    def draw(axes: Any) -> None:
        for k, row in enumerate(reversed(rows)):
            bpb = 8 * row["bytes"] / figures["bytes"]
            ours = row["name"].startswith("lmzip")
            axes.barh(k, bpb, color=BLUE if ours else GREY, hatch="///" if ours else "", edgecolor="white", height=0.7)
            axes.text(bpb, k, f" {bpb:.3f}", va="center", fontsize=10)
        axes.set(yticks=range(len(rows)), xlabel="bits per byte", ylim=(-0.6, len(rows) - 0.4))
        axes.set_yticklabels([row["name"] for row in reversed(rows)])
        axes.margins(x=0.16)
        axes.grid(axis="y", visible=False)

    return draw


def comparison(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Sizes that were found, smallest first: lmzip's transcript and its archive, and the others."""
    rows = figures["ledger"]
    given = ", conditional" if rows["conditional"] else ""
    own = [
        {"name": f"lmzip, archive{given}", "bytes": rows["archive"]},
        {"name": f"lmzip, transcript{given}", "bytes": rows["transcript"]},
    ]
    return sorted(own + [row for row in figures["peers"] if row["bytes"] is not None], key=lambda row: row["bytes"])


def together(files: list[dict[str, Any]]) -> Callable[[Any], None]:
    """The learning curves of several files: bits per byte so far, against position."""

    def draw(axes: Any) -> None:
        for k, figures in enumerate(files):
            points = figures["curve"]
            x, y = np.array(points["end"]), 8 * np.array(points["cumulative_bytes"])
            if len(x):
                style = {"color": FILES[k % len(FILES)], "linestyle": DASHES[k % len(DASHES)]}
                axes.plot(x, y / x, label=textwrap.fill(figures["name"], 32), **style)
        axes.set(xscale="log", xlabel="position, bytes", ylabel="bits per byte so far", ylim=(0, None))
        thousands(axes.xaxis, log=True)
        axes.legend(loc="best")

    return draw


def plot_kind(name: str) -> str:
    """What kind of plot goes into the file of this name: png, pdf, svg. Raises UsageError."""
    suffix = Path(name).suffix[1:].lower()
    if suffix not in Figure().canvas.get_supported_filetypes():
        raise UsageError(f"plots have no kind {suffix!r}; name a .png, .pdf or .svg with --plot")
    return suffix


def save(files: list[dict[str, Any]], file: BinaryIO, kind: str) -> None:
    """Write the learning curves to a file, as a plot of this kind."""
    with style():
        figure = Figure(figsize=(11, 3.6 * len(files)))
        axes = figure.subplots(len(files), 2, squeeze=False)
        for row, figures in zip(axes, files, strict=True):
            if figures["bytes"]:
                curve(figures)(row[0])
                cumulative(figures)(row[1])
            row[0].set_title(textwrap.fill(figures["name"], 32), loc="left")
        figure.savefig(file, format=kind, dpi=150, metadata={"Software": None} if kind == "png" else None)
