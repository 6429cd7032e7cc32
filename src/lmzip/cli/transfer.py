"""From files to files: inputs, outputs that appear whole, announcements, and decoding to wherever."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from .. import pace
from ..codec.message import Header
from ..errors import ArchiveError, FileError, ResumeError, UsageError, system_error
from ..files import Input, Output
from ..ledger import Ledger
from ..limits import MB, Limits, readable_time
from ..progress import Watch, signals
from ..receiver import Receiver
from ..session import Session
from ..survey import Survey
from .console import Console, flush_output, leave_output

LONG = 10.0  # seconds of work from which the expected time is said in advance


@contextlib.contextmanager
def reading(name: str) -> Iterator[Any]:
    """The input of this name, a files.Input that goes for a binary file; - is standard input. Raises FileError."""
    if name == "-":
        yield Input(sys.stdin.buffer, standard=True)
        return
    if os.path.isdir(name):
        new = Path(name).name or "NAME"
        raise FileError(f"it is a directory; pack it first: tar -I lmzip -cf {new}.tar.lmz {name}")
    try:
        file = open(name, "rb")  # noqa: SIM115
    except OSError as error:
        raise system_error(error, "can't read it") from error
    with file:
        yield Input(file)


class Target(NamedTuple):
    """Where a command writes: a name or -, and how."""

    name: str
    force: bool = False
    resume: bool = False
    is_archive: bool = False

    @property
    def is_standard(self) -> bool:
        """Is it standard output?"""
        return self.name == "-"


class Opened(NamedTuple):
    """A target in the making: where to write, where checkpoints go, and the output, if it is a file's."""

    sink: BinaryIO
    snapshot: Path | None = None
    output: Output | None = None


@contextlib.contextmanager
def writing(target: Target, source: Input, console: Console) -> Iterator[Opened]:
    """The output, which gets its name, and the mode and time of `source`, if all goes well.

    Raises UsageError and FileError before anything is written.
    """
    if target.is_standard:
        if target.resume:
            raise UsageError("standard output can't be resumed; name a file with -o")
        if sys.stdout.isatty() and not target.force and target.is_archive:
            raise UsageError("an archive is not for a terminal; redirect it, name a file with -o, or insist with -f")
        try:
            with signals():
                yield Opened(sys.stdout.buffer)
            flush_output()
        except BrokenPipeError:
            raise
        except OSError as error:
            leave_output()
            raise system_error(error, "can't write to standard output") from error
        return
    name, status = target.name, source.status()
    if status and source.size() is not None and os.path.exists(name) and os.path.samestat(os.stat(name), status):
        raise UsageError(f"{name} is the input; name another output with -o")
    output = Output(Path(name), force=target.force, resume=target.resume)
    try:
        with signals():
            yield Opened(output.file, None if output.direct else output.snapshot, output)
            output.publish(None if source.standard else status)
    except ArchiveError:  # there is no going on with this archive
        output.discard()
        raise
    except BaseException as error:
        if output.keep() and not isinstance(error, ResumeError):
            console.can_resume(f"the same command with --resume goes on ({output.part} is kept)")
        if isinstance(error, OSError):
            raise system_error(error, f"can't write {error.filename or name}") from error
        raise


class Nowhere(io.RawIOBase):
    """Takes everything, keeps nothing; or compares it with an original."""

    def __init__(self, original: Any = None) -> None:
        self.original, self.done = original, 0

    def write(self, data: Any) -> int:
        """Take bytes. Raises ArchiveError where they are not the original's."""
        count = len(data)
        if self.original and self.original.read(count) != bytes(data):
            raise ArchiveError(f"the original differs from byte {self.done:,} on, or in the {count:,} bytes after it")
        self.done += count
        return count

    def writable(self) -> bool:
        """Yes."""
        return True


def announce(
    console: Console,
    session: Session,
    header: Header,
    total: int | None,
    processes: int,
    *,
    source: Any = None,
    decoding: bool = False,
) -> None:
    """Before long work: how long, how much. total: bytes that are to be coded; None: nobody knows. source: of them."""
    memory = f"{processes * session.cost(header).memory(total) / MB:,.0f} MB of memory"
    if total is None:
        time = pace.assumed_seconds(header, 10**6, session)
        console.say(f"this takes up to {memory}, and about {time:.0f} s per MB")
    elif (time := pace.seconds(header, total, session, decoding=decoding, source=source)) > LONG or console.verbose:
        console.say(f"this takes about {readable_time(time)} and up to {memory}")


def decode_to(
    source: Any,
    sink: Any,
    limits: Limits,
    session: Session,
    console: Console,
    snapshot: Path | None = None,
    *,
    resume: bool = False,
    every: float = 0.0,
    show: bool = True,
) -> Ledger:
    """Decode to `sink`, with an announcement and a bar; every: seconds between checkpoints. See Receiver.run."""
    bar: Watch = console.bar("decode", every) if show else Watch()
    receiver = Receiver(source, sink, limits, bar, snapshot, session=session)
    header = receiver.header()
    total, coded, frames = lengths(source, session)
    processes = receiver.processes() if header.independent_frames else 1
    if total is not None:
        limits.check_length(session.cost(header), total, coded, frames, source.size() or 0)
    if total is not None or source.size() is None:  # a file without a total is damaged: soon there will be more to say
        announce(console, session, header, None if total is None else coded, processes, decoding=True)
    bar.begin(total)
    try:
        return receiver.run(resume)
    finally:
        bar.close()


def lengths(source: Any, session: Session) -> tuple[int | None, int, int]:
    """Bytes of the original, how many of them are coded, in how many frames, if the source is a whole file."""
    if source.size() is None:
        return None, 0, 0
    place = source.tell()
    try:
        source.seek(0)
        survey = Survey(source, keep=False, session=session)
        return survey.footer.length, survey.coded, survey.coded_frames
    except ArchiveError:  # decoding will tell
        return None, 0, 0
    finally:
        source.seek(place)


def check_outputs(names: list[str], force: bool) -> None:
    """Before long work: do outputs stand in the way of anything, can they be written? Raises UsageError, FileError."""
    if len({Path(name).resolve() for name in names}) < len(names):
        raise UsageError("two outputs have the same name; give each its own")
    for name in names:
        folder = Path(name).resolve().parent
        if Path(name).is_dir():
            raise FileError(f"{name} is a directory; name a file")
        if Path(name).exists() and not force:
            raise FileError(f"{name} exists; add -f to overwrite it, or name another")
        if not folder.is_dir():
            raise FileError(f"can't write {name}: there is no such folder; check the path")
        if not os.access(folder, os.W_OK):
            raise FileError(f"can't write {name}: its folder is not yours to write to; choose another place")
