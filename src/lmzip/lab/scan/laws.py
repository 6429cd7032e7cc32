"""From the records of a scan to its laws: points, fits over data, size and compute, forecasts and how they held."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import fit
from .runs import BLOCK, PETAFLOP_DAY, SMALLEST, Setting

LOSSES = ("marginal", "cumulative", "held-out")
AHEAD = (10, 100)  # times the data that forecasts are made for
LEARNT = (8, 4)  # forecasts are checked by fits to the first 1/8 and 1/4 of the data
LEAST_NOISE = 0.005
FIT_FROM = 1 << 15  # bytes: what comes before, the first thousand steps, follows no law yet


class Run:
    """One record of a scan, and the losses it gives."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record
        self.setting = Setting(**record["setting"])
        self.name: str = record["data"]["name"]
        self.length: int = record["data"]["length"]
        self.main = "mix" if self.setting.experts else "model"
        self._bits = {part: np.concatenate(([0.0], np.cumsum(bits))) for part, bits in record["bits"].items()}
        self._probes = {probe["length"]: probe for probe in record["probes"]}

    def cut(self, length: int) -> Run:
        """The run over its first `length` bytes, a whole number of blocks, as it would have been recorded."""
        record = {**self.record, "data": {**self.record["data"], "length": length}}
        record["bits"] = {part: bits[: length // BLOCK] for part, bits in self.record["bits"].items()}
        record["probes"] = [probe for probe in self.record["probes"] if probe["length"] <= length]
        return Run(record)

    @property
    def base(self) -> tuple[str, int]:
        """What runs have in common whose sizes are compared: the data, the tables."""
        return self.name, self.setting.table_bits

    def lengths(self, loss: str) -> list[int]:
        """Where there are points: √2 apart, or at the checkpoints."""
        if loss == "held-out":
            return [length for length, probe in self._probes.items() if loss in probe]
        steps = int(2 * math.log2(self.length / SMALLEST) + 1e-9)
        return [round(self.length / 2 ** (k / 2) / BLOCK) * BLOCK for k in range(steps, -1, -1)]

    def loss(self, loss: str, length: int, part: str | None = None) -> float:
        """Bits per byte at D = length: over its last 1 - 1/√2 (marginal), over all of it, or of the held-out text."""
        if loss == "held-out":
            return float(self._probes[length][loss])
        start = length / math.sqrt(2) if loss == "marginal" else 0.0
        bits = self._bits[part or self.main]
        before = np.interp(start / BLOCK, np.arange(len(bits)), bits)
        return float((bits[length // BLOCK] - before) / (length - start))

    def noise(self, length: int) -> float:
        """Standard error of the marginal loss from the differences between blocks, in bits per byte."""
        blocks = np.diff(self._bits[self.main])[round(length / math.sqrt(2) / BLOCK) : length // BLOCK] / BLOCK
        return float(blocks.std(ddof=1) / math.sqrt(len(blocks))) if len(blocks) > 1 else float("nan")

    def curve(self, loss: str) -> tuple[list[int], list[float]]:
        lengths = self.lengths(loss)
        return lengths, [self.loss(loss, length) for length in lengths]

    def fitted(self, loss: str, start: int) -> tuple[list[int], list[float], list[float] | None]:
        """The curve from `start` on, if that leaves enough to fit, and how sure its points are relative to each other.

        A marginal loss is a mean over few blocks where D is small. LEAST_NOISE of its value is taken as uncertain in
        any case, since no law is true to the last digit.
        """
        points = list(zip(*self.curve(loss)))
        late = [(length, value) for length, value in points if length >= start]
        points = late if len(late) >= fit.FEWEST else points
        noise = [math.hypot(LEAST_NOISE, self.noise(length) / value) for length, value in points]
        x, y = [length for length, _ in points], [value for _, value in points]
        return x, y, noise if loss == "marginal" else None

    def tasks(self) -> dict[int, dict[str, Any]]:
        """Scores of the tasks at each checkpoint."""
        return {length: probe["tasks"] for length, probe in self._probes.items() if "tasks" in probe}

    def rows(self) -> list[dict[str, Any]]:
        """Of the CSV."""
        held_out = set(self.lengths("held-out"))
        setting = self.setting
        return [
            {
                "data": self.name,
                "layers": setting.layers,
                "width": setting.width,
                "window": setting.window,
                "table_bits": setting.table_bits,
                "seed": setting.seed,
                "predictor": self.main,
                "N": setting.parameters,
                "table_parameters": setting.tables,
                "D": length,
                "C": 6 * setting.parameters * length,
                "petaflop_days": 6 * setting.parameters * length / PETAFLOP_DAY,
                "context_share": round(setting.context_share, 5),
                "marginal": round(self.loss("marginal", length), 6),
                "marginal_error": round(self.noise(length), 6),
                "cumulative": round(self.loss("cumulative", length), 6),
                "held_out": round(self.loss("held-out", length), 6) if length in held_out else "",
                "cpu_seconds_of_run": self.record["cpu_seconds"],
            }
            for length in self.lengths("marginal")
        ]


def series(runs: Iterable[Run]) -> dict[tuple[str, int], list[Run]]:
    """Runs that differ in size alone, by data and tables, smallest first: first seed, most usual window, no experts."""
    groups: dict[tuple[str, int], list[Run]] = {}
    for run in runs:
        groups.setdefault(run.base, []).append(run)
    result = {}
    for base, members in groups.items():
        plain = [run for run in members if not run.setting.experts]
        windows = [run.setting.window for run in plain]
        usual = max(dict.fromkeys(windows), key=windows.count, default=0)
        seed = min((run.setting.seed for run in plain), default=0)
        chosen = [run for run in plain if run.setting.window == usual and run.setting.seed == seed]
        if chosen:
            result[base] = sorted(chosen, key=lambda run: (run.setting.parameters, run.setting))
    return result


def best_per_size(runs: list[Run], loss: str, length: int) -> tuple[list[int], list[float]]:
    """N and loss at D = length; of shapes with the same N the better."""
    lowest: dict[int, float] = {}
    for run in runs:
        value = run.loss(loss, length)
        lowest[run.setting.parameters] = min(value, lowest.get(run.setting.parameters, math.inf))
    return list(lowest), list(lowest.values())


def frontier(runs: list[Run], loss: str) -> list[dict[str, Any]]:
    """Compute-efficient points: the falling lower hull of loss against C = 6·N·D over all points of all sizes."""
    points = [
        {"C": 6 * run.setting.parameters * length, "N": run.setting.parameters, "D": length, "loss": value}
        for run in runs
        for length, value in zip(*run.curve(loss))
    ]
    hull = fit.lower_hull([p["C"] for p in points], [p["loss"] for p in points])
    return [points[i] for i in hull]


def check(x: list[int], y: list[float], most: float, seed: int = 0, noise: list[float] | None = None) -> dict[str, Any]:
    """A fit to x ≤ most, and what it forecast for the others beside what was measured."""
    small = [i for i, value in enumerate(x) if value <= most]
    large = [i for i, value in enumerate(x) if value > most]
    sure = None if noise is None else [noise[i] for i in small]
    law = fit.fit([x[i] for i in small], [y[i] for i in small], seed, noise=sure)
    rows = []
    for i in large if law.verdict != "no power law" and law.form else []:
        forecast = law.forecast(x[i])
        rows.append({"x": x[i], "measured": y[i], **vars(forecast), "error": forecast.value / y[i] - 1})
    return {
        "learnt_up_to": max((x[i] for i in small), default=0),
        "fit": {key: value for key, value in law.as_dict().items() if key not in ("x", "y")},
        "points": rows,
        "mean_absolute_error": float(np.mean([abs(row["error"]) for row in rows])) if rows else None,
        "worst_error": max((row["error"] for row in rows), key=abs, default=None),
        "inside_interval": sum(row["low"] <= row["measured"] <= row["high"] for row in rows),
    }


def analyse(runs: list[Run], start: int = FIT_FROM, seed: int = 0) -> dict[str, Any]:
    """All laws of one series, runs that differ in size alone, as JSON; over data they are fitted from `start` on."""
    losses = [loss for loss in LOSSES if all(run.lengths(loss) for run in runs)]
    best = "held-out" if "held-out" in losses else "marginal"
    length = min(run.length for run in runs)
    by_data, by_size, checks = [], [], []
    for loss in losses:
        for run in runs:
            x, y, noise = run.fitted(loss, start)
            law = fit.fit(x, y, seed, noise=noise)
            first = run.curve(loss)
            where = {"loss": loss, "size": f"{run.setting.layers}x{run.setting.width}", "N": run.setting.parameters}
            forecasts = [{"D": times * run.length, **vars(law.forecast(times * run.length))} for times in AHEAD]
            before = {"D": first[0][0], "error": law.value(first[0][0]) / first[1][0] - 1}
            by_data.append({**where, **law.as_dict(), "forecasts": forecasts, "before": before})
            checks += [{"law": "data", **where, **check(x, y, run.length / part, seed, noise)} for part in LEARNT]
        for part in (16, 4, 1):
            here = max((at for at in runs[0].lengths(loss) if at <= length / part), default=None)
            if here is None or here < SMALLEST:
                continue
            sizes, values = best_per_size(runs, loss, here)
            by_size.append({"loss": loss, "D": here, **fit.fit(sizes, values, seed).as_dict()})
            if part == 1 and len(sizes) > fit.FEWEST:
                small = sizes[fit.FEWEST - 1]
                checks.append({"law": "size", "loss": loss, "D": here, **check(sizes, values, small, seed)})
    hull = frontier(runs, best)
    curves = {}
    for run in runs:
        curves[run.setting.parameters] = run.curve(best)
    return {
        "data": runs[0].name,
        "table_bits": runs[0].setting.table_bits,
        "D": length,
        "fitted_from": start,
        "sizes": [run.setting.parameters for run in runs],
        "laws_of_data": by_data,
        "laws_of_size": by_size,
        "compute": {
            "loss": best,
            "frontier": hull,
            "law": fit.fit([p["C"] for p in hull], [p["loss"] for p in hull], seed).as_dict(),
            "best_size": _best_size(curves, seed),
        },
        "forecasts_checked": checks,
    }


def _best_size(curves: dict[int, Any], seed: int) -> dict[str, Any]:
    best = fit.best_sizes(curves, seed=seed)
    return {**vars(best), "exponent": vars(best.exponent) if best.exponent else None, "says": str(best)}


def corners(runs: list[Run]) -> list[dict[str, Any]]:
    """How far seeds lie apart: for every setting run with several, mean and standard deviation of the losses."""
    groups: dict[tuple[str, Setting], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.name, replace(run.setting, seed=0)), []).append(run)
    result = []
    for (name, setting), members in groups.items():
        if len(members) > 1:
            row: dict[str, Any] = {"data": name, "setting": setting.name.replace("-s0", ""), "seeds": len(members)}
            for loss in ("marginal", "cumulative"):
                for length in (SMALLEST * 2, members[0].length):
                    values = [run.loss(loss, length) for run in members]
                    row[f"{loss} at {length}"] = {
                        "mean": float(np.mean(values)),
                        "deviation": float(np.std(values, ddof=1)),
                    }
            result.append(row)
    return result


def beside_experts(runs: list[Run]) -> list[dict[str, Any]]:
    """What the language model adds to the experts, and they to it, as the data grow."""
    rows = []
    for run in runs:
        if not run.setting.experts:
            continue
        for length in run.lengths("marginal")[::2]:
            row: dict[str, Any] = {
                "data": run.name,
                "setting": run.setting.name,
                "N": run.setting.parameters,
                "D": length,
            }
            for loss in ("marginal", "cumulative"):
                row[loss] = {part: run.loss(loss, length, part) for part in ("model", "experts", "mix")}
            rows.append(row)
    return rows


def beside_tables(runs: list[Run]) -> list[dict[str, Any]]:
    """What the hashed n-gram tables add to the trunk: the loss with them and with the smallest ones, by size and D."""
    groups: dict[tuple[str, Setting], list[Run]] = {}
    for run in runs:
        if not run.setting.experts:
            groups.setdefault((run.name, replace(run.setting, table_bits=0)), []).append(run)
    rows = []
    for members in groups.values():
        few, many = (pick(members, key=lambda run: run.setting.table_bits) for pick in (min, max))
        if few is many:
            continue
        for length in many.lengths("marginal")[::2]:
            row: dict[str, Any] = {"data": many.name, "N": many.setting.parameters, "D": length}
            row["table_bits"] = {"few": few.setting.table_bits, "many": many.setting.table_bits}
            for loss in ("marginal", "cumulative"):
                row[loss] = {"few": few.loss(loss, length), "many": many.loss(loss, length)}
            rows.append(row)
    return rows


def contexts(runs: list[Run]) -> list[dict[str, Any]]:
    """Loss against the attention's window, for sizes run with several."""
    groups: dict[tuple[str, Setting], list[Run]] = {}
    for run in runs:
        if not run.setting.experts and run.setting.seed == 0:
            groups.setdefault((run.name, replace(run.setting, window=64)), []).append(run)
    return [
        {
            "data": run.name,
            "setting": run.setting.name,
            "window": run.setting.window,
            "context_share": run.setting.context_share,
            **{loss: run.loss(loss, run.length) for loss in LOSSES if run.lengths(loss)},
        }
        for members in groups.values()
        if len(members) > 1
        for run in sorted(members, key=lambda run: run.setting.window)
    ]


def write_csv(runs: list[Run], path: Path) -> None:
    """A line for each point of each run."""
    rows = [row for run in runs for row in run.rows()]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def plain(value: Any) -> Any:
    """As JSON can hold it, to six digits: what is no number becomes null."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def table(analysis: dict[str, Any]) -> str:
    """The laws of one series as text."""
    lines = [f"{analysis['data']}, D up to {analysis['D']:,} bytes, tables of 2^{analysis['table_bits']} rows", ""]
    lines.append(f"over data, L(D) = E + (D0/D)^α, fitted from D = {analysis['fitted_from']:,} on, if that is enough")
    lines += [f"  {law['loss']:<11}N = {law['N']:>9,}  {_told(law)}" for law in analysis["laws_of_data"]]
    lines.append("over size, L(N) = E + (N0/N)^α")
    lines += [f"  {law['loss']:<11}D = {law['D']:>9,}  {_told(law)}" for law in analysis["laws_of_size"]]
    compute = analysis["compute"]
    lines.append(f"over compute C = 6·N·D, along the efficient frontier of {len(compute['frontier'])} points")
    lines.append(f"  {compute['loss']:<11}{_told(compute['law'])}")
    lines.append(f"best size for a budget: {compute['best_size']['says']}")
    lines.append("forecasts in bits per byte, with 95 % intervals")
    for law in analysis["laws_of_data"]:
        if law["form"] and law["verdict"] != "no power law" and law["N"] == analysis["sizes"][-1]:
            for ahead in law["forecasts"]:
                interval = f"{ahead['value']:.3f} ({ahead['low']:.3f} … {ahead['high']:.3f})"
                lines.append(f"  {law['loss']:<11}N = {law['N']:>9,}  D = {ahead['D']:>13,}  {interval}")
    lines.append("forecasts from the smaller part, beside what was measured")
    for one in analysis["forecasts_checked"]:
        if one["points"]:
            what = f"N = {one['N']:>9,}" if one["law"] == "data" else "over N     "
            lines.append(
                f"  {one['loss']:<11}{what}  up to {one['learnt_up_to']:>9,}: mean error "
                f"{100 * one['mean_absolute_error']:.1f} %, worst {100 * one['worst_error']:+.1f} %; "
                f"{one['inside_interval']} of {len(one['points'])} inside their interval"
            )
    return "\n".join(lines)


def _told(law: dict[str, Any]) -> str:
    if law["verdict"] == "undecided" and not law["form"]:
        return "; ".join(law["notes"])
    text = "" if law["verdict"] == "power law" else law["verdict"] + ": "
    text += "α = {value:.3f} ({low:.3f} … {high:.3f})".format(**law["alpha"])
    if law["form"] == fit.FLOOR:
        text += ", E = {value:.3f} ({low:.3f} … {high:.3f})".format(**law["E"])
        text += "; without floor α = {value:.3f} ({low:.3f} … {high:.3f})".format(**law["alpha_without_floor"])
    return "; ".join([text, *law["notes"]])
