"""The two uses of `lmzip score`, measured: python -m benchmarks.score CORPUS

CORPUS is the folder of the files in corpus.tsv. Passages of 400 bytes are scored: prose among noise by bits per byte; a
pool of three kinds, of which one is wanted, by Moore and Lewis' difference under two priors that saw none of them.
"""

from __future__ import annotations

import base64
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from lmzip import presets
from lmzip.codec.message import NLL_BITS
from lmzip.lab.provenance import about
from lmzip.lab.score import Scorer
from lmzip.prior import store
from lmzip.prior.train import train
from lmzip.progress import Watch
from lmzip.sender import Sender
from lmzip.session import Session

from .run import RESULTS

SIZE = 400  # bytes of a passage
LEARNT = 300_000  # bytes that each prior learns


def passages(data: bytes, count: int) -> list[bytes]:
    """Of SIZE bytes each, spread over the data."""
    step = (len(data) - SIZE) // count
    return [data[k * step : k * step + SIZE] for k in range(count)]


def prior(folder: Path, name: str, corpus: bytes) -> store.Prior:
    sender = Sender(io.BytesIO(), presets.header("fast"), b"", Watch(), session=Session())
    _, made = train(sender, io.BytesIO(corpus), False, "", "")
    path = folder / f"{name}.prior"
    store.write(path, *made)
    return store.read(path)


def scored(texts: dict[str, list[bytes]], scorer: Scorer) -> tuple[dict[str, list[float]], float]:
    """Bits per byte by kind, and CPU seconds a text."""
    scorer.nll(b"warm")
    start = time.process_time()
    result = {kind: [scorer.nll(text) / (1 << NLL_BITS) / len(text) for text in some] for kind, some in texts.items()}
    return result, (time.process_time() - start) / sum(map(len, texts.values()))


def lowest(scores: dict[str, list[float]], count: int) -> dict[str, int]:
    """How many of each kind are among the texts with the lowest scores."""
    ranked = sorted((score, kind) for kind, some in scores.items() for score in some)[:count]
    return {kind: sum(one == kind for _, one in ranked) for kind in scores}


def summary(scores: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    return {kind: {"mean": mean(some), "least": min(some), "most": max(some)} for kind, some in scores.items()}


def noise(prose: bytes) -> dict[str, list[bytes]]:
    """Prose, and what a filter should find."""
    chance = random.Random(1)
    words = prose.split()
    letters = b"abcdefghijklmnopqrstuvwxyz     "
    return {
        "prose": passages(prose, 100),
        "its words shuffled": [b" ".join(chance.sample(words, 80))[:SIZE] for _ in range(20)],
        "random letters": [bytes(chance.choices(letters, k=SIZE)) for _ in range(20)],
        "base64": [base64.b64encode(chance.randbytes(300)) for _ in range(20)],
        "one line repeated": [(b"All work and no play makes Jack a dull boy. " * 10)[:SIZE]],
    }


def measure(read: Callable[[str], bytes], folder: Path) -> dict:
    alice, dickens, wiki, code = (read(name) for name in ("alice29.txt", "dickens", "enwik6", "python-stdlib.3M"))
    wanted = prior(folder, "wanted", dickens[:LEARNT])
    mixed = [dickens[1_000_000:][: LEARNT // 3], wiki[: LEARNT // 3], code[: LEARNT // 3]]
    general = prior(folder, "general", b"".join(mixed))

    def on(one: store.Prior) -> Scorer:
        store.remember(one, "")
        return Scorer(store.header(one, presets.FRAME_SIZE, False))

    result: dict = {"filter": {}, "cpu_seconds_per_text": {}}
    texts = noise(alice)
    models: dict[str, Callable[[], Scorer]] = {
        "fast": lambda: Scorer(presets.header("fast")),
        "default": lambda: Scorer(presets.header()),
        "fast with a prior": lambda: on(wanted),
    }
    for name, make in models.items():
        scores, result["cpu_seconds_per_text"][name] = scored(texts, make())
        result["filter"][name] = summary(scores)
    pool = {
        "fiction": passages(alice, 100),
        "wiki": passages(wiki[500_000:], 100),
        "python": passages(code[-1_500_000:], 100),
    }
    under, _ = scored(pool, on(wanted))
    other, _ = scored(pool, on(general))
    difference = {kind: [a - b for a, b in zip(under[kind], other[kind], strict=True)] for kind in pool}
    plain, _ = scored(pool, Scorer(presets.header("fast")))
    result["selection"] = {
        name: {"of the 100 lowest": lowest(scores, 100), "bits per byte": summary(scores)}
        for name, scores in (("difference", difference), ("bpb with the wanted prior", under), ("bpb without", plain))
    }
    return result


def main() -> None:
    corpus = Path(sys.argv[1])
    told = about(["python", "-m", "benchmarks.score", str(corpus)])
    with tempfile.TemporaryDirectory() as folder:
        result = measure(lambda name: (corpus / name).read_bytes(), Path(folder))
    (RESULTS / "score.json").write_text(json.dumps(told | result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
