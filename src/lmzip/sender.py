"""The sender: a stream of bytes becomes an archive, frame by frame, in one forward pass and bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO

import numpy as np

from . import checkpoint, pool
from .codec.cache import source_digest
from .codec.message import NLL_BITS, Footer, Header, digest, leaf, whole_digest
from .errors import FileError, Interrupted, ResumeError
from .frames import Coded, blocks, encode_frame, read_block
from .ledger import Ledger
from .predictor import Encoding, Predictor
from .progress import Watch, deferred
from .session import Session


class Sender:
    """One archive being written to `sink`.

    code: the decoder that goes behind the message, or nothing. snapshot: the file of its checkpoints, if there are to
    be any.
    """

    def __init__(
        self,
        sink: BinaryIO,
        header: Header,
        code: bytes,
        watch: Watch,
        snapshot: Path | None = None,
        *,
        session: Session,
    ) -> None:
        self.sink, self.header, self.code, self.watch, self.snapshot = sink, header, code, watch, snapshot
        self.session = session
        self.key = header.key
        self.sizes: list[int] = []
        self.leaves = bytearray()
        self.length = self.nll = self.transcript = self.written = 0
        self.shares: dict[str, int] = {}
        self.predictor: Predictor = session.predictor(header)
        self.settled = True  # is nothing half done: has the predictor seen the frames written, and no more?
        self.goes_on = False  # what the last frame teaches is wanted too: by who makes a prior of the state

    def write(self, data: bytes) -> None:
        """Write bytes of the archive."""
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
        """Write what follows the last frame."""
        whole = whole_digest(self.leaves)
        footer = Footer(self.length, self.nll, self.sizes, whole, len(self.code), digest(self.code, 8))
        self.write(footer.pack(self.key))
        self.write(self.code)
        self.sink.flush()
        return Ledger.of(footer, self.transcript, self.written, self.session.charges(self.header), self.shares)

    def run(self, source: BinaryIO, resume: bool = False) -> Ledger:
        """Read the source to its end, and write the archive; over several processes where frames are independent.

        resume: go on from the last checkpoint, if there is one. Raises ResumeError, FileError, Interrupted, LimitError.
        """
        if self.header.independent_frames and self.session.threads > 1:
            return self.run_parallel(source, resume)
        saved = self.resume(source) if resume else None
        if saved:
            saved.restore_state(self.predictor)
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
                self.predictor = self.session.predictor(self.header)
            saved = None

            def look(encoding: Encoding, block: bytes = block) -> None:
                self.look(encoding, block)

            alone = (last and not self.goes_on) or self.header.independent_frames
            with deferred():
                self.settled = False
                self.add(encode_frame(self.header, len(self.sizes), block, alone, self.predictor, encoding, look))
                self.watch.step(self.length, self.nll / (1 << NLL_BITS), self.saver(None, b""))
                self.settled = True

    def run_parallel(self, source: BinaryIO, resume: bool) -> Ledger:
        """The same bytes, for independent frames, over as many processes as the session has threads."""
        session, processes = self.session.of_worker(), self.session.threads
        if not (resume and self.resume(source)):
            self.write(self.header.pack())
        waiting: deque[Future[Coded]] = deque()
        keep = pool.Keep(self.snapshot, self.watch.every) if self.snapshot else None
        with pool.processes(processes) as workers:
            try:
                for index, (block, _) in enumerate(blocks(source, self.header.frame_size), len(self.sizes)):
                    waiting.append(workers.submit(pool.encode, session, self.header, index, block, keep))
                    if len(waiting) > 2 * processes:
                        self.take(waiting.popleft())
                while waiting:
                    self.take(waiting.popleft())
            except (Interrupted, FileError):
                self.save_boundary()
                raise
        return self.finish()

    def take(self, future: Future[Coded]) -> None:
        """Write the frame that a process was given, when it has it."""

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

    def look(self, encoding: Encoding, block: bytes) -> None:
        """Between segments."""
        bits = (self.nll + encoding.nll) / (1 << NLL_BITS)
        self.watch.step(self.length + encoding.position, bits, self.saver(encoding, block))

    def saver(self, encoding: Encoding | None, block: bytes) -> Callable[[], None] | None:
        """What writes a checkpoint, if there are to be any."""
        return None if self.snapshot is None else lambda: self.save(encoding, block)

    def save(self, encoding: Encoding | None, block: bytes) -> None:
        """Write a checkpoint of the frame `block` in progress, or of the boundary between two."""
        assert self.snapshot is not None
        checkpoint.sync(self.sink)
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
        checkpoint.save(self.snapshot, meta, None if fresh else self.predictor, encoding)
        if fresh:
            checkpoint.forget_frames(self.snapshot, len(self.sizes))

    def saved(self) -> checkpoint.Checkpoint | None:
        """The last checkpoint, if there is one. Raises ResumeError where it is of other options."""
        if self.snapshot is None or not self.snapshot.exists():
            return None
        saved = checkpoint.Checkpoint(self.snapshot)
        meta = saved.meta
        ours = ("encode", source_digest(), self.header.pack().hex(), digest(self.code, 8).hex())
        if (meta["what"], meta["codec"], meta["header"], meta["code"]) != ours:
            raise ResumeError(
                "the interrupted run had other options or another lmzip; repeat those, or begin again with -f"
            )
        return saved

    def resume(self, source: BinaryIO) -> checkpoint.Checkpoint | None:
        """Take up where the last checkpoint left off; None when there is none. Reads what was coded, to compare.

        Raises ResumeError where the checkpoint is of other options or another input.
        """
        if (saved := self.saved()) is None:
            return None
        meta = saved.meta
        self.sizes, self.leaves = meta["sizes"], bytearray.fromhex(meta["leaves"])
        self.length, self.nll, self.transcript = meta["length"], meta["nll"], meta["transcript"]
        self.shares, self.written = meta["shares"], meta["written"]
        for index in range(len(self.sizes)):
            block = read_block(source, self.header.frame_size)
            if leaf(block) != self.leaves[32 * index : 32 * index + 32]:
                raise _changed()
        checkpoint.rewind(self.sink, self.written)
        self.watch.step(self.length + meta["position"], 0)
        return saved

    def resume_frame(self, block: bytes, saved: checkpoint.Checkpoint) -> Encoding:
        """The encoding that was interrupted, with the predictor as it was then. Raises ResumeError for other input."""
        if leaf(block[: saved.meta["position"]]).hex() != saved.meta["begun"]:
            raise _changed()
        encoding = self.predictor.encode(np.frombuffer(block, np.uint8))
        saved.restore_state(self.predictor)  # beginning a frame may have touched it
        saved.restore_frame(encoding)
        return encoding


def _changed() -> ResumeError:
    return ResumeError("the input is not the one the interrupted run read; give that one, or begin again with -f")
