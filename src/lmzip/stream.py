"""`lmzip.open`: archives as file objects, like `gzip.open`, but that a file appears whole or not at all."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import pack
from .decoded import Decoded
from .encoded import Encoded
from .errors import FileError
from .files import Output
from .limits import Limits
from .options import EncodeOptions
from .progress import Watch
from .sender import Sender
from .session import Session


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
        three as a `session`. Raises, before a file is touched, ValueError for another mode, TypeError for what is no
        file and for options that there aren't, UsageError and PriorError; then ArchiveError and LimitError for what is
        read, OSError for the file.
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
                self.buffer: Any = io.BufferedReader(Decoded(self.raw, limits or Limits(), session))
            except BaseException:
                self._close_raw()
                raise
            return
        chosen = EncodeOptions.of(options)
        header = chosen.header(session)
        code = pack.code(header) if chosen.code else b""
        if self._owned:
            path = Path(os.fsdecode(os.path.realpath(file)))
            self._mode = stat.S_IMODE(path.stat().st_mode) if path.is_file() else None
            self._output = _output(path, new=mode[0] == "x")
        self.raw = self._output.file if self._output else file
        try:
            self.buffer = Encoded(Sender(self.raw, header, code, Watch(), session=session))
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
            if self._mode is not None:
                with contextlib.suppress(OSError):
                    os.chmod(self._output.target, self._mode)
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
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if new and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
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

    encoding, errors, newline: of text. `options`: see LmzipFile. Raises ValueError for options of text without t, and
    what LmzipFile raises.
    """
    if "t" not in mode:
        if encoding is not None or errors is not None or newline is not None:
            raise ValueError("encoding, errors and newline are for text mode")
        return LmzipFile(file, mode, **options)
    if "b" in mode:
        raise ValueError(f"invalid mode: {mode!r}")
    return _Text(LmzipFile(file, mode.replace("t", "") + "b", **options), encoding, errors, newline)
