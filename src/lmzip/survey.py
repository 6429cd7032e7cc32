"""An archive's heads, read without decoding: its header in whatever format version, its frames, its ledger."""

from __future__ import annotations

from typing import Any, BinaryIO

from . import released
from .codec import message
from .codec.message import CHUNK, CODED, Footer, Frame, Header, Reader, VersionError
from .errors import archive_errors
from .ledger import Ledger
from .limits import Limits
from .session import Session


class _Replayed:
    """A stream, and before it what was taken from it already."""

    def __init__(self, taken: bytes, stream: BinaryIO) -> None:
        self.taken, self.stream = taken, stream

    def read(self, count: int) -> bytes:
        part, self.taken = self.taken[:count], self.taken[count:]
        return part or self.stream.read(count)

    def seek(self, place: int) -> None:
        self.taken = b""
        self.stream.seek(place)


def read_header(reader: Reader) -> Any:
    """Read the header: returns the reader, or where the version is older one of the codec released with that.

    Raises the codec's MessageError, VersionError where nobody knows the version.
    """
    try:
        reader.read_header()
    except VersionError as error:
        number = reader.taken[4:]  # behind the magic
        version = sum((byte & 127) << 7 * i for i, byte in enumerate(number))
        try:
            older = released.part(version, "message")
        except VersionError:
            raise error from None
        reader = older.Reader(_Replayed(bytes(reader.taken), reader.stream))
        reader.read_header()
    return reader


class Survey:
    """An archive's heads, read without decoding: what `info` and `list` show."""

    def __init__(self, file: BinaryIO, *, keep: bool = True, limits: Limits | None = None, session: Session) -> None:
        """`keep`: remember every frame and where its payload begins, not just the totals; within `limits`.

        Raises ArchiveError, LimitError.
        """
        self.session = session
        self.frames: list[Frame] = []
        self.offsets: list[int] = []
        self.coded = self.coded_frames = self.transcript = 0
        with archive_errors():
            reader = read_header(Reader(file))
            self.header: Header = reader.header
            cost = session.cost(self.header) if limits else None
            end = file.seek(0, 2) if file.seekable() else None
            if end is not None:
                file.seek(reader.position)
            while frame := reader.read_frame():
                if frame.kind == CODED:
                    self.coded += frame.length
                    self.coded_frames += 1
                self.transcript += frame.size
                if limits and cost:
                    limits.check_frame(cost, frame.number, frame.size, 600)
                if keep:
                    self.frames.append(frame)
                    self.offsets.append(reader.position)
                _skip(reader, file, frame.size, end)
            self.footer: Footer = reader.parse_footer(len(reader.sizes))
            reader.compare_totals()
            self.code = reader.read_code()
            self.size = reader.position

    def ledger(self) -> Ledger:
        """The ledger, as far as the heads tell it: without the shares of the mix's parts."""
        return Ledger.of(self.footer, self.transcript, self.size, self.session.charges(self.header))


def _skip(reader: Reader, file: BinaryIO, size: int, end: int | None) -> None:
    """Go on behind a payload of `size` bytes in `file`, which ends at `end`; None: it is a pipe."""
    if end is None:
        while size:
            size -= len(reader.read(min(size, CHUNK)))
        return
    reader.position += size
    if reader.position > end:
        raise message.DamageError(f"the archive ends early, at byte {end}")
    file.seek(reader.position)
