"""`lmzip.open`: archives as file objects, like `gzip.open`."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from . import engine, pack, presets
from .codec.message import CODED, Frame
from .errors import archive_errors
from .limits import Limits
from .prior.store import archive_header
from .progress import Watch
from .receiver import Receiver, Survey
from .sender import Sender, encode_frame


class _Decoded(io.RawIOBase):
    """The original behind an archive. Seeks to a frame when they are independent, else by decoding from the start."""

    def __init__(self, source: BinaryIO, limits: Limits) -> None:
        self.source, self.limits = source, limits
        self.at = 0
        self.survey: Survey | None = None
        self._restart()

    def _restart(self) -> None:
        self.receiver = Receiver(self.source, io.BytesIO(), self.limits, Watch())
        self.frames = self.receiver.frames()
        self.state = engine.Predictor(self.receiver.header())
        self.data, self.start = np.zeros(0, np.uint8), 0  # the frame at hand, and where it begins

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.source.seekable()

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
            try:
                frame, payload = next(self.frames)
            except StopIteration:
                return False
            if self.receiver.header().independent_frames:
                self.state = engine.Predictor(self.receiver.header())
            data, digest = self.receiver.codec.rebuild(self.state, frame, payload)
            self.receiver.reader.leaves += digest
        self.start += len(self.data)
        self.data = data
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 1:
            offset += self.at
        if whence == 2:
            offset += self._survey().footer.length
        if offset < 0:
            raise ValueError("negative seek position")
        if self.receiver.header().independent_frames:
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
            self.survey = Survey(self.source, limits=self.limits)
            self.source.seek(place)
        return self.survey

    def _fetch(self, offset: int) -> None:
        """Go to the frame that holds this byte of the original."""
        survey = self._survey()
        size = survey.header.frame_size
        index = min(offset // size, len(survey.frames))
        if index == len(survey.frames):
            self.frames, self.data, self.start = iter(()), np.zeros(0, np.uint8), offset
            return
        self.frames = self._from(survey, index)
        self.data, self.start = np.zeros(0, np.uint8), index * size

    def _from(self, survey: Survey, index: int) -> Iterator[tuple[Frame, bytes]]:
        """The frames from this one on, within the limits for what is read from here on."""
        header, length, coded, coded_frames = survey.header, 0, 0, 0
        for frame, place in islice(zip(survey.frames, survey.offsets, strict=True), index, None):
            self.limits.check_frame(header, frame.number, frame.size)
            length += frame.length
            if frame.kind == CODED:
                coded += frame.length
                coded_frames += 1
            self.limits.check_length(header, length, coded, coded_frames, survey.size)
            self.source.seek(place)
            payload = self.source.read(frame.size)
            frame.check_payload(payload)
            yield frame, payload


class _Encoded(io.RawIOBase):
    """What is written becomes an archive; closing it ends it."""

    def __init__(self, sink: BinaryIO, options: dict[str, Any]) -> None:
        with_code = options.pop("code", True)
        header = archive_header(**{"frame_size": presets.FRAME_SIZE, "independent_frames": False} | options)
        self.sink = sink
        self.sender = Sender(sink, header, pack.code(header) if with_code else b"", Watch())
        self.sender.write(self.sender.header.pack())
        self.pending = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.closed:
            raise ValueError("the file is closed")
        self.pending += data
        while len(self.pending) > self.sender.header.frame_size:  # one byte more: so it isn't the last
            self._frame(last=False)
        return len(memoryview(data).cast("B"))

    def _frame(self, last: bool) -> None:
        sender, size = self.sender, self.sender.header.frame_size
        if sender.header.independent_frames:
            sender.state = engine.Predictor(sender.header)
        block = bytes(self.pending[:size])
        alone = last or sender.header.independent_frames
        sender.add(encode_frame(sender.header, len(sender.sizes), block, alone, sender.state))
        del self.pending[:size]

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self.pending:
                self._frame(last=True)
            self.sender.finish()
        finally:
            super().close()


class LmzipFile(io.BufferedIOBase):
    """The original inside an archive, as a binary file: `read`, `peek`, lines, `seek`, or `write`."""

    def __init__(
        self, file: Any, mode: str = "rb", *, limits: Limits | None = None, prior_path: str = "", **options: Any
    ) -> None:
        """`file`: a path or a binary file; `options` as of `lmzip.compress`. Closes what it opened."""
        if mode not in ("r", "rb", "w", "wb", "x", "xb"):
            raise ValueError(f"invalid mode: {mode!r}")
        self.mode = mode[0] + "b"
        self.owned = isinstance(file, (str, bytes, os.PathLike))
        self.raw: Any = builtins.open(file, self.mode) if self.owned else file  # noqa: SIM115
        raw: Any = self.raw
        try:
            if mode[0] == "r":
                if options:
                    raise TypeError(f"options for writing only: {', '.join(options)}")
                engine.set_prior_path(prior_path)
                self.buffer: Any = io.BufferedReader(_Decoded(raw, limits or Limits()))
            else:
                self.buffer = _Encoded(raw, options | {"prior_path": prior_path})
        except BaseException:
            if self.owned:
                self.raw.close()
            raise

    def readable(self) -> bool:
        return self.mode == "rb"

    def writable(self) -> bool:
        return self.mode != "rb"

    def seekable(self) -> bool:
        return self.mode == "rb" and self.raw.seekable()

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
        return self._reader().peek(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._reader().seek(offset, whence)

    def tell(self) -> int:
        return self.buffer.tell() if self.mode == "rb" else self.buffer.sender.length + len(self.buffer.pending)

    def write(self, data: Any) -> int:
        if self.mode == "rb":
            raise io.UnsupportedOperation("the file is open for reading")
        return self.buffer.write(data)

    def close(self) -> None:
        if self.closed:
            return
        try:
            self.buffer.close()
        finally:
            if self.owned:
                self.raw.close()
            super().close()


def open(
    file: Any,
    mode: str = "rb",
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    **options: Any,
) -> Any:
    """Open an archive as `gzip.open` does: modes r, w, x with b (the default) or t. `options`: see `compress`."""
    if "t" not in mode:
        if encoding is not None or errors is not None or newline is not None:
            raise ValueError("encoding, errors and newline are for text mode")
        return LmzipFile(file, mode, **options)
    if "b" in mode:
        raise ValueError(f"invalid mode: {mode!r}")
    return io.TextIOWrapper(LmzipFile(file, mode.replace("t", "") + "b", **options), encoding, errors, newline)
