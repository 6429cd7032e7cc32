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

from lmzip.codec.message import NLL_BITS
from lmzip.predictor import completed
from lmzip.presets import FRAME_SIZE
from lmzip.session import Session

from . import figures
from .protocol_figures import draw, tabulate
from .run import about

FRAME = FRAME_SIZE


def headers(experts: bool = True) -> dict[str, Any]:
    """The settings of the presets: the pure language model, and mixed with the experts."""
    from lmzip import presets

    alone = {"language model": presets.header("default", experts="none")}
    return alone | ({"default": presets.header("default")} if experts else {})


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

    from .predictors.architectures import Bench, code, decode
    from .predictors.oracle import WHOLE, Oracle

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
        row = {"predictor": name, "probability": p, "ideal_bits": ideal, "nll_bits": nll / (1 << NLL_BITS)}
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
