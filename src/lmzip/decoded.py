"""The original behind an archive as a raw stream: the reading half of `lmzip.open`."""

from __future__ import annotations

import contextlib
import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from . import pool
from .codec.message import CODED, Frame
from .errors import archive_errors
from .limits import Limits
from .progress import Watch
from .receiver import Receiver
from .session import Session
from .survey import Survey


class _From:
    """A seekable binary file from here on, which is its beginning."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._begin = file, file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell() - self._begin

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset + self._begin if whence == 0 else offset, whence) - self._begin


class Decoded(io.RawIOBase):
    """The original behind an archive. Seeks to a frame when they are independent, else by decoding from the start."""

    def __init__(self, source: BinaryIO, limits: Limits, session: Session) -> None:
        can_seek = hasattr(source, "seekable") and source.seekable()
        self.source: Any = _From(source) if can_seek else source
        self.limits, self.session = limits, session
        self.at = 0
        self.survey: Survey | None = None
        self.workers = contextlib.ExitStack()
        self.executor: ProcessPoolExecutor | None = None
        self.waiting: deque[Future[tuple[bytes, bytes]]] = deque()  # frames that processes are decoding, in order
        self._restart()

    def _restart(self) -> None:
        self.receiver = Receiver(self.source, io.BytesIO(), self.limits, Watch(), session=self.session)
        self.header = self.receiver.header()
        self._go_to(self.receiver.frames(), 0)

    def _go_to(self, frames: Iterator[tuple[Frame, bytes]], start: int) -> None:
        """Go on with these frames, the first of which begins at `start`."""
        self.waiting.clear()
        self.frames, self.start, self.data = frames, start, np.zeros(0, np.uint8)
        self.predictor = self.session.predictor(self.header)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return isinstance(self.source, _From)

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        while self.at >= self.start + len(self.data):
            if not self._next():
                return 0
        part = self.data[self.at - self.start :][: len(buffer)]
        buffer[: len(part)] = part.tobytes()
        self.at += len(part)
        return len(part)

    def _next(self) -> bool:
        """The next frame in order; False at the end, which is then checked."""
        with archive_errors():
            decoded = self._ahead() if self.header.independent_frames and self.receiver.processes() > 1 else self._one()
        if decoded is None:
            return False
        data, digest = decoded
        self.receiver.reader.leaves += digest
        self.start += len(self.data)
        self.data = data
        return True

    def _one(self) -> tuple[np.ndarray, bytes] | None:
        """The next frame's data and digest, decoded here."""
        if (pair := next(self.frames, None)) is None:
            return None
        if self.header.independent_frames:
            self.predictor = self.session.predictor(self.header)
        return self.receiver.codec.rebuild(self.predictor, *pair)

    def _ahead(self) -> tuple[np.ndarray, bytes] | None:
        """The same, decoded by one of several processes, which are given the frames that come next as well."""
        if self.executor is None:
            version = self.header.format_version
            self.executor = self.workers.enter_context(pool.processes(self.receiver.processes(), version))
        while len(self.waiting) < 2 * self.receiver.processes() and (pair := next(self.frames, None)) is not None:
            session = self.session.of_worker()
            self.waiting.append(self.executor.submit(pool.decode, session, self.header, *pair))
        if not self.waiting:
            return None
        data, digest = self.waiting.popleft().result()
        return np.frombuffer(data, np.uint8), digest

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a byte of the original. Raises ValueError for one before its first, and as reading does."""
        if whence == 1:
            offset += self.at
        if whence == 2:
            offset += self._survey().footer.length
        if offset < 0:
            raise ValueError("negative seek position")
        if self.header.independent_frames:
            if not self.start <= offset < self.start + len(self.data):
                self._fetch(offset)
        elif offset < self.start:
            self.source.seek(0)
            self._restart()
        self.at = offset
        return offset

    def _survey(self) -> Survey:
        if self.survey is None:
            place = self.source.tell()
            self.source.seek(0)
            self.survey = Survey(self.source, limits=self.limits, session=self.session)
            self.source.seek(place)
        return self.survey

    def _fetch(self, offset: int) -> None:
        """Go to the frame that holds this byte of the original."""
        survey = self._survey()
        size = survey.header.frame_size
        index = min(offset // size, len(survey.frames))
        if index == len(survey.frames):
            self._go_to(iter(()), offset)
        else:
            self._go_to(self._from(survey, index), index * size)

    def _from(self, survey: Survey, index: int) -> Iterator[tuple[Frame, bytes]]:
        """The frames from this one on, within the limits for what is read from here on."""
        cost, length, coded, coded_frames = self.session.cost(survey.header), 0, 0, 0
        for frame, place in islice(zip(survey.frames, survey.offsets, strict=True), index, None):
            self.limits.check_frame(cost, frame.number, frame.size)
            length += frame.length
            if frame.kind == CODED:
                coded += frame.length
                coded_frames += 1
            self.limits.check_length(cost, length, coded, coded_frames, survey.size)
            self.source.seek(place)
            payload = self.source.read(frame.size)
            frame.check_payload(payload)
            yield frame, payload

    def close(self) -> None:
        if not self.closed:
            for future in self.waiting:
                future.cancel()
            self.workers.close()
        super().close()
