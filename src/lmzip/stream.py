"""`lmzip.open`: archives as file objects, like `gzip.open`, but that a file appears whole or not at all."""

from __future__ import annotations

import builtins
import contextlib
import io
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from . import pack, pool
from .codec.message import CODED, Frame
from .errors import FileError, archive_errors
from .files import Output
from .frames import Coded, encode_frame
from .limits import Limits
from .options import EncodeOptions
from .progress import Watch
from .receiver import Receiver
from .sender import Sender
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


class _Decoded(io.RawIOBase):
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
            decoded = self._ahead() if self.header.independent_frames and self._processes() > 1 else self._one()
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

    def _processes(self) -> int:
        return self.receiver.processes()

    def _ahead(self) -> tuple[np.ndarray, bytes] | None:
        """The same, decoded by one of several processes, which are given the frames that come next as well."""
        if self.executor is None:
            version = self.header.format_version
            self.executor = self.workers.enter_context(pool.processes(self._processes(), version))
        while len(self.waiting) < 2 * self._processes() and (pair := next(self.frames, None)) is not None:
            session = self.session.of_worker()
            self.waiting.append(self.executor.submit(pool.decode, session, self.header, *pair))
        if not self.waiting:
            return None
        data, digest = self.waiting.popleft().result()
        return np.frombuffer(data, np.uint8), digest

    def seek(self, offset: int, whence: int = 0) -> int:
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


class _Encoded(io.RawIOBase):
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


class LmzipFile(io.BufferedIOBase):
    """The original inside an archive, as a binary file: `read`, `peek`, lines, `seek`, or `write`.

    A file opened by name for writing appears whole when it is closed; until then, and if a `with` block is left by an
    exception, what stood there stays as it was.
    """

    def __init__(
        self,
        file: Any,
        mode: str = "rb",
        *,
        limits: Limits | None = None,
        threads: int = 1,
        device: str = "cpu",
        prior_path: str = "",
        session: Session | None = None,
        **options: Any,
    ) -> None:
        """`file`: a path or a binary file, which is not closed with this one; mode: r, w or x, with or without b.

        options: as of EncodeOptions. limits: what reading may cost. threads, device, prior_path: as of Session, or all
        three as a `session`. Raises ValueError for another mode, UsageError, PriorError and TypeError before a file is touched, ArchiveError and
        LimitError for what is read, OSError for the file.
        """
        if mode not in ("r", "rb", "w", "wb", "x", "xb"):
            raise ValueError(f"invalid mode: {mode!r}")
        self.mode = mode[0] + "b"
        self._output: Output | None = None
        self._owned = isinstance(file, (str, bytes, os.PathLike))
        if not self._owned and not hasattr(file, "read" if mode[0] == "r" else "write"):
            raise TypeError(f"file must be a path or a binary file, not {type(file).__name__}")
        session = session or Session(threads, device, prior_path)
        name = os.fspath(file) if self._owned else getattr(file, "name", None)
        if isinstance(name, (str, bytes)):
            self.name = name
        if mode[0] == "r":
            if options:
                raise TypeError(f"options for writing only: {', '.join(options)}")
            self.raw: Any = builtins.open(file, "rb") if self._owned else file  # noqa: SIM115
            try:
                self.buffer: Any = io.BufferedReader(_Decoded(self.raw, limits or Limits(), session))
            except BaseException:
                self._close_raw()
                raise
            return
        chosen = EncodeOptions.of(options)
        header = chosen.header(session)
        code = pack.code(header) if chosen.code else b""
        if self._owned:
            self._output = _output(Path(os.fsdecode(os.path.realpath(file))), new=mode[0] == "x")
        self.raw = self._output.file if self._output else file
        try:
            self.buffer = _Encoded(Sender(self.raw, header, code, Watch(), session=session))
        except BaseException:
            self.discard()
            raise

    def readable(self) -> bool:
        return self.mode == "rb"

    def writable(self) -> bool:
        return self.mode != "rb"

    def seekable(self) -> bool:
        return self.mode == "rb" and self._reader().seekable()

    def fileno(self) -> int:
        return self.raw.fileno()

    def _reader(self) -> Any:
        if self.mode != "rb":
            raise io.UnsupportedOperation("the file is open for writing")
        return self.buffer

    def read(self, size: int | None = -1) -> bytes:
        return self._reader().read(size)

    def read1(self, size: int = -1) -> bytes:
        return self._reader().read1(size)

    def readinto(self, buffer: Any) -> int:
        return self._reader().readinto(buffer)

    def readline(self, size: int | None = -1) -> bytes:
        return self._reader().readline(-1 if size is None else size)

    def peek(self, size: int = 0) -> bytes:
        """Some of what comes next, without moving on."""
        return self._reader().peek(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._reader().seek(offset, whence)

    def tell(self) -> int:
        return self.buffer.tell()

    def write(self, data: Any) -> int:
        """Take bytes. Raises io.UnsupportedOperation where the file is open for reading."""
        if self.mode == "rb":
            raise io.UnsupportedOperation("the file is open for reading")
        return self.buffer.write(data)

    def discard(self) -> None:
        """Close; of what was written to a file opened by name nothing is left, and what stood there before stays."""
        if self.closed:
            return
        try:
            if self.mode == "rb":
                self.buffer.close()
            elif hasattr(self, "buffer"):
                self.buffer.discard()
        finally:
            self._close_raw(keep=False)
            super().close()

    def close(self) -> None:
        if self.closed:
            return
        whole = False
        try:
            self.buffer.close()
            whole = True
        finally:
            self._close_raw(keep=whole)
            super().close()

    def _close_raw(self, keep: bool = True) -> None:
        if self._output is not None and keep:
            with _as_system_errors():
                self._output.publish()
        elif self._output is not None:
            self._output.discard()
        elif self._owned:
            self.raw.close()

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


class _Text(io.TextIOWrapper):
    """Text over an LmzipFile, which an exception keeps from appearing."""

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is not None:
            self.buffer.discard()  # type: ignore[attr-defined]
            with contextlib.suppress(ValueError):  # what waits here can't be written any more
                self.close()
        else:
            self.close()


@contextlib.contextmanager
def _as_system_errors() -> Iterator[None]:
    """What the system refused, as `open` raises it."""
    try:
        yield
    except FileError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise


def _output(path: Path, new: bool) -> Output:
    """The file in the making. Raises FileExistsError if it must be `new` and is there, OSError as `open` does."""
    if path.is_dir():
        raise IsADirectoryError(21, "Is a directory", str(path))
    if new and os.path.lexists(path):
        raise FileExistsError(17, "File exists", str(path))
    with _as_system_errors():
        return Output(path, force=not new)


def open(
    file: Any,
    mode: str = "rb",
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    **options: Any,
) -> Any:
    """Open an archive as `gzip.open` does: modes r, w, x with b (the default) or t; returns an LmzipFile, or text.

    encoding, errors, newline: of text. `options`: see LmzipFile, which says what is raised; ValueError for text's options without t.
    """
    if "t" not in mode:
        if encoding is not None or errors is not None or newline is not None:
            raise ValueError("encoding, errors and newline are for text mode")
        return LmzipFile(file, mode, **options)
    if "b" in mode:
        raise ValueError(f"invalid mode: {mode!r}")
    return _Text(LmzipFile(file, mode.replace("t", "") + "b", **options), encoding, errors, newline)
