"""Geometric scans: code lengths against data, model size, compute and context, from honest prequential runs.

One run codes the data's first D bytes and gives the loss at D, D/2, D/4, … as well, for nothing depends on the total
length. Each finished run is a file of its own, so that a scan that was interrupted, or is widened, goes on from there.

Losses, in bits per byte:
  marginal    mean over the last of what was coded, (D/√2, D]: what published scaling laws fit, but for a factor of x0
              that the mean makes; these stretches don't overlap, so the points of a curve are independent samples
  cumulative  all bits so far over D: the transcript, what a compressor pays; the first bytes' cost is in it for ever
  held-out    a text that the run never sees, coded on the side with the weights frozen: the same text for every point,
              so the curve lacks the noise of a text that is now harder, now easier

Files change on their way: an article on a town follows one on a logarithm. In the file's own order a curve shows that
too, and mostly that; cut into pieces and shuffled, as training corpora are, the file is the same everywhere.

N = 12·layers·width² counts the trunk's matrices (hidden = 4·width), as the published laws do; embeddings, the head and
the hashed n-gram tables are not in it; the tables are reported beside it. C = 6·N·D operations.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...codec.message import NLL_BITS, Header
from ...codec.settings import ModelSettings
from ...errors import UsageError
from ...ledger import shares
from ...presets import EXPERTS
from ...session import Session
from .. import provenance
from .task import aside, code_length, examine

BLOCK = 1 << 10  # bytes whose cost a run records together
SMALLEST = 1 << 13  # bytes of the shortest data that a curve has a point for
PETAFLOP_DAY = 1e15 * 86400
SHUFFLED = 0  # seed of the order
PROBES = 1  # version of the tasks and of what else is asked at checkpoints


@dataclass(frozen=True, order=True)
class Setting:
    """What one run varies."""

    layers: int = 1
    width: int = 128
    window: int = 64
    seed: int = 0
    experts: bool = False
    table_bits: int = 17
    segment: int = 32

    @classmethod
    def parse(cls, size: str) -> Setting:
        """A size as LAYERSxWIDTH. Raises UsageError."""
        try:
            layers, width = map(int, size.lower().split("x"))
            result = cls(layers, width)
            result.header().pack()
        except ValueError as error:
            raise UsageError(f"{size!r} is not a size ({error}); write LAYERSxWIDTH, as 2x128") from None
        return result

    def header(self) -> Header:
        """Of an archive that would be coded so."""
        return Header(
            seed=self.seed,
            segment=self.segment,
            model=ModelSettings(
                layers=self.layers,
                width=self.width,
                heads=max(2, self.width // 64),
                hidden=4 * self.width,
                window=self.window,
                table_bits=self.table_bits,
            ),
            experts=EXPERTS["fast"] if self.experts else None,
        )

    @property
    def name(self) -> str:
        parts = [f"{self.layers}x{self.width}", f"w{self.window}", f"t{self.table_bits}", f"s{self.seed}"]
        return "-".join([*parts, *(["mix"] if self.experts else [])])

    @property
    def parameters(self) -> int:
        """N, of the trunk."""
        return 12 * self.layers * self.width**2

    @property
    def tables(self) -> int:
        """Parameters of the hashed n-gram tables, if every row is in use."""
        return (5 << self.table_bits) * self.width

    @property
    def context_share(self) -> float:
        """Attention's share of the compute beside the matrices: n_ctx / (12·d)."""
        return self.window / (12 * self.width)


@dataclass(frozen=True, eq=False)
class Data:
    """The beginning of a file that is scanned, and another part of it that is held out."""

    name: str
    scanned: np.ndarray
    held_out: np.ndarray

    @classmethod
    def read(cls, path: Path, length: int | None, held_out: int | None = None, shuffle: int = 0) -> Data:
        """The first `length` bytes, a whole number of blocks, and the last `held_out` (None: 64 KiB, or an eighth).

        Raises UsageError for files too short.

        shuffle: the file is cut into pieces of so many bytes, which are put into another order first (0: it is not).
        """
        whole, name = np.fromfile(path, np.uint8), path.name
        if shuffle:
            pieces = whole[: len(whole) - len(whole) % shuffle].reshape(-1, shuffle)
            whole = np.random.Generator(np.random.PCG64(SHUFFLED)).permutation(pieces).reshape(-1)
            name += "-shuffled"
        held_out = min(1 << 16, len(whole) // 8) if held_out is None else held_out
        most = len(whole) - held_out
        length = min(most, 1 << 21) if length is None else length
        if length > most:
            raise UsageError(f"{path.name} has {len(whole):,} bytes: too few for --bytes and --held-out")
        if length < 2 * SMALLEST:
            raise UsageError(f"a scan takes {2 * SMALLEST:,} bytes at least, {path.name} gives {length:,}")
        return cls(name, whole[: length - length % BLOCK], whole[most:])

    def digest(self) -> str:
        return hashlib.blake2b(self.scanned.tobytes() + self.held_out.tobytes(), digest_size=16).hexdigest()


def lengths(length: int) -> list[int]:
    """D, D/2, D/4, … down to SMALLEST, ascending, each a whole number of blocks."""
    result = []
    while length >= SMALLEST:
        result.append(length - length % BLOCK)
        length //= 2
    return result[::-1]


def measure(
    data: Data,
    setting: Setting,
    session: Session,
    tasks: bool = False,
    tick: Callable[[int, float], None] = lambda *_: None,
) -> dict[str, Any]:
    """One run: the cost of every block in bits, of the mix and its parts if there are experts; probes at each length.

    `tick` is told how far it has come and how many bits that took.
    """
    warm = session.lockstep(setting.header()).encode(data.scanned[: 2 * setting.segment])
    warm.advance(2)  # loads the kernels, which is no part of the time
    del warm
    state = session.lockstep(setting.header())
    curves: dict[str, list[int]] = {}
    probes: list[dict[str, Any]] = []
    spent, start = 0.0, 0
    before: dict[str, int] = {}
    for end in lengths(len(data.scanned)):
        encoding = state.encode(data.scanned[start:end])
        begun = time.process_time()
        total = before.get("model", 0)
        while not encoding.done:
            encoding.advance(BLOCK // setting.segment)
            now = shares(state) or {"model": total + encoding.nll}
            for part, units in now.items():
                curves.setdefault(part, []).append(units - before.get(part, 0))
            before = now
            tick(start + encoding.position, now["mix" if setting.experts else "model"] / (1 << NLL_BITS))
        spent += time.process_time() - begun
        probe: dict[str, Any] = {"length": end}
        if len(data.held_out) and not setting.experts:  # experts know no way not to learn
            with aside(state, frozen=True):
                probe["held-out"] = code_length(state, data.held_out) / len(data.held_out)
        if tasks:
            probe["tasks"] = examine(state)
        probes.append(probe)
        start = end
    bits = {part: [round(units / (1 << NLL_BITS), 2) for units in curve] for part, curve in curves.items()}
    return {"bits": bits, "probes": probes, "cpu_seconds": round(spent, 2)}


def identity(data: Data, setting: Setting, tasks: bool) -> str:
    """What a run depends on, in one word: data, settings, format version and probes, not the commit."""
    words = [setting.header().pack().hex(), data.digest(), len(data.scanned), len(data.held_out), tasks, PROBES, BLOCK]
    return hashlib.blake2b(json.dumps(words).encode(), digest_size=6).hexdigest()


def path(data: Data, setting: Setting, folder: Path, tasks: bool) -> Path:
    """Where the record of a run is kept."""
    return folder / f"{data.name}-{setting.name}-{identity(data, setting, tasks)}.json"


def run(
    data: Data,
    setting: Setting,
    folder: Path,
    session: Session,
    tasks: bool = False,
    tick: Callable[[int, float], None] = lambda *_: None,
) -> dict[str, Any]:
    """The run's record, from its file if it has been run before."""
    target = path(data, setting, folder, tasks)
    if target.exists():
        return json.loads(target.read_text())
    record = {
        "data": {
            "name": data.name,
            "length": len(data.scanned),
            "held_out": len(data.held_out),
            "digest": data.digest(),
        },
        "setting": asdict(setting),
        "block": BLOCK,
        **measure(data, setting, session, tasks, tick),
        "about": provenance.about(["lmzip", "scan"]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    temporary.write_text(json.dumps(record) + "\n")
    os.replace(temporary, target)
    return record


def plan(
    sizes: Iterable[str], windows: Iterable[int], seeds: int, experts: bool, table_bits: int = 17
) -> list[Setting]:
    """The runs of a scan: every size with the first window; the middle size with the others; the smallest and the
    largest with every seed; these two with experts as well, if wanted."""
    first, *others = windows
    scanned = sorted(replace(Setting.parse(size), window=first, table_bits=table_bits) for size in sizes)
    scanned.sort(key=lambda one: one.parameters)
    corners = list(dict.fromkeys((scanned[0], scanned[-1])))
    result = list(scanned)
    result += [replace(scanned[len(scanned) // 2], window=window) for window in others]
    result += [replace(corner, seed=seed) for seed in range(1, seeds) for corner in corners]
    result += [replace(corner, experts=True) for corner in corners] if experts else []
    return result
