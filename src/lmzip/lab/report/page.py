"""The page of a report: its figures as one HTML file that needs nothing else, no network and no script.

Names and bytes of the files may be anything; whatever comes from them is escaped by the template.
"""

from __future__ import annotations

import base64
import itertools
from importlib.resources import files as resources
from typing import Any

import jinja2
from markupsafe import Markup

from ...text import printable
from . import plots

CONTROLS = {b"\n": "⏎", b"\r": "←", b"\t": "⇥", b" ": "␣"}
LEVELS = (0.25, 0.5, 1, 2, 4, 6, 8, 12)  # bits, where the heat map's colours change


def render(report: dict[str, Any]) -> str:
    """HTML of what `report.measure` gave for each file, `report["files"]`, and of where it comes from."""
    report = report | {"files": [one | {"name": printable(one["name"])} for one in report["files"]]}
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["bpb"] = lambda size, of: f"{8 * size / of:.4f}" if of else "–"
    environment.filters["duration"] = lambda seconds: f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    environment.filters["n"] = lambda value: "unknown" if value is None else f"{value:,.0f}"
    template = environment.from_string(resources(__package__).joinpath("page.html").read_text("utf-8"))
    files = [_file(one, f"f{number}") for number, one in enumerate(report["files"])]
    whole = None
    if len(files) > 1:
        drawn = [one for one in report["files"] if one["bytes"]]
        whole = Markup(plots.svg(plots.together(drawn), "all", "learning curves of all files"))
    names = list(dict.fromkeys(row["name"] for one in report["files"] for row in plots.comparison(one)))
    return template.render(report=report, files=files, whole=whole, names=names, levels=_legend())


def _file(figures: dict[str, Any], name: str) -> dict[str, Any]:
    """What the template shows of a file: its figures, and plots as SVG by name."""
    drawn: dict[str, Markup] = {}

    def add(key: str, draw: Any, label: str, size: tuple[float, float] = plots.SIZE) -> None:
        drawn[key] = Markup(plots.svg(draw, f"{name}-{key}", label, size))

    rows = plots.comparison(figures)
    add("ledger", plots.ledger(figures), "what the description length is made of", (5.2, 2.0))
    if figures["bytes"]:
        add("curve", plots.curve(figures), "bits per byte against position")
        add("cumulative", plots.cumulative(figures), "bytes so far against position")
    if figures["bytes"] and len(figures["parts"]) > 1:
        add("shares", plots.shares(figures), "bits per byte of each part alone and of the mix", (5.2, 2.0))
    if figures["bytes"]:
        add("sizes", plots.sizes(figures), "bits per byte of several compressors", (5.2, 0.8 + 0.36 * len(rows)))
    if "contexts" in figures:
        tall = (6.2, plots.context_height(len(figures["contexts"]["contexts"])))
        add("worth", plots.context_worth(figures), "what leaving each context out costs", tall)
        add("alone", plots.context_alone(figures), "bits per byte with one context alone", tall)
    for key, event in (("decisions", "that the bit is 1"), ("likeliest", "of the likeliest byte")):
        if key in figures["calibration"]:
            add(
                key,
                plots.reliability(figures["calibration"][key], event),
                "predicted probability against share observed",
            )
    if "model" in figures["context"]:
        add("window", plots.window(figures), "the language model's loss by bytes of context")
    for what in ("line", "word"):
        if what in figures["context"] and figures["context"][what]["place"]:
            add(what, plots.place(figures, what), f"bits per byte by place in the {what}")
    excerpt = figures["excerpt"]
    cells, hexadecimal = heat(base64.b64decode(excerpt["base64"]), excerpt["bits"])
    costly = [
        row | {key: readable(base64.b64decode(row[key])) for key in ("before", "byte", "after")}
        for row in figures["costly"]
    ]
    return {
        "figures": figures, "plots": drawn, "rows": rows, "cells": cells, "hexadecimal": hexadecimal, "costly": costly,
    }  # fmt: skip


def level(bits: float) -> int:
    """Which colour of the heat map."""
    return sum(bits >= edge for edge in LEVELS)


def _legend() -> list[tuple[int, str]]:
    names = [f"below {LEVELS[0]:g}", *(f"{a:g} to {b:g}" for a, b in itertools.pairwise(LEVELS))]
    return list(enumerate([*names, f"{LEVELS[-1]:g} or more"]))


def heat(data: bytes, bits: list[float]) -> tuple[list[dict[str, Any]], bool]:
    """Cells of the heat map: a sign each, or a byte where they are no text, with its bits. And is it hexadecimal?"""
    signs = _signs(data)
    odd = sum(len(part) for part, shown in signs if shown.startswith("\\"))
    if hexadecimal := 10 * odd > len(data):
        signs = [(data[i : i + 1], f"{data[i]:02x}") for i in range(len(data))]
    cells, at = [], 0
    for part, shown in signs:
        cost = sum(bits[at : at + len(part)])
        cells.append({"sign": shown, "bits": cost, "level": level(cost), "line": part == b"\n" and not hexadecimal})
        at += len(part)
    return cells, hexadecimal


def _signs(data: bytes) -> list[tuple[bytes, str]]:
    """Text sign by sign, with the bytes of each; what can't be shown as it is stands escaped."""
    signs, at = [], 0
    while at < len(data):
        size = next((n for n in range(4, 1, -1) if _decoded(data[at : at + n])), 1)
        part = data[at : at + size]
        sign = _decoded(part)
        escaped = "".join(f"\\x{byte:02x}" for byte in part)
        signs.append((part, CONTROLS.get(part) or (sign if sign.isprintable() and sign else escaped)))
        at += size
    return signs


def _decoded(part: bytes) -> str:
    """The one character that these bytes are, or nothing."""
    try:
        text = part.decode()
    except UnicodeDecodeError:
        return ""
    return text if len(text) == 1 else ""


def readable(data: bytes) -> str:
    """Bytes as text on one line."""
    return "".join(shown for _, shown in _signs(data))
