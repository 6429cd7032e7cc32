"""What a training step costs by the model's width, depth and context: python -m benchmarks.throughput [--name NAME]

Trains on the sample text and prints, for every setting, µs a byte of prediction and training together; the throughput
of the integer products inside those steps (operations over the time spent in them, calls included); that of the steps
as a whole; and the peak of `_int_mm`, measured before each run. One thread, medians. Operations are two for each
multiplication and its addition, in the matrices alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from lmzip.codec.message import NLL_BITS
from lmzip.lab.provenance import about

from .run import RESULTS, ROOT

WIDTHS, DEPTHS, CONTEXTS, SEGMENTS = (64, 128, 256, 512), (1, 2, 4, 8), (16, 64, 256, 1024), (16, 32, 64, 128, 256)
BASE = {"width": 128, "layers": 1, "window": 64, "segment": 32}
BYTES = 24_000


def settings() -> list[dict]:
    """The base and what differs from it in one number; heads of 64, hidden = width, as in the default preset."""
    axes = {"width": WIDTHS, "layers": DEPTHS, "window": CONTEXTS, "segment": SEGMENTS}
    found = [BASE | {axis: value} for axis, values in axes.items() for value in values]
    found += [BASE | {"width": width, "segment": 128} for width in WIDTHS]
    return [one for number, one in enumerate(found) if one not in found[:number]]


def peak() -> float:
    """GOP/s of `_int_mm` at its best among large shapes."""
    import torch

    rates = []
    for m, k, n in ((1024, 256, 1024), (1024, 1024, 1024), (2048, 2048, 2048)):
        a, b = (torch.ones(shape, dtype=torch.int8) for shape in ((m, k), (k, n)))
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            torch._int_mm(a, b)
            times.append(time.perf_counter() - begin)
        rates.append(2 * m * k * n / min(times) / 1e9)
    return max(rates)


def measure(one: dict, data: np.ndarray) -> dict:
    """Train on the data; figures of the second half."""
    from lmzip.codec.lockstep import Lockstep
    from lmzip.codec.message import Header
    from lmzip.codec.settings import ModelSettings

    width = one["width"]
    model = ModelSettings(one["layers"], width, max(1, width // 64), width, one["window"], 14)
    state = Lockstep(Header(segment=one["segment"], frame_size=1 << 16, model=model), products="int8")
    assert state.model is not None
    products, inside = state.model._products, [0.0, 0]
    multiply = products.multiply

    def timed(a, b, out):
        begin = time.perf_counter()
        multiply(a, b, out)
        inside[0] += time.perf_counter() - begin
        inside[1] += 2 * a.shape[0] * a.shape[1] * b.shape[1]

    products.multiply = timed
    encoding, steps, rates = state.encode(data), [], []
    while not encoding.done:
        inside[:] = 0.0, 0
        begin = time.perf_counter()
        encoding.advance()
        steps.append(time.perf_counter() - begin)
        rates.append((inside[1] / 1e9 / inside[0], inside[1]))
    half = len(steps) // 2
    step = median(steps[half:-1])
    return {
        "us_per_byte": 1e6 * step / one["segment"],
        "gops_in_products": median(rate for rate, _ in rates[half:-1]),
        "gops_of_step": rates[0][1] / step / 1e9,
        "nll_bits": encoding.nll / (1 << NLL_BITS),
    }


def run(repeat: int) -> list[dict]:
    import torch

    torch.set_num_threads(1)
    data = np.frombuffer((ROOT / "samples" / "tom-sawyer.txt").read_bytes()[:BYTES], np.uint8)
    measure(BASE, data[:2000])  # compile
    rows = []
    for one in settings():
        if one["layers"] != 1:
            measure(one, data[:2000])
        runs, peaks = [], []
        for _ in range(repeat):
            peaks.append(peak())
            runs.append(measure(one, data))
        row = one | {key: median(result[key] for result in runs) for key in runs[0]} | {"peak": median(peaks)}
        rows.append(row)
        print(line(row), flush=True)
    return rows


def line(row: dict) -> str:
    shares = (100 * row[key] / row["peak"] for key in ("gops_in_products", "gops_of_step"))
    cells = [f"{row[key]}" for key in BASE] + [f"{row['us_per_byte']:.1f}"]
    for key, share in zip(("gops_in_products", "gops_of_step"), shares, strict=True):
        cells.append(f"{row[key]:.0f} ({share:.0f} %)")
    return "| " + " | ".join([*cells, f"{row['peak']:.0f}"]) + " |"


def plot(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 4, figsize=(12, 5), layout="constrained", sharey="row", sharex="col")
    for (cost, share), name in zip(axes.T, BASE, strict=True):
        chosen = sorted((row[name], row) for row in rows if all(row[k] == v for k, v in BASE.items() if k != name))
        places = [place for place, _ in chosen]
        cost.plot(places, [row["us_per_byte"] for _, row in chosen], "o-", color="black")
        cost.set(xscale="log", yscale="log", yticks=(5, 10, 20, 50, 100), yticklabels=(5, 10, 20, 50, 100))
        for key, style, label in (
            ("gops_in_products", "s-", "products in steps"),
            ("gops_of_step", "v--", "whole steps"),
        ):
            share.plot(places, [100 * row[key] / row["peak"] for _, row in chosen], style, label=label)
        share.set(xlabel=name, xticks=places, xticklabels=places, ylim=(0, 100))
        for axis in (cost, share):
            axis.minorticks_off()
            axis.grid(color="0.9")
    axes[0, 0].set_ylabel("µs a byte")
    axes[1, 0].set_ylabel("int8 throughput, % of peak")
    axes[1, 0].legend(frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs of each setting (default 3)")
    parser.add_argument("--name", default="throughput", help="of the result files")
    arguments = parser.parse_args()
    told = about(["python", "-m", "benchmarks.throughput", *sys.argv[1:]])
    head = "| width | layers | window | segment | µs a byte | GOP/s in products | GOP/s of the step | peak |"
    print(head + "\n|" + " ---: |" * 8, flush=True)
    rows = run(arguments.repeat)
    stem = RESULTS / arguments.name
    stem.with_suffix(".json").write_text(json.dumps(told | {"rows": rows}, indent=1, ensure_ascii=False) + "\n")
    table = "\n".join([f"`{told['command']}`", "", head, "|" + " ---: |" * 8, *map(line, rows)]) + "\n"
    stem.with_suffix(".md").write_text(table)
    plot(rows, stem.with_suffix(".png"))


if __name__ == "__main__":
    main()
