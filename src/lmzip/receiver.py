"""The receiver: an archive becomes the original again, checked frame by frame, within limits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from . import checkpoint, pool, released
from .codec.cache import source_digest
from .codec.message import CODED, NLL_BITS, Frame, Header, Reader
from .errors import FileError, Interrupted, ResumeError, archive_errors
from .ledger import Ledger
from .limits import Cost, Limits
from .predictor import Decoding, Predictor
from .progress import Watch, deferred
from .session import Session
from .survey import read_header


class Receiver:
    """One archive being read from `source`, its original written to `sink`. `snapshot`: see Sender."""

    def __init__(
        self,
        source: BinaryIO,
        sink: Any,
        limits: Limits,
        watch: Watch,
        snapshot: Path | None = None,
        *,
        session: Session,
    ) -> None:
        self.session = session
        self.reader, self.sink, self.limits, self.watch, self.snapshot = Reader(source), sink, limits, watch, snapshot
        self.written = self.coded = self.coded_frames = self.transcript = 0
        self.received = 0  # frames whose payload is whole; -1: all
        self.bits = 0.0
        self.code = b""
        self.saved_leaves = b""  # of the frames that were written before an interruption
        self.cost: Cost | None = None  # of the header, once it is read
        self.predictor: Predictor
        self.settled = True  # is nothing half done: do predictor, digests and output end with the same frame?

    def header(self) -> Header:
        """The archive's header, within the limits. Raises ArchiveError, LimitError or MissingPrior."""
        if self.reader.header is None:
            with archive_errors():
                self.reader = read_header(self.reader)
        header = self.reader.header
        assert header is not None
        if self.cost is None:
            cost = self.session.cost(header)
            self.limits.check_header(cost)
            self.cost, self.predictor = cost, self.session.predictor(header)
        return header

    @property
    def codec(self) -> Any:
        """The module `receive` of the archive's format version."""
        return released.part(self.header().format_version, "receive")

    def frames(self, before_footer: Callable[[], None] | None = None) -> Iterator[tuple[Frame, bytes]]:
        """Every frame, its payload whole and its cost within the limits; then footer, code and end are checked."""
        self.header()
        cost, reader = self.cost, self.reader
        assert cost is not None
        while frame := reader.read_frame():
            self.limits.check_frame(cost, frame.number, frame.size)
            if frame.kind == CODED:
                self.coded += frame.length
                self.coded_frames += 1
            self.limits.check_length(cost, reader.length, self.coded, self.coded_frames, reader.position)
            payload = reader.read_payload(frame)
            self.received += 1
            self.transcript += frame.size
            yield frame, payload
        if before_footer:
            before_footer()
        self.received = -1
        reader.read_footer()
        self.code = reader.read_code()

    def where(self) -> str:
        """Which part of the original the damage that was just found concerns."""
        header = self.reader.header
        if header is None or self.received < 0:
            return ""
        start = self.received * header.frame_size
        if not header.independent_frames:
            return f"the original is lost from byte {start:,} on"
        stop = self.reader.length if len(self.reader.sizes) > self.received else start + header.frame_size
        return f"at least bytes {start:,} to {stop:,} of the original are lost"

    def run(self, resume: bool = False) -> Ledger:
        """Read the archive to its end, and write the original; over several processes where frames are independent.

        resume: go on from the last checkpoint, if there is one. Raises ArchiveError, LimitError, ResumeError, FileError
        or Interrupted.
        """
        header = self.header()
        if header.independent_frames and (processes := self.processes()) > 1:
            return self.run_parallel(processes, resume)
        with archive_errors(self.where):
            saved = self.resume() if resume else None
            if saved:
                saved.restore_state(self.predictor)
                self.settled = False
            try:
                self.rebuild_frames(saved)
            except (Interrupted, FileError):
                self.save_boundary()
                raise
        return self.finish()

    def rebuild_frames(self, saved: checkpoint.Checkpoint | None) -> None:
        """The frames that remain; the first of them may have been begun before an interruption."""
        header, done = self.header(), self.frames_done
        for frame, payload in self.frames():
            if frame.number < done:
                self.reader.leaves += self.resumed_leaf(frame)
                continue
            if header.independent_frames and not saved:
                self.predictor = self.session.predictor(header)
            watch = self.look(frame)
            with deferred():
                self.settled = False
                if saved and saved.meta["position"]:
                    decoding = self.resume_frame(frame, payload, saved)
                    data, digest = self.codec.complete(self.predictor, frame, decoding, watch)
                else:
                    data, digest = self.codec.rebuild(self.predictor, frame, payload, watch)
                saved = None
                self.add(frame, data, digest)
                self.watch.step(self.written, self.bits, self.saver(None))
                self.settled = True

    def save_boundary(self) -> None:
        """Save between two frames."""
        if self.settled and self.snapshot is not None and (self.written or self.snapshot.exists()):
            self.save(None)

    def processes(self) -> int:
        """Processes for independent frames: as many as the session has threads, if the limit of memory allows."""
        assert self.cost is not None
        return max(1, min(self.session.threads, self.limits.memory // self.cost.memory()))

    def run_parallel(self, processes: int, resume: bool) -> Ledger:
        """The same for independent frames, over several processes."""
        header, session = self.header(), self.session.of_worker()
        waiting = deque[tuple[Frame, Future[tuple[bytes, bytes]]]]()
        keep = pool.Keep(self.snapshot, self.watch.every) if self.snapshot else None

        def look() -> None:
            self.watch.step(self.written, self.bits, self.saver(None))

        def take() -> None:
            frame, future = waiting.popleft()
            result = pool.result(future, look)
            with deferred():
                self.add(frame, *result)
            look()

        def drain() -> None:
            while waiting:
                take()

        with archive_errors(self.where), pool.processes(processes, header.format_version) as workers:
            if resume:
                self.resume()
            done = self.frames_done
            self.settled = not done
            try:
                for frame, payload in self.frames(before_footer=drain):
                    if frame.number < done:
                        self.reader.leaves += self.resumed_leaf(frame)
                        continue
                    self.settled = True
                    waiting.append((frame, workers.submit(pool.decode, session, header, frame, payload, keep)))
                    if len(waiting) > 2 * processes:
                        take()
            except (Interrupted, FileError):
                self.save_boundary()
                raise
        return self.finish()

    def add(self, frame: Frame, data: Any, digest: bytes) -> None:
        """Publish a frame's data; its digest held."""
        self.reader.leaves += digest
        self.sink.write(data)
        self.written += frame.length
        self.bits += frame.nll / (1 << NLL_BITS)

    def finish(self) -> Ledger:
        """The ledger, once all is read."""
        self.sink.flush()
        footer = self.reader.footer
        assert footer is not None
        charges = self.session.charges(self.header())
        return Ledger.of(footer, self.transcript, self.reader.position, charges)

    def look(self, frame: Frame) -> Callable[[Decoding], None]:
        """What happens between segments."""

        def watch(decoding: Decoding) -> None:
            bits = self.bits + decoding.nll / (1 << NLL_BITS)
            self.watch.step(self.written + decoding.position, bits, self.saver(decoding))

        return watch

    def saver(self, decoding: Decoding | None) -> Callable[[], None] | None:
        """What writes a checkpoint, if there are to be any."""
        return None if self.snapshot is None else lambda: self.save(decoding)

    def save(self, decoding: Decoding | None) -> None:
        """Write a checkpoint."""
        assert self.snapshot is not None
        assert self.reader.header is not None
        checkpoint.sync(self.sink)
        meta = {
            "what": "decode",
            "codec": source_digest(),
            "header": self.reader.header.pack().hex(),
            "leaves": self.reader.leaves.hex(),
            "written": self.written,
            "bits": self.bits,
            "position": 0 if decoding is None else decoding.position,
        }
        fresh = self.reader.header.independent_frames and decoding is None
        checkpoint.save(self.snapshot, meta, None if fresh else self.predictor, decoding)
        if fresh:
            checkpoint.forget_frames(self.snapshot, len(self.reader.leaves) // 32)

    def resume(self) -> checkpoint.Checkpoint | None:
        """Take up where the last checkpoint left off, if there is one. Raises ResumeError if it is another's."""
        if self.snapshot is None or not self.snapshot.exists():
            return None
        saved = checkpoint.Checkpoint(self.snapshot)
        meta = saved.meta
        ours = ("decode", source_digest(), self.header().pack().hex())
        if (meta["what"], meta["codec"], meta["header"]) != ours:
            raise ResumeError("the interrupted run was of another archive or lmzip; take that, or begin again with -f")
        self.saved_leaves = bytes.fromhex(meta["leaves"])
        self.written, self.bits = meta["written"], meta["bits"]
        checkpoint.rewind(self.sink, self.written)
        return saved

    @property
    def frames_done(self) -> int:
        """Frames that were written before the interruption."""
        return len(self.saved_leaves) // 32

    def resumed_leaf(self, frame: Frame) -> bytes:
        """The digest of a frame that was written before the interruption. Raises ResumeError for another frame's."""
        digest = self.saved_leaves[32 * frame.number : 32 * frame.number + 32]
        if digest[:8] != frame.data_digest:
            raise ResumeError("the interrupted run was of another archive; give that one, or begin again with -f")
        return digest

    def resume_frame(self, frame: Frame, payload: bytes, saved: checkpoint.Checkpoint) -> Decoding:
        """The decoding that was interrupted, with the predictor as it was then."""
        decoding = self.predictor.decode(np.frombuffer(payload, np.uint8), frame.length)
        saved.restore_state(self.predictor)  # beginning a frame may have touched it
        saved.restore_frame(decoding)
        return decoding
