"""From files to files: inputs, outputs that appear whole, announcements, and decoding to wherever."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .. import compilation, pace
from ..codec.message import Header
from ..errors import ArchiveError, FileError, ResumeError, UsageError, system_error
from ..files import Input, Output, Sparse
from ..ledger import Ledger
from ..limits import MB, Limits, readable_time
from ..progress import Watch, signals
from ..receiver import Receiver
from ..session import Session
from ..survey import Survey
from .console import Console, flush_output, leave_output
from .inputs import reading

LONG = 10.0  # seconds of work from which the expected time is said in advance


def check_inputs(names: Iterable[str]) -> int:
    """Before long work: can all these files be read? How many bytes they have, pipes apart. Raises FileError."""
    total = 0
    for name in names:
        if name == "-" or (os.path.exists(name) and not os.path.isfile(name) and not os.path.isdir(name)):
            continue  # a pipe, which is opened but once
        try:
            with reading(name) as file:
                total += file.size() or 0
        except FileError as error:
            raise FileError(f"{name}: {error}") from error
    return total


class Target(NamedTuple):
    """Where a command writes: a name or -, and how."""

    name: str
    force: bool = False
    resume: bool = False
    is_archive: bool = False
    sparse: bool = False  # may runs of zeros become holes?

    @property
    def is_standard(self) -> bool:
        """Is it standard output?"""
        return self.name == "-"


class Opened(NamedTuple):
    """A target in the making: where to write, where checkpoints go, and the output, if it is a file's."""

    sink: Any  # a binary file for writing
    snapshot: Path | None = None
    output: Output | None = None


def check(target: Target, source: Input) -> None:
    """Before long work: what is known to keep the target from being written. Raises UsageError, FileError."""
    if target.is_standard:
        if target.resume:
            raise UsageError("standard output can't be resumed; name a file with -o")
        if sys.stdout.isatty() and not target.force and target.is_archive:
            raise UsageError("an archive is not for a terminal; redirect it, name a file with -o, or insist with -f")
        return
    name, status = target.name, source.status()
    if status and source.size() is not None and os.path.exists(name) and os.path.samestat(os.stat(name), status):
        raise UsageError(f"{name} is the input; name another output with -o")
    Output.check(Path(name), force=target.force, resume=target.resume)


@contextlib.contextmanager
def writing(target: Target, source: Input, console: Console) -> Iterator[Opened]:
    """The output, which gets its name, and the mode and time of `source`, if all goes well.

    Raises UsageError and FileError before anything is written.
    """
    check(target, source)
    if target.is_standard:
        plain = sys.stdout.buffer
        sink = Sparse(plain) if target.sparse and Sparse.suits(plain) else plain
        try:
            with signals():
                try:
                    yield Opened(sink)
                finally:
                    if sink is not plain:
                        sink.flush()  # a hole at the end is part of what was decoded
            flush_output()
        except BrokenPipeError:
            raise
        except OSError as error:
            leave_output()
            raise system_error(error, "can't write to standard output") from error
        return
    name, status = target.name, source.status()
    output = Output(Path(name), force=target.force, resume=target.resume)
    try:
        with signals():
            sink = Sparse(output.file) if target.sparse and not output.direct else output.file
            yield Opened(sink, None if output.direct else output.snapshot, output)
            sink.flush()
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
    *,
    decoding: bool = False,
    source: Any = None,
) -> None:
    """Before long work: how long, how much. total: bytes that are to be coded; None: nobody knows.

    source: what is to be encoded, if it can be looked at: a bit of it is coded to see its pace.
    """
    cost, processes = session.cost(header), session.processes(header, total or 1 << 60)
    memory = f"{processes * cost.memory(total) / MB:,.0f} MB of memory"
    if source is not None and source.size() is None:
        source = None
    time = pace.seconds(header, 10**6 if total is None else total, session, decoding=decoding, source=source)
    if total is None:
        console.say(f"this takes up to {memory}, and about {time:.0f} s per MB")
    elif time > LONG or console.verbose:
        console.say(f"this takes about {readable_time(time)} and up to {memory}")
    if processes > 1 and not compilation.are_there(header):  # the processes will compile them, and say nothing
        console.say(compilation.NOTICE)


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
    total, coded = expected(receiver, source)
    if total is not None or source.size() is None:  # a file without a total is damaged: soon there will be more to say
        announce(console, session, header, coded, decoding=True)
    bar.begin(total)
    try:
        return receiver.run(resume)
    finally:
        bar.close()


def expected(receiver: Receiver, source: Any) -> tuple[int | None, int | None]:
    """Bytes that decoding a file will give, and how many of them are coded; None: a pipe, or damaged.

    The header has been read. Raises LimitError if it is too much.
    """
    total, coded, frames = lengths(source, receiver.session)
    if total is None:
        return None, None
    receiver.limits.check_length(receiver.session.cost(receiver.header()), total, coded, frames, source.size() or 0)
    return total, coded


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


@contextlib.contextmanager
def writing_together(names: list[str], force: bool) -> Iterator[dict[str, Output]]:
    """Outputs that get their names together, once all are written, or not at all.

    Raises UsageError and FileError before there is anything to write.
    """
    if len({Path(name).resolve() for name in names}) < len(names):
        raise UsageError("two outputs have the same name; give each its own")
    there = {name for name in names if os.path.lexists(name)}
    outputs: dict[str, Output] = {}
    published = []
    try:
        for name in names:
            outputs[name] = Output(Path(name), force=force)
        yield outputs
        for name, output in outputs.items():
            output.publish()
            published.append(name)
    except BaseException:
        for name, output in outputs.items():
            output.discard()
            if name in published and name not in there:  # the retry must find nothing in its way
                output.target.unlink(missing_ok=True)
        raise
