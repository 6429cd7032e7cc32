"""The sender: a stream of bytes becomes an archive, frame by frame, in one forward pass and bounded memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from . import checkpoint, engine, pool
from .codec.cache import source_digest
from .codec.message import CODED, FILLED, NLL_BITS, STORED, Footer, Frame, Header, digest, leaf, whole_digest
from .codec.receive import steps
from .errors import FileError, Interrupted, ResumeError
from .ledger import Ledger, prior_cost, shares
from .progress import Watch, deferred

PROBED = 4096  # frames of fewer bytes are simply tried


def is_incompressible(data: np.ndarray) -> bool:
    """Do the cheap statistics find less than 0.5 % to gain in uint8[n]? True for random and for compressed data.

    Entropies of bytes, of bytes by the one before, by position in records of 2, 3 and 4 bytes, and of differences,
    each less what chance alone gives (half a degree of freedom costs 1 / (2 ln 2) bit).
    """
    n = len(data)
    if n < PROBED:
        return False

    def gain(symbols: np.ndarray, contexts: int) -> float:
        counts = np.bincount(symbols, minlength=256 * contexts).astype(np.float64).reshape(contexts, 256)
        totals = counts.sum(axis=1)
        used = counts[counts > 0]
        bits = (totals[totals > 0] * np.log2(totals[totals > 0])).sum() - (used * np.log2(used)).sum()
        freedom = 255 * np.minimum(totals / 256, 1).sum()
        return 8 * totals.sum() - bits - freedom / (2 * math.log(2))

    def views() -> Iterator[tuple[np.ndarray, int]]:  # one at a time and narrow: this comes on top of all tables
        yield data, 1
        for size in (2, 3, 4):
            yield data + np.tile(np.arange(size, dtype=np.uint16) * 256, n // size + 1)[:n], size
        for lag in (1, 2, 3, 4):
            yield data[lag:] - data[:-lag], 1
        if n >= 1 << 18:
            yield data[1:] + data[:-1].astype(np.uint16) * 256, 256

    return all(gain(*view) < 0.005 * 8 * n for view in views()) and not _repeats(data)


def _repeats(data: np.ndarray) -> bool:
    """Is more than one in 200 of its eight-byte strings, sampled, a copy of another?"""
    whole = data[: len(data) // 8 * 8]
    strings = np.lib.stride_tricks.sliding_window_view(whole, 8)
    sampled = strings[(whole[:-7] & 15 == 5) & (whole[1:-6] & 1 == 1)]  # one in 32, chosen by content
    keys = np.ascontiguousarray(sampled).view(np.uint64)
    return len(keys) - len(np.unique(keys)) > len(keys) / 200


@dataclass
class Coded:
    """A frame ready to be written: its head, its payload, the digest of its data."""

    frame: Frame
    payload: bytes
    leaf: bytes
    shares: dict[str, int] = field(default_factory=dict)


def _plain(kind: int, index: int, data: bytes) -> Coded:
    digest_ = leaf(data)
    return Coded(Frame.plain(kind, index, len(data), digest_[:8]), data[:1] if kind == FILLED else data, digest_)


def encode_frame(
    header: Header,
    index: int,
    data: bytes,
    alone: bool,
    state: Any,
    encoding: Any = None,
    watch: Callable[[Any], None] | None = None,
) -> Coded:
    """Code one frame with the predictor `state`. `alone`: no later frame depends on it."""
    array = np.frombuffer(data, np.uint8)
    if encoding is None:
        kind = FILLED if data.count(data[:1]) == len(data) else STORED if is_incompressible(array) else CODED
        if kind != CODED:
            if not alone:
                state.skip(array)
            return _plain(kind, index, data)
        encoding = state.encode(array)
    while not encoding.done:
        encoding.advance(steps(header))
        if watch and not encoding.done:
            watch(encoding)
    transcript = encoding.finish()
    digest_ = leaf(data)
    frame = Frame(
        CODED, index, len(data), digest_[:8], len(transcript), encoding.nll, state.digest(), digest(transcript, 4)
    )
    coded = Coded(frame, transcript, digest_, shares(state))
    stored = _plain(STORED, index, data)
    if alone and len(stored.frame.pack(b"")) + len(data) <= len(frame.pack(b"")) + len(transcript):
        return stored
    return coded


def blocks(source: BinaryIO, size: int) -> Iterator[tuple[bytes, bool]]:
    """The source in blocks of `size` bytes, each with whether it is the last."""
    block = read_block(source, size)
    while block:
        after = read_block(source, size) if len(block) == size else b""
        yield block, not after
        block = after


def read_block(source: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end of the source."""
    parts = []
    while size:
        part = source.read(min(size, 1 << 20))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Sender:
    """One archive being written to `sink`. `snapshot` names the file of its checkpoints."""

    def __init__(self, sink: BinaryIO, header: Header, code: bytes, watch: Watch, snapshot: Path | None = None) -> None:
        self.sink, self.header, self.code, self.watch, self.snapshot = sink, header, code, watch, snapshot
        self.key = header.key
        self.sizes: list[int] = []
        self.leaves = bytearray()
        self.length = self.nll = self.transcript = self.written = 0
        self.shares: dict[str, int] = {}
        self.state: Any = engine.Predictor(header)
        self.settled = True  # is nothing half done: has the predictor seen the frames written, and no more?
        self.goes_on = False  # what the last frame teaches is wanted too: by who makes a prior of the state

    def write(self, data: bytes) -> None:
        self.sink.write(data)
        self.written += len(data)

    def add(self, coded: Coded) -> None:
        """Write a frame."""
        head = coded.frame.pack(self.key)
        self.write(head)
        self.write(coded.payload)
        self.sizes.append(len(head) + len(coded.payload))
        self.leaves += coded.leaf
        self.length += coded.frame.length
        self.nll += coded.frame.nll
        self.transcript += len(coded.payload)
        if self.header.independent_frames:
            for name, value in coded.shares.items():
                self.shares[name] = self.shares.get(name, 0) + value
        elif coded.shares:
            self.shares = coded.shares

    def finish(self) -> Ledger:
        whole = whole_digest(self.leaves)
        footer = Footer(self.length, self.nll, self.sizes, whole, len(self.code), digest(self.code, 8))
        self.write(footer.pack(self.key))
        self.write(self.code)
        self.sink.flush()
        blob, prior = pool.code_size(self.header), prior_cost(self.header)
        return Ledger.of(footer, self.transcript, self.written, blob, self.shares, prior)

    def run(self, source: BinaryIO, resume: bool = False) -> Ledger:
        """Read the source to its end, and write the archive."""
        saved = self.resume(source) if resume else None
        if saved:
            saved.restore_state(self.state)
            self.settled = not saved.meta["position"]
        else:
            self.write(self.header.pack())
        try:
            self.code_frames(source, saved)
        except (Interrupted, FileError):
            self.save_boundary()
            raise
        return self.finish()

    def code_frames(self, source: BinaryIO, saved: checkpoint.Checkpoint | None) -> None:
        """The frames that remain; the first of them may have been begun before an interruption."""
        for block, last in blocks(source, self.header.frame_size):
            encoding = None
            if saved and saved.meta["position"]:
                encoding = self.resume_frame(block, saved)
            elif self.header.independent_frames:
                self.state = engine.Predictor(self.header)
            saved = None

            def look(encoding: Any, block: bytes = block) -> None:
                self.look(encoding, block)

            alone = (last and not self.goes_on) or self.header.independent_frames
            with deferred():
                self.settled = False
                self.add(encode_frame(self.header, len(self.sizes), block, alone, self.state, encoding, look))
                self.watch.step(self.length, self.nll / (1 << NLL_BITS), self.saver(None, b""))
                self.settled = True

    def run_parallel(self, source: BinaryIO, processes: int, resume: bool = False) -> Ledger:
        """The same bytes as `run`, for independent frames, over several processes."""
        if not (resume and self.resume(source)):
            self.write(self.header.pack())
        waiting: deque[Future] = deque()
        keep = pool.Keep(self.snapshot, self.watch.every) if self.snapshot else None
        with pool.processes(processes) as workers:
            try:
                for index, (block, _) in enumerate(blocks(source, self.header.frame_size), len(self.sizes)):
                    waiting.append(workers.submit(pool.encode, self.header, index, block, keep))
                    if len(waiting) > 2 * processes:
                        self.take(waiting.popleft())
                while waiting:
                    self.take(waiting.popleft())
            except (Interrupted, FileError):
                self.save_boundary()
                raise
        return self.finish()

    def take(self, future: Future) -> None:
        def look() -> None:
            self.watch.step(self.length, self.nll / (1 << NLL_BITS), self.saver(None, b""))

        coded = pool.result(future, look)
        with deferred():
            self.add(coded)
        look()

    def save_boundary(self) -> None:
        """Save between two frames."""
        if self.settled and self.snapshot is not None and (self.sizes or self.snapshot.exists()):
            self.save(None, b"")

    def look(self, encoding: Any, block: bytes) -> None:
        """Between segments."""
        bits = (self.nll + encoding.nll) / (1 << NLL_BITS)
        self.watch.step(self.length + encoding.position, bits, self.saver(encoding, block))

    def saver(self, encoding: Any, block: bytes) -> Callable[[], None] | None:
        return None if self.snapshot is None else lambda: self.save(encoding, block)

    def save(self, encoding: Any, block: bytes) -> None:
        """Write a checkpoint of the frame `block` in progress, or of the boundary between two."""
        assert self.snapshot is not None
        sync(self.sink)
        position = 0 if encoding is None else encoding.position
        meta = {
            "what": "encode",
            "codec": source_digest(),
            "header": self.header.pack().hex(),
            "code": digest(self.code, 8).hex(),
            "sizes": self.sizes,
            "leaves": self.leaves.hex(),
            "length": self.length,
            "nll": self.nll,
            "transcript": self.transcript,
            "written": self.written,
            "shares": self.shares,
            "position": position,
            "begun": leaf(block[:position]).hex(),
        }
        fresh = self.header.independent_frames and encoding is None
        checkpoint.save(self.snapshot, meta, None if fresh else self.state, encoding)
        if fresh:
            checkpoint.forget_frames(self.snapshot, len(self.sizes))

    def resume(self, source: BinaryIO) -> checkpoint.Checkpoint | None:
        """Take up where the last checkpoint left off; None when there is none. Reads what was coded, to compare."""
        if self.snapshot is None or not self.snapshot.exists():
            return None
        saved = checkpoint.Checkpoint(self.snapshot)
        meta = saved.meta
        ours = ("encode", source_digest(), self.header.pack().hex(), digest(self.code, 8).hex())
        if (meta["what"], meta["codec"], meta["header"], meta["code"]) != ours:
            raise ResumeError(
                "the interrupted run had other options or another lmzip; repeat those, or begin again with -f"
            )
        self.sizes, self.leaves = meta["sizes"], bytearray.fromhex(meta["leaves"])
        self.length, self.nll, self.transcript = meta["length"], meta["nll"], meta["transcript"]
        self.shares, self.written = meta["shares"], meta["written"]
        for index in range(len(self.sizes)):
            block = read_block(source, self.header.frame_size)
            if leaf(block) != self.leaves[32 * index : 32 * index + 32]:
                raise _changed()
        rewind(self.sink, self.written)
        self.watch.step(self.length + meta["position"], 0)
        return saved

    def resume_frame(self, block: bytes, saved: checkpoint.Checkpoint) -> Any:
        """The encoding that was interrupted, with the predictor as it was then."""
        if leaf(block[: saved.meta["position"]]).hex() != saved.meta["begun"]:
            raise _changed()
        encoding = self.state.encode(np.frombuffer(block, np.uint8))
        saved.restore_state(self.state)  # beginning a frame may have touched it
        saved.restore_frame(encoding)
        return encoding


def _changed() -> ResumeError:
    return ResumeError("the input is not the one the interrupted run read; give that one, or begin again with -f")


def sync(sink: BinaryIO) -> None:
    """See to it that what was written survives what a checkpoint survives."""
    import os

    sink.flush()
    os.fsync(sink.fileno())


def rewind(sink: BinaryIO, size: int) -> None:
    """Cut an unfinished output back to what its checkpoint knows of."""
    if sink.seek(0, 2) < size:
        raise ResumeError("the unfinished output is shorter than its checkpoint says; begin again with -f")
    sink.seek(size)
    sink.truncate()
