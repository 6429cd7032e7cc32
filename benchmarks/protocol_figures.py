"""A table and a figure for each experiment of protocol.py, from its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import figures


def tabulate(name: str, rows: list[dict]) -> str:
    """Markdown."""
    if name == "size":
        head = ["layers", "width", "weights", "tables", "transcript", "code", "container", "archive", "CPU s"]
        cells = [[*(row[key] for key in head[:-1]), row["cpu"]] for row in rows]
    elif name in ("replay", "streams"):
        head = [
            *(("predictor", "replay") if name == "replay" else ("streams", "segment")),
            "transcript",
            "bpb",
            "CPU s",
        ]
        cells = [[row[head[0]], row[head[1]], row["transcript"], _bpb(row), row["cpu"]] for row in rows]
    elif name == "epochs":
        passes = range(len(rows[0]["bits"]))
        head = ["predictor", *(f"pass {k + 1}, bpb" for k in passes), "replay 1, bpb"]
        cells = [
            [row["predictor"], *(f"{bits / row['original']:.3f}" for bits in (*row["bits"], row["replay_bits"]))]
            for row in rows
        ]
    elif name == "self-prior":
        head = [
            "predictor",
            "",
            "transcript",
            "code",
            "container",
            "prior, stored",
            "prior, rebuilt",
            "total, stored",
            "total, rebuilt",
        ]
        keys = (
            "transcript",
            "code",
            "container",
            "prior",
            "prior_rebuilt",
            "description_length",
            "description_length_rebuilt",
        )
        cells = [
            [row["predictor"], how, *(_charged(row[how])[key] for key in keys)]
            for row in rows
            for how in ("without", "with")
        ]
    else:
        head = [
            "predictor",
            "probability of the right byte",
            "ideal, bits",
            "ΣNLL, bits",
            "transcript, bytes",
            "bits a byte",
            "told, bytes",
        ]
        cells = [
            [row["predictor"], f"{row['probability']:.9f}", f"{row['ideal_bits']:,.1f}", f"{row['nll_bits']:,.1f}",
             row["transcript"], f"{8 * row['transcript'] / row['original']:.6f}", row["told"]]
            for row in rows
        ]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(map(_cell, row)) + " |" for row in cells)]) + "\n"


def _cell(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _bpb(row: dict) -> str:
    return f"{8 * row['transcript'] / row['original']:.4f}"


def _charged(ledger: dict) -> dict:
    """With the code in its row, whether it was sent or left out."""
    return ledger | {"code": ledger["code"] + ledger["code_left_out"]}


def draw(name: str, rows: list[dict], path: Path) -> None:
    """Draw an experiment's figure."""
    {
        "size": _draw_size,
        "replay": _draw_replay,
        "epochs": _draw_epochs,
        "self-prior": _draw_self_prior,
        "extremes": _draw_extremes,
        "streams": _draw_streams,
    }[name](rows, path)


def _stack(axis: Any, names: list[str], parts: dict[str, list[float]]) -> None:
    """Bars, one part on the other, kilobytes."""
    bottom = np.zeros(len(names))
    for (part, sizes), fill in zip(parts.items(), figures.FILLS):
        heights = np.array(sizes) / 1000
        axis.bar(names, heights, bottom=bottom, label=part, edgecolor="white", width=0.7, **fill)
        bottom += heights
    for k, height in enumerate(bottom):
        axis.annotate(f"{height:,.1f}", (k, height), ha="center", va="bottom", fontsize=9.5)
    axis.set_ylim(top=1.25 * max(bottom))
    axis.set_ylabel("KB")
    axis.grid(visible=False, axis="x")
    axis.legend(frameon=False, ncols=len(parts), loc="upper left", fontsize=9.5)


def _draw_size(rows: list[dict], path: Path) -> None:
    figure, axes = figures.panels(2, 11, 4.6)
    names = [f"{row['layers']} × {row['width']}\n{figures.size(row['weights'])}" for row in rows]
    parts = {key: [row[key] for row in rows] for key in ("code", "container", "transcript")}
    _stack(axes[0], names, {"code": parts["code"], "transcript": parts["transcript"], "container": parts["container"]})
    axes[0].set(xlabel="layers × width, weights", title="the message")
    sent = [row["code"] + row["container"] + row["transcript"] + 2 * row["weights"] for row in rows]
    axes[1].plot(
        range(len(rows)),
        [row["archive"] / 1000 for row in rows],
        label="as it is: weights never sent",
        **figures.STYLES[0],
    )
    axes[1].plot(
        range(len(rows)),
        [value / 1000 for value in sent],
        label="were the weights sent, 2 bytes each",
        **figures.STYLES[1],
    )
    axes[1].set(
        xticks=range(len(rows)),
        xticklabels=names,
        xlabel="layers × width, weights",
        ylabel="KB",
        title="what the protocol saves",
    )
    axes[1].set_ylim(bottom=0)
    axes[1].legend(frameon=False, fontsize=9.5)
    figures.save(figure, path)


def _groups(rows: list[dict]) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(row["predictor"], []).append(row)
    return groups


def _draw_replay(rows: list[dict], path: Path) -> None:
    figure, axes = figures.panels(2, 11, 4.2)
    for (name, group), style in zip(_groups(rows).items(), figures.STYLES):
        steps, base = [row["replay"] for row in group], group[0]
        change = [100 * (row["transcript"] / base["transcript"] - 1) for row in group]
        axes[0].plot(steps, change, label=f"{name}: {base['transcript']:,} bytes without", **style)
        axes[1].plot(steps, [row["cpu"] / base["cpu"] for row in group], label=name, **style)
    axes[0].axhline(0, color="0.4", linewidth=1)
    axes[0].set(ylabel="transcript, % of that without replay", xlabel="replayed segments a segment")
    axes[1].set(ylabel="CPU time, times that without", xlabel="replayed segments a segment", ylim=(0, None))
    for axis in axes:
        axis.set_xticks(steps)
        axis.legend(frameon=False, fontsize=9.5)
    figures.save(figure, path)


def _draw_epochs(rows: list[dict], path: Path) -> None:
    figure, axes = figures.panels(len(rows), 4.6 * len(rows), 4.2, sharey=True)
    for axis, row in zip(axes, rows):
        values = [bits / row["original"] for bits in row["bits"]]
        names = [f"pass {k + 1}" for k in range(len(values))]
        bars = axis.bar(
            [*names, "replay 1"], [*values, row["replay_bits"] / row["original"]], width=0.7, edgecolor="white"
        )
        for k, bar in enumerate(bars):
            honest = k in (0, len(values))
            fill = figures.FILLS[0 if honest else 1]
            bar.set(facecolor=fill["color"], hatch=fill["hatch"])
            axis.annotate(f"{bar.get_height():.3f}", (k, bar.get_height()), ha="center", va="bottom", fontsize=9.5)
        axis.set_title(row["predictor"])
        axis.grid(visible=False, axis="x")
    axes[0].set(ylabel="bits per byte")
    axes[-1].bar([0], [0], label="first-pass predictions: count", edgecolor="white", **figures.FILLS[0])
    axes[-1].bar([0], [0], label="of data seen before: contaminated", edgecolor="white", **figures.FILLS[1])
    axes[-1].legend(frameon=False, fontsize=9.5)
    figures.save(figure, path)


def _draw_self_prior(rows: list[dict], path: Path) -> None:
    figure, axes = figures.panels(len(rows), 5.2 * len(rows), 4.4)
    for axis, row in zip(axes, rows):
        names = ["without", "with, prior\nrebuilt", "with, prior\nstored"]
        ledgers = [_charged(row[how]) for how in ("without", "with", "with")]
        priors = [0, row["with"]["prior_rebuilt"], row["with"]["prior"]]
        parts = {
            "transcript": [ledger["transcript"] for ledger in ledgers],
            "prior": priors,
            "code, container": [ledger["code"] + ledger["container"] for ledger in ledgers],
        }
        _stack(axis, names, parts)
        axis.set_title(row["predictor"])
        axis.set_yscale("symlog", linthresh=100)
        axis.set_ylim(top=20 * axis.get_ylim()[1])
    figures.save(figure, path)


def _draw_extremes(rows: list[dict], path: Path) -> None:
    figure, axes = figures.panels(2, 11, 4.4)
    oracles = [row for row in rows if row["predictor"] == "oracle"]
    line = [row["ideal_bits"] / row["original"] for row in oracles]
    axes[0].plot(line, line, color="0.4", linewidth=1, label="−log2 p")
    for row, style in zip((rows[0], None, rows[-1]), figures.STYLES):
        chosen_rows = oracles if row is None else [row]
        places = [one["ideal_bits"] / one["original"] for one in chosen_rows]
        paid = [8 * one["transcript"] / one["original"] for one in chosen_rows]
        shape = style | {"linestyle": "", "markerfacecolor": "none", "markersize": 11 if row is rows[0] else 6}
        axes[0].plot(places, paid, label=chosen_rows[0]["predictor"], **shape)
    least = 8 / rows[0]["original"]
    axes[0].axhline(least, color="0.4", linewidth=1, linestyle=":")
    axes[0].annotate("one byte for all", (1, least), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    axes[0].set(xscale="log", yscale="log", xlabel="ideal, bits a byte", ylabel="transcript, bits a byte")
    axes[0].legend(frameon=False, fontsize=9.5)
    names = ["uniform", "oracle"]
    pair = [rows[0], oracles[-1]]
    _stack(
        axes[1],
        names,
        {"transcript": [row["transcript"] for row in pair], "told beforehand": [row["told"] for row in pair]},
    )
    axes[1].set_title("what both ends must have")
    figures.save(figure, path)


def _draw_streams(rows: list[dict], path: Path) -> None:
    figure, axes = figures.panels(2, 11, 4.2)
    base = next(row for row in rows if row["streams"] == 1 and row["segment"] == 32)
    for axis, key, other, label in zip(
        axes, ("streams", "segment"), ("segment", "streams"), ("streams, segments of 32", "bytes a segment, one stream")
    ):
        group = {row[key]: row for row in rows if row[other] == base[other]}
        places = sorted(group)
        axis.plot(
            places,
            [100 * (group[k]["transcript"] / base["transcript"] - 1) for k in places],
            label="transcript",
            **figures.STYLES[0],
        )
        axis.plot(
            places, [100 * (group[k]["cpu"] / base["cpu"] - 1) for k in places], label="CPU time", **figures.STYLES[1]
        )
        axis.axhline(0, color="0.4", linewidth=1)
        axis.set(xlabel=label, ylabel="% of one stream, segments of 32")
        figures.ticks(axis, places)
        axis.legend(frameon=False, fontsize=9.5)
    figures.save(figure, path)
