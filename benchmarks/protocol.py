"""Experiments on the protocol itself: python -m benchmarks.protocol NAME FILE

    size       a larger network is a smaller message: the code does not grow, the transcript falls
    replay     0, 1, 2 and 4 further training steps a segment on the decoded past
    epochs     several passes: what the first one costs, which counts, and what the last one would claim
    self-prior a prior pretrained on the file itself: charged, it gains nothing
    extremes   predictors that know nothing, or all of it beforehand: what the coder adds
    streams    streams coded in lockstep, and segments between two training steps

Raw figures go to benchmarks/results/protocol-NAME.json, the figure to docs/protocol-NAME.svg, a table to
standard output. --draw draws again what is there.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lmzip.predictor import completed
from lmzip.session import Session

from . import figures
from .run import about

FRAME = 1 << 20


def headers(experts: bool = True) -> dict[str, Any]:
    """The settings of the presets: the pure language model, and mixed with the experts."""
    from lmzip import presets

    found = {"language model": presets.header("default", experts="none")}
    return found | ({"default": presets.header("default")} if experts else {})


def archive(header: Any, data: bytes, session: Session | None = None) -> dict:
    """The ledger of a real archive of the data, and the CPU seconds it took."""
    from lmzip import pack
    from lmzip.progress import Watch
    from lmzip.sender import Sender

    session = session or Session()
    warm = Sender(io.BytesIO(), header, b"", Watch(), session=session)
    warm.run(io.BytesIO(data[:64]))  # loads the kernels, which is not counted
    begin, sink = time.process_time(), io.BytesIO()
    ledger = Sender(sink, header, pack.code(header), Watch(), session=session).run(io.BytesIO(data)).as_dict()
    if ledger["archive"] != len(sink.getvalue()):
        raise AssertionError("the ledger's archive row is not the archive's size")
    return {**ledger, "cpu": time.process_time() - begin}


# One function an experiment: rows of figures from data


def size(
    data: bytes, shapes: Iterable[tuple[int, int]] = ((1, 16), (1, 32), (1, 64), (1, 128), (2, 128), (1, 256))
) -> list[dict]:
    """Archives by networks of (layers, width), each with its code: everything the receiver needs."""
    from lmzip.codec.settings import ModelSettings

    rows = []
    for layers, width in shapes:
        usual = ModelSettings()
        model = replace(usual, layers=layers, width=width, heads=max(1, width // 64), hidden=width)
        weights = 6 * layers * width**2 + 2 * 256 * width
        row = {"layers": layers, "width": width, "weights": weights, "tables": 5 * width << model.table_bits}
        rows.append(row | archive(replace(headers(False)["language model"], model=model), data))
        look(row | {key: rows[-1][key] for key in ("transcript", "code", "archive", "cpu")})
    return rows


def replay(data: bytes, steps: Iterable[int] = (0, 1, 2, 4), base: dict[str, Any] | None = None) -> list[dict]:
    """Archives by the number of training steps on the past that follow each segment."""
    rows = []
    for name, header in (base or headers()).items():
        for count in steps:
            rows.append({"predictor": name, "replay": count} | archive(replace(header, replay=count), data))
            look({key: rows[-1][key] for key in ("predictor", "replay", "transcript", "cpu")})
    return rows


def epochs(data: bytes, passes: int = 3, base: dict[str, Any] | None = None) -> list[dict]:
    """Code lengths of the same data, again and again by one predictor that goes on learning."""
    from lmzip.codec.message import NLL_BITS

    rows = []
    for name, header in (base or headers()).items():
        state, bits, begin = Session().predictor(header), [], time.process_time()
        for _ in range(passes):
            bits.append(completed(state.encode(np.frombuffer(data, np.uint8))).nll / (1 << NLL_BITS))
        rows.append({"predictor": name, "original": len(data), "bits": bits, "cpu": time.process_time() - begin})
        again = archive(replace(header, replay=1), data)
        rows[-1]["replay_bits"] = again["nll_bits"]
        look(rows[-1])
    return rows


def self_prior(data: bytes, base: dict[str, Any] | None = None) -> list[dict]:
    """Archives without a prior, and with one that has learnt the very file."""
    from lmzip.prior import store
    from lmzip.prior.train import train
    from lmzip.progress import Watch
    from lmzip.sender import Sender

    rows = []
    for name, header in (base or headers()).items():
        with tempfile.TemporaryDirectory(prefix="lmzip-protocol-") as folder:
            path = Path(folder) / "self.prior"
            _, made = train(
                Sender(io.BytesIO(), header, b"", Watch(), session=Session()),
                io.BytesIO(data),
                False,
                "none",
                "the file itself",
            )
            store.write(path, *made)
            prior = store.read(path)
            conditional = archive(prior.archive_header(header.frame_size), data, Session(prior_path=folder))
        rows.append({"predictor": name, "without": archive(header, data), "with": conditional})
        look({"predictor": name} | {how: rows[-1][how]["description_length_rebuilt"] for how in ("without", "with")})
    return rows


def extremes(data: bytes) -> list[dict]:
    """Transcripts by oracles of growing trust, read back; the first knows nothing, the last is told another file."""
    from lmzip.codec.lockstep import Lockstep
    from lmzip.codec.message import Header
    from lmzip.lab.architectures import Bench, code, decode
    from lmzip.lab.oracle import WHOLE, Oracle

    header, rows = Header(segment=256, frame_size=FRAME), []
    wrong = bytes(255 - byte for byte in data)
    trusts = [
        WHOLE >> 8,
        WHOLE >> 6,
        WHOLE >> 4,
        WHOLE >> 2,
        WHOLE >> 1,
        *(WHOLE - (WHOLE >> k) for k in (3, 6, 9, 12, 15)),
        WHOLE,
    ]
    cases = (
        [("uniform", b"", 0)] + [("oracle", data, trust) for trust in trusts] + [("told another file", wrong, WHOLE)]
    )
    for name, told, trust in cases:
        sender, receiver = (Bench(header, Oracle(told, trust)) if told else Lockstep(header) for _ in range(2))
        transcript, nll = code(sender, data)
        if decode(receiver, transcript, len(data)) != data:
            raise AssertionError(f"{name}: the transcript was not read back")
        p = (WHOLE - 255 * Oracle(told, trust).others) / WHOLE if told else 1 / 256
        p = 1 / WHOLE if told is wrong else p
        ideal = -math.log2(p) * len(data)
        row = {"predictor": name, "probability": p, "ideal_bits": ideal, "nll_bits": nll / (1 << 20)}
        rows.append(row | {"transcript": len(transcript), "told": len(told), "original": len(data)})
        look(rows[-1])
    return rows


def streams(
    data: bytes,
    counts: Iterable[int] = (1, 2, 4, 8, 16, 32),
    lengths: Iterable[int] = (8, 16, 32, 64, 128, 256),
    base: Any = None,
) -> list[dict]:
    """Archives by the number of streams, at segments of 32; then by the segment's length, with one stream."""
    header, rows = base or headers(False)["language model"], []
    for count, length in [*((count, 32) for count in counts), *((1, length) for length in lengths)]:
        together = count * length
        one = replace(header, streams=count, segment=length, frame_size=FRAME // together * together)
        rows.append({"streams": count, "segment": length} | archive(one, data))
        look({key: rows[-1][key] for key in ("streams", "segment", "transcript", "cpu")})
    return rows


EXPERIMENTS = {
    "size": size,
    "replay": replay,
    "epochs": epochs,
    "self-prior": self_prior,
    "extremes": extremes,
    "streams": streams,
}


def look(row: dict) -> None:
    print(row, file=sys.stderr, flush=True)


# One table and one figure an experiment


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
    found: dict[str, list[dict]] = {}
    for row in rows:
        found.setdefault(row["predictor"], []).append(row)
    return found


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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.protocol", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=EXPERIMENTS, metavar="NAME")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--bytes", type=int, default=FRAME, help="of the file's beginning (default 1048576)")
    figures.add_options(parser)
    arguments = parser.parse_args(argv)
    path = arguments.results / f"protocol-{arguments.name}.json"
    if arguments.draw:
        result = json.loads(path.read_text())
    else:
        data = arguments.file.read_bytes()[: arguments.bytes]
        told = about(sys.argv[1:] if argv is None else argv, "benchmarks.protocol")
        told["file"] = {"name": arguments.file.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        result = told | {"rows": EXPERIMENTS[arguments.name](data)}  # type: ignore[operator]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    print(tabulate(arguments.name, result["rows"]))
    draw(arguments.name, result["rows"], arguments.folder / f"protocol-{arguments.name}.svg")


if __name__ == "__main__":
    main()
