"""Does a GPU compute the CPU's bits, and how fast? python -m benchmarks.gpu [--name NAME], or benchmarks/gpu.sh

Checks the numeric contract on the device: products of integers and float32's operations against numpy, whole archives
made on either side and read on the other. Then times it. Writes results/gpu-NAME.json and .md. Where there is no GPU
its code runs on the processor, with all its padding and choices and for less data, which says nothing about time.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lmzip import presets
from lmzip.accel import cuda, panels
from lmzip.lab.provenance import about
from lmzip.limits import Limits
from lmzip.prior import store
from lmzip.prior.train import train
from lmzip.progress import Watch
from lmzip.receiver import Receiver
from lmzip.sender import Sender
from lmzip.session import Session

from .run import RESULTS, ROOT

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SAMPLE = ROOT / "samples" / "tom-sawyer.txt"
SIZE, WINDOW, STEPS, WINDOWS = ("124M", 512, 32, 16) if DEVICE == "cuda" else ("2M", 128, 4, 4)  # of a large model
CORPUS_BYTES, DEFAULT_BYTES, PRETRAINED_BYTES = (16000, 16000, 6000) if DEVICE == "cuda" else (3000, 1000, 150)
SHAPES = ((1, 1, 1), (1, 7, 9), (16, 8, 8), (17, 128, 384), (32, 513, 256), (100, 33, 1), (128, 2048, 384))
WIDE_SHAPES = ((1, 2048, 40), (5, 576, 100), (7, 31, 17), (129, 2049, 31), (130, 5000, 33))
EDGES = np.array(
    [0.0, -0.0, 1.0, -1.0, 3.0, 1 / 3, 1e-20, -1e-20, 2.0**24 + 2, 2.0**23 + 1, 0.1, 8191.0, 1e30, -1e30,
     np.finfo(np.float32).max, np.finfo(np.float32).tiny, 1 + 2**-23, 1 - 2**-24, np.inf, -np.inf, np.nan],
    np.float32,
)  # fmt: skip
SMALL = np.array([1e-40, -1e-40, 2.0**-149, 2.0**-127, 1.1e-38], np.float32)  # denormals; the contract needs none
Row = dict[str, Any]


# The numeric contract


def products() -> Iterator[Row]:
    """Products of integers, random ones and the largest, in shapes that must be filled up."""
    random = np.random.default_rng(0)
    for name, limit, pick in (
        ("random", (127, 64), lambda limit, shape: random.integers(-limit, limit + 1, shape)),
        ("largest", (127, 127), lambda limit, shape: limit * random.choice([-1, 1], shape, p=[0.2, 0.8])),
        ("all of one sign", (127, 127), lambda limit, shape: np.full(shape, limit)),
    ):
        wrong = 0
        for m, k, n in SHAPES:
            a, b = pick(limit[0], (m, k)), pick(limit[1], (k, n))
            out = torch.zeros(m, n, dtype=torch.int32)
            cuda.Multiply(DEVICE)(torch.from_numpy(a.astype(np.int8)), torch.from_numpy(b.astype(np.int8)), out)
            wrong += int((out.numpy() != a @ b).sum())
        yield {"check": f"int8 products, {name}", "cases": sum(m * n for m, _, n in SHAPES), "wrong": wrong}


def taken() -> Iterator[Row]:
    """Does lmzip take the device, by its own tests? Else what follows would compare the CPU with itself."""
    refused = [Session(device="cuda").products() != cuda.NAME, panels.products_of("cuda") is None]
    yield {"check": "the device is taken by lmzip's own tests", "cases": len(refused), "wrong": sum(refused)}


def scaled_products() -> Iterator[Row]:
    """Activations of 14 bits by weights of one limb and two, scaled: against the CPU's kernel, bit for bit."""
    from lmzip.pretrained import product

    random, device = np.random.default_rng(1), panels.DeviceProducts(DEVICE)
    for limbs in (1, 2):
        for name in ("random", "largest"):
            wrong = 0
            for rows, inputs, outputs in WIDE_SHAPES:
                q = random.integers(-8191, 8192, (rows, inputs + inputs % 2)).astype(np.int16)
                weights = random.integers(-127, 128, (limbs, outputs, inputs)).astype(np.int8)
                if name == "largest":
                    q, weights = np.sign(q) * np.int16(8191), np.sign(weights) * np.int8(127)
                whole = np.stack([product.panels(limb) for limb in weights])
                scales = [random.standard_normal(n, np.float32) for n in (rows, outputs, outputs)]
                sums, totals = (np.zeros((product.ROWS, product.LANES), kind) for kind in (np.int32, np.int64))
                results = np.zeros((2, rows, outputs), np.float32)
                for multiply, y in zip((device, product.multiply), results):
                    multiply(q, scales[0], whole, *scales[1:], sums, totals, y)
                wrong += different(*results)
            cases = sum(rows * outputs for rows, _, outputs in WIDE_SHAPES)
            yield {"check": f"scaled products, {limbs} limb{'s' * (limbs > 1)}, {name}", "cases": cases, "wrong": wrong}


def floats() -> Iterator[Row]:
    """float32 operations of torch's elementwise kernels against numpy's; each rounds once.

    Not needed are denormals, and roots on a processor: torch takes MKL's, a last bit off, lmzip doesn't ask torch.
    """
    random = np.random.default_rng(2)
    bits = random.integers(0, 1 << 32, (2, 1 << 20), np.uint64).astype(np.uint32).view(np.float32)
    near = random.standard_normal((2, 1 << 20), np.float32)
    pairs = np.stack(np.meshgrid(EDGES, EDGES)).reshape(2, -1)
    small = np.stack(np.meshgrid(SMALL, np.concatenate((EDGES, SMALL)))).reshape(2, -1)
    operations: dict[str, Callable[[Any, Any, Any], Any]] = {
        "+": lambda a, b, _: a + b, "-": lambda a, b, _: a - b, "×": lambda a, b, _: a * b,
        "÷": lambda a, b, _: a / b, "√": lambda a, b, root: root(abs(a)), "×, then +": lambda a, b, _: a * b + a,
    }  # fmt: skip
    with np.errstate(all="ignore"):
        for name, operation in operations.items():
            for kind, values in (("", np.concatenate((bits, near, pairs), 1)), (", denormals", small)):
                ours = operation(*values, np.sqrt)
                theirs = operation(*(torch.from_numpy(v).to(DEVICE) for v in values), torch.sqrt).cpu().numpy()
                if not kind:  # those of the random bits that are denormal, or become so, are not counted here
                    normal = ~(is_denormal(values).any(0) | is_denormal(ours) | is_denormal(values[0] * values[1]))
                    ours, theirs = ours[normal], theirs[normal]
                wrong, needed = different(ours, theirs), not kind and (name != "√" or DEVICE == "cuda")
                yield {"check": f"float32 {name}{kind}", "cases": len(ours), "wrong": wrong, "needed": needed}
    for kind in (np.int32, np.int64):
        whole = random.integers(np.iinfo(kind).min, np.iinfo(kind).max, 1 << 20, kind)
        whole[: 1 << 19] >>= random.integers(0, np.iinfo(kind).bits, 1 << 19, kind)
        theirs = torch.from_numpy(whole).to(DEVICE).to(torch.float32).cpu().numpy()
        wrong = different(whole.astype(np.float32), theirs)
        yield {"check": f"{kind.__name__} to float32", "cases": len(whole), "wrong": wrong}


def is_denormal(x: np.ndarray) -> np.ndarray:
    return (x != 0) & (abs(x) < np.finfo(np.float32).tiny)


def different(a: np.ndarray, b: np.ndarray) -> int:
    """How many float32 numbers have other bits; all NaN are one."""
    return int(((a.view(np.uint32) != b.view(np.uint32)) & ~(np.isnan(a) & np.isnan(b))).sum())


# Whole archives


def archives(folder: Path) -> Iterator[Row]:
    """Made on either side, compared, and read on the other; seconds are of the second time, all compiled."""
    text = SAMPLE.read_bytes()
    prior, pretrained = small_prior(folder / "text.prior", text[:CORPUS_BYTES]), small_model(folder / "model")
    fast, rest = presets.EXPERTS["fast"], text[CORPUS_BYTES:]
    for name, knowledge, header, length in (
        ("preset default", None, presets.header("default"), DEFAULT_BYTES),
        ("a prior of lmzip's own", prior, prior.archive_header(presets.FRAME_SIZE), DEFAULT_BYTES),
        ("a pretrained model", pretrained, pretrained.archive_header(fast, presets.FRAME_SIZE), PRETRAINED_BYTES),
        ("the same, 4 streams", pretrained, pretrained.archive_header(fast, 1 << 20, streams=4), PRETRAINED_BYTES),
    ):
        sessions, data = [Session(device=device) for device in ("cpu", "cuda")], rest[:length]
        for session in sessions:
            if knowledge is not None:
                session.remember(knowledge)
            decoded(session, encoded(session, header, data[:50] * 4)[0])
        (ours, cpu), (theirs, device) = (encoded(session, header, data) for session in sessions)
        (from_theirs, cpu_back), (from_ours, device_back) = (
            decoded(session, archive) for session, archive in zip(sessions, (theirs, ours))
        )
        yield {
            "archive": name, "bytes": length, "size": len(ours), "equal": ours == theirs,
            "read on the other": from_theirs == data and from_ours == data,
            "seconds": {"encode": [cpu, device], "decode": [cpu_back, device_back]},
        }  # fmt: skip


def small_prior(path: Path, corpus: bytes) -> Any:
    """A prior of the default preset."""
    sender = Sender(io.BytesIO(), store.settings(presets.header("default")), b"", Watch(), session=Session())
    store.write(path, *train(sender, io.BytesIO(corpus), False, "", "")[1])
    return store.read(path)


def small_model(folder: Path) -> Any:
    """A GPT-2 with random weights, its tokenizer trained on the sample."""
    from lmzip.pretrained import model

    from .pretrained import random, train_tokenizer

    train_tokenizer(SAMPLE.read_text("utf-8"), 2048, folder)
    random(argparse.Namespace(size="2M", output=folder))
    return model.open_model(folder)


def encoded(session: Session, header: Any, data: bytes) -> tuple[bytes, float]:
    """An archive, and the seconds it took."""
    sink, begin = io.BytesIO(), time.perf_counter()
    ledger = Sender(sink, header, b"", Watch(), session=session).run(io.BytesIO(data))
    assert ledger.nll, "it was stored, so nothing was computed"
    return sink.getvalue(), time.perf_counter() - begin


def decoded(session: Session, archive: bytes) -> tuple[bytes, float]:
    """What an archive holds, and the seconds it took."""
    sink, begin = io.BytesIO(), time.perf_counter()
    Receiver(io.BytesIO(archive), sink, Limits(), Watch(), session=session).run()
    return sink.getvalue(), time.perf_counter() - begin


# A large model


class Embedding:
    """Stands where a stored tensor stands: rows of it, float32."""

    def __init__(self, table: np.ndarray) -> None:
        self.floats = table.__getitem__


def large_network(multiply: Any) -> Any:
    """A network of the size of a GPT-2, of random integers: no weights are downloaded, none are made of floats."""
    from lmzip.pretrained import families, inference, product
    from lmzip.pretrained.activations import GELU_NEW

    from .pretrained import SIZES

    width, layers, heads, vocabulary, positions = SIZES[SIZE]
    architecture = families.Architecture(
        "gpt2", layers, width, heads, heads, width // heads, 4 * width, vocabulary, positions, GELU_NEW, 1e-5
    )
    random, none = np.random.default_rng(3), np.zeros((positions, 0), np.float32)
    shapes = {"qkv": (3 * width, width), "out": (width, width), "up": (4 * width, width), "down": (width, 4 * width)}
    matrices = {f"{layer}.{name}": shape for layer in range(layers) for name, shape in shapes.items()}
    numbers = {"cosines": none, "sines": none, "positions": random.standard_normal((positions, width), np.float32)}
    for name, (outputs, inputs) in (matrices | {"head": (vocabulary, width)}).items():
        shape = 1, -(-outputs // product.LANES), inputs // 2, product.LANES, 2
        numbers[f"{name}.weight"] = random.integers(-127, 128, shape, np.int8)
        numbers[f"{name}.scale"] = np.full(outputs, 1 / (74 * inputs**0.5), np.float32)  # 74: deviation of an integer
        numbers[f"{name}.bias"] = np.zeros(outputs, np.float32)
    for name in ("final", *(f"{layer}.{norm}" for layer in range(layers) for norm in ("before", "before_second"))):
        numbers[f"{name}.gain"], numbers[f"{name}.bias"] = np.ones(width, np.float32), np.zeros(width, np.float32)
    for array in numbers.values():
        array.flags.writeable = False
    embedding: Any = Embedding(random.standard_normal((vocabulary, width), np.float32))
    return inference.Network(architecture, numbers, embedding, 8, products=multiply)


def large_model() -> Iterator[Row]:
    """Tokens per second: a window at once, steps, steps of several windows in one batch; the same bits on both."""
    from lmzip.pretrained import product

    network = large_network(product.multiply)
    tokens = np.random.default_rng(4).integers(0, network.architecture.vocabulary, WINDOW + STEPS).astype(np.int32)

    def window() -> list[np.ndarray]:
        return network.logits([(network.window(), tokens[:WINDOW], 0)])

    def steps(windows: list[Any]) -> list[np.ndarray]:
        for n in range(WINDOW, WINDOW + STEPS):
            logits = network.logits([(one, tokens[: n + 1], n) for one in windows])
        return logits

    def read(count: int) -> list[Any]:
        windows = [network.window() for _ in range(count)]
        for one in windows:
            network.logits([(one, tokens[:WINDOW], WINDOW - 1)])
        return windows

    for name, count, run, given in (
        (f"a window of {WINDOW} tokens", WINDOW, window, lambda: ()),
        (f"{STEPS} steps", STEPS, steps, lambda: (read(1),)),
        (f"{STEPS} steps of {WINDOWS} windows", STEPS * WINDOWS, steps, lambda: (read(WINDOWS),)),
    ):
        rates, results = [], []
        for network._products in (product.multiply, ON_DEVICE):
            best = float("inf")
            for _ in range(2):
                arguments = given()
                begin = time.perf_counter()
                logits = run(*arguments)
                best = min(best, time.perf_counter() - begin)
            rates.append(count / best)
            results.append(np.concatenate(logits))
        yield {"work": name, "equal": np.array_equal(*results), "tokens per second": rates}


ON_DEVICE = panels.DeviceProducts(DEVICE)


# The report


def table(*lines: list[str]) -> str:
    """Markdown: names of columns, then rows."""
    head, *rows = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, f"|{' --- |' * len(lines[0])}", *rows])


def markdown(result: dict[str, Any]) -> str:
    """The figures for people."""
    device, cpu, yes = result["device"], result["machine"]["cpu"], {True: "yes", False: "NO"}
    what = f"On {device}, beside {cpu} with one thread." if result["gpu"] else (
        f"There was no GPU: its code ran on the processor ({cpu}, one thread), with all its padding and choices. "
        "What is exact here may still differ on a GPU, and the times of the device say nothing about one."
    )  # fmt: skip
    parts = [f"# lmzip on {device}", what, f"{result['command']}, commit {result['commit'][:12]}, {result['date']}"]
    rows = [
        [one["check"] + " (not needed)" * (not one.get("needed", True)), f"{one['cases']:,}", f"{one['wrong']:,}"]
        for one in result["checks"]
    ]
    parts.append(table(["against numpy", "results", "that differ"], *rows))
    if result["archives"]:
        rows = []
        for one in result["archives"]:
            rates = [one["bytes"] / 1000 / s for pair in one["seconds"].values() for s in pair]
            same = yes[one["equal"]], yes[one["read on the other"]]
            rows.append([one["archive"], f"{one['bytes']:,}", *same, *(f"{rate:.2f}" for rate in rates)])
        names = [f"{way}, {where}, KB/s" for way in ("encode", "decode") for where in ("CPU", "device")]
        parts.append(table(["archives of", "bytes", "equal", "read on the other", *names], *rows))
    if result["large model"]:
        rows = [
            [one["work"], yes[one["equal"]], *(f"{rate:.1f}" for rate in one["tokens per second"])]
            for one in result["large model"]
        ]
        names = [f"{SIZE[:-1]} M parameters, random", "equal", "CPU, tokens/s", "device, tokens/s"]
        parts.append(table(names, *rows))
    end = "All of it" if result["finished"] else "NOT FINISHED"
    return "\n\n".join([*parts, f"{end}: {result['seconds']:.0f} s.\n"])


def is_right(result: dict[str, Any]) -> bool:
    """Is everything the same that has to be?"""
    checks = [one["wrong"] == 0 for one in result["checks"] if one.get("needed", True)]
    whole = [one["equal"] and one["read on the other"] for one in result["archives"]]
    return all([*checks, *whole, *(one["equal"] for one in result["large model"])])


def use_processor() -> None:
    """Where there is no GPU: what lmzip would compute on it is computed here, by the code for it."""
    backend, products_of = cuda.backend, panels.products_of
    cuda.backend = lambda device: backend("cpu")  # type: ignore[assignment]
    panels.products_of = lambda device: products_of("cpu")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--name", help="of the results (default: the card's, or cpu)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    card = torch.cuda.get_device_name() if DEVICE == "cuda" else "no GPU"
    if DEVICE == "cpu":
        use_processor()
    name = arguments.name or ("-".join(card.split()).lower() if DEVICE == "cuda" else "cpu")
    result = about(["python", "-m", "benchmarks.gpu"]) | {
        "device": card, "gpu": DEVICE == "cuda", "checks": [], "archives": [], "large model": [], "finished": False,
    }  # fmt: skip
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        for part, rows in (
            ("checks", taken()), ("checks", products()), ("checks", scaled_products()), ("checks", floats()),
            ("large model", large_model()), ("archives", archives(Path(folder))),
        ):  # fmt: skip
            for row in rows:
                print(json.dumps(row, ensure_ascii=False), flush=True)
                result[part].append(row)
                result["seconds"] = time.perf_counter() - begin
                write(arguments.results / f"gpu-{name}", result)
    result["finished"] = True
    write(arguments.results / f"gpu-{name}", result)
    print(markdown(result))
    return 0 if is_right(result) else 1


def write(path: Path, result: dict[str, Any]) -> None:
    """Both files; after every row, so that what is known stays when time is up."""
    path.with_name(path.name + ".json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    path.with_name(path.name + ".md").write_text(markdown(result), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
