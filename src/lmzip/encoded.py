"""An archive in the making as a raw stream: the writing half of `lmzip.open`."""

from __future__ import annotations

import contextlib
import io
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from . import pool
from .frames import Coded, encode_frame
from .sender import Sender


class Encoded(io.RawIOBase):
    """What is written becomes an archive; closing it ends it."""

    def __init__(self, sender: Sender) -> None:
        self.sender, self.header, self.session = sender, sender.header, sender.session
        self.pending = bytearray()
        self.workers = contextlib.ExitStack()
        self.executor: ProcessPoolExecutor | None = None
        self.waiting: deque[Future[Coded]] = deque()
        self.frames = 0  # begun
        self.handed = 0  # bytes in them
        sender.write(sender.header.pack())

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.handed + len(self.pending)

    def write(self, data: Any) -> int:
        """Take bytes of the original. Raises ValueError where the file is closed."""
        if self.closed:
            raise ValueError("the file is closed")
        self.pending += data
        while len(self.pending) > self.header.frame_size:  # one byte more: so it isn't the last
            self._frame(last=False)
        return len(memoryview(data).cast("B"))

    def _frame(self, last: bool) -> None:
        independent = self.header.independent_frames
        block = bytes(self.pending[: self.header.frame_size])
        del self.pending[: self.header.frame_size]
        self.frames, self.handed = self.frames + 1, self.handed + len(block)
        if independent and self.session.threads > 1:
            self._hand_over(block)
            return
        if independent:
            self.sender.predictor = self.session.predictor(self.header)
        alone = last or independent
        self.sender.add(encode_frame(self.header, self.frames - 1, block, alone, self.sender.predictor))

    def _hand_over(self, block: bytes) -> None:
        """Let one of several processes code a frame; what is coded by now is written."""
        if self.executor is None:
            self.executor = self.workers.enter_context(pool.processes(self.session.threads))
        session = self.session.of_worker()
        self.waiting.append(self.executor.submit(pool.encode, session, self.header, self.frames - 1, block))
        while len(self.waiting) > 2 * self.session.threads:
            self.sender.add(self.waiting.popleft().result())

    def discard(self) -> None:
        """Close without ending the archive."""
        for future in self.waiting:
            future.cancel()
        self.workers.close()
        super().close()

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self.pending:
                self._frame(last=True)
            while self.waiting:
                self.sender.add(self.waiting.popleft().result())
            self.sender.finish()
        finally:
            self.discard()
