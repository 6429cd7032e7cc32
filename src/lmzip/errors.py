"""Every error that lmzip raises on purpose. One line each: the cause, then what to do about it.

LmzipError
├── UsageError          the options don't go together                   (exit status 2, all others 1)
│   └── ResumeError     the interrupted run had other options or input; its state is kept
├── FileError           a file can't be read or written, or stands in the way
├── LimitError          the archive asks for more memory, output or work than allowed
├── PriorError          a prior is damaged, of another version, or for other settings
│   └── MissingPrior    nobody here has it
├── Interrupted         Ctrl-C or SIGTERM; what was done so far can be resumed
└── ArchiveError        the archive can't be rebuilt
    ├── NotAnArchive    it isn't one
    ├── VersionError    it is of another format version
    ├── DamageError     it isn't what the sender wrote
    └── ArithmeticDiffers   it is, but this machine computes something else
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .codec import message


class LmzipError(Exception):
    """The base of them all."""


class UsageError(LmzipError):
    """The options don't go together."""


class ResumeError(UsageError):
    """What an interrupted run left can't be taken up by this one; it stays where it is."""


class FileError(LmzipError):
    """A file can't be read or written, or stands in the way."""


class LimitError(LmzipError):
    """More memory, output or work than the limits allow."""


class PriorError(LmzipError):
    """A prior can't be used: damaged, no prior at all, of another version, or for other settings."""


class MissingPrior(PriorError):
    """A prior can't be found."""


class Interrupted(LmzipError):
    """Stopped by a signal; the work so far is kept."""


class ArchiveError(LmzipError, ValueError):
    """The archive can't be rebuilt."""


class NotAnArchive(ArchiveError):
    """The bytes don't begin as an lmzip archive does."""


class VersionError(ArchiveError):
    """The archive is of a format version that this lmzip doesn't read."""


class DamageError(ArchiveError):
    """The archive isn't what the sender wrote."""


class ArithmeticDiffers(ArchiveError):
    """This machine's predictor computes something else than the sender's."""


_RAISED_FOR = {
    message.MessageError: (NotAnArchive, "give a file that lmzip wrote"),
    message.VersionError: (VersionError, "get a newer lmzip"),
    message.DamageError: (
        DamageError,
        "get it again from its source, or save what is left with lmzip decode --keep-going",
    ),
    message.ArithmeticDiffers: (
        ArithmeticDiffers,
        "the archive itself is whole: decode it on another machine, and please report this one",
    ),
}


@contextmanager
def archive_errors(where: Callable[[], str] = str) -> Iterator[None]:
    """Inside, whatever MessageError the codec raises becomes one of the errors above. `where`: what damage concerns."""
    try:
        yield
    except message.MessageError as error:
        kind, remedy = _RAISED_FOR[type(error)]
        place = where() if kind is DamageError else ""
        raise kind("; ".join(filter(None, (str(error), place, remedy)))) from error


def system_error(error: OSError, doing: str) -> FileError:
    """One line for what the operating system refused while `doing`."""
    remedies = {
        "FileNotFoundError": "check the path",
        "PermissionError": "check the rights, or choose another place with -o",
        "IsADirectoryError": "pack it first: tar -I lmzip -cf NAME.tar.lmz DIR",
    }
    remedy = remedies.get(type(error).__name__, "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some space, or choose another place with -o"
    if error.errno == errno.ENAMETOOLONG:
        remedy = "choose a shorter one with -o"
    reason = error.strerror or str(error) or type(error).__name__
    return FileError(f"{doing}: {reason}" + (f"; {remedy}" if remedy else ""))
