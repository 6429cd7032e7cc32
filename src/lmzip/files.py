"""Inputs that say when it is they that fail; outputs that appear whole or not at all, renamed when they are whole."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Any, BinaryIO

from . import checkpoint
from .errors import FileError, system_error

SUFFIX = ".lmz"
HOLE = 1 << 16  # bytes: what is nothing but zeros from one multiple of this to the next takes no place on the disk
_ZEROS = bytes(HOLE)


class Input:
    """A binary file whose errors of reading are FileErrors, so that nobody takes them for the output's."""

    def __init__(self, file: Any, *, standard: bool = False) -> None:
        """`standard`: it is standard input, which hands no mode and no time on to outputs."""
        self._file, self.standard = file, standard

    def status(self) -> os.stat_result | None:
        """What the system knows of the file."""
        with contextlib.suppress(OSError, ValueError):
            return os.fstat(self._file.fileno())
        return None

    def size(self) -> int | None:
        """Its size if it is a regular file."""
        status = self.status()
        return status.st_size if status and stat.S_ISREG(status.st_mode) else None

    def read(self, size: int = -1) -> bytes:
        """Bytes, fewer than `size` only at the end. Raises FileError."""
        try:
            return self._file.read(size)
        except OSError as error:
            raise system_error(error, "can't read it to its end") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Output:
    """The file `target` in the making. It is `file` until `publish`; `discard` or `keep` if it comes to nothing."""

    def __init__(self, target: Path, *, force: bool = False, resume: bool = False) -> None:
        """Raises FileError where something stands in the way, or nothing can be written."""
        self.target, self.force = target, force
        self.part, self.snapshot = self._unfinished(target)
        self.direct = _is_special(target)
        self._refuse(target, force, resume)
        if self.snapshot.exists() and not os.path.lexists(self.part):  # killed between getting its name and tidying up
            checkpoint.remove(self.snapshot)
        try:
            if self.direct:
                self.file: BinaryIO = open(target, "wb")  # noqa: SIM115
                return
            self.file = self._open(fresh=not resume or not self.snapshot.exists())
        except OSError as error:
            raise system_error(error, f"can't write {target}") from error

    @staticmethod
    def _unfinished(target: Path) -> tuple[Path, Path]:
        """The names of the unfinished output and of its checkpoint."""
        return target.with_name(target.name + ".lmzip-part"), target.with_name(target.name + ".lmzip-state")

    @classmethod
    def _refuse(cls, target: Path, force: bool, resume: bool) -> None:
        if target.is_dir():
            raise FileError(f"{target} is a directory; name a file with -o")
        if os.path.lexists(target) and not (_is_special(target) or force):
            raise FileError(f"{target} exists; add -f to overwrite it, or name another with -o")
        if cls.can_resume(target) and not (force or resume):
            raise FileError(
                f"{cls._unfinished(target)[1]} is from an interrupted run; add --resume to go on, or -f to begin again"
            )

    @classmethod
    def check(cls, target: Path, *, force: bool = False, resume: bool = False, need: int = 0) -> None:
        """Before long work: what is known to keep `target` from being written, with `need` bytes. Touches nothing.

        Raises FileError.
        """
        cls._refuse(target, force, resume)
        if not _is_special(target):
            check_folder(target, need)

    @classmethod
    def can_resume(cls, target: Path) -> bool:
        """Did an interrupted run leave `target` unfinished, with a checkpoint?"""
        part, snapshot = cls._unfinished(target)
        return snapshot.exists() and os.path.lexists(part)

    @classmethod
    def begun(cls, target: Path) -> bytes:
        """The first bytes of what an interrupted run left for `target`."""
        with contextlib.suppress(OSError), open(cls._unfinished(target)[0], "rb") as file:
            return file.read(1024)
        return b""

    def _open(self, fresh: bool) -> BinaryIO:
        """The unfinished output. What an earlier run left is replaced, not emptied: who knows whose it really is."""
        if fresh:
            with contextlib.suppress(FileNotFoundError), self._locked(0):
                os.unlink(self.part)
            checkpoint.remove(self.snapshot)
        return self._locked(os.O_CREAT | os.O_EXCL if fresh else 0)

    def _locked(self, flags: int) -> BinaryIO:
        """Two runs that write the same output would spoil each other's work."""
        flags |= os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        file = os.fdopen(os.open(self.part, flags, 0o600), "r+b")
        with contextlib.suppress(ImportError):
            import fcntl  # platform: not on Windows

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(file.fileno()), os.stat(self.part)):
                    return file
            except (BlockingIOError, FileNotFoundError):
                pass
            except OSError:  # a file system without locks
                return file
            file.close()
            raise FileError(f"another lmzip is writing {self.target}; wait for it, or stop it")
        return file

    def publish(self, like: os.stat_result | None = None) -> None:
        """Give the file its name, with the mode and the time of change of `like`, or as any new file has them.

        Raises FileError.
        """
        try:
            self.file.flush()
            if self.direct:
                self.file.close()
                return
            os.fsync(self.file.fileno())
            self._dress(like)
            if self.force:
                os.replace(self.part, self.target)
            else:
                self._rename_to_new()
            self.file.close()  # and with it the lock
            checkpoint.sync_folder(self.target)
        except OSError as error:
            raise system_error(error, f"can't write {self.target}") from error
        with contextlib.suppress(OSError):
            checkpoint.remove(self.snapshot)

    def _dress(self, like: os.stat_result | None) -> None:
        """Owner, group, mode and times as far as the file system and our rights allow: no reason to lose the file."""
        if like is None or not stat.S_ISREG(like.st_mode):
            mask = os.umask(0)
            os.umask(mask)
            with contextlib.suppress(OSError):
                os.chmod(self.part, 0o666 & ~mask)
            return
        mode = like.st_mode & 0o777
        if hasattr(os, "chown"):
            with contextlib.suppress(OSError):  # only root gives files away
                os.chown(self.part, like.st_uid, -1)
            try:
                os.chown(self.part, -1, like.st_gid)
            except OSError:  # our group may do what it and all others might, no more
                both = mode >> 3 & mode & 0o007
                mode = mode & 0o700 | both << 3 | both
        with contextlib.suppress(OSError):
            os.chmod(self.part, mode)
        with contextlib.suppress(OSError):
            os.utime(self.part, ns=(like.st_atime_ns, like.st_mtime_ns))

    def _rename_to_new(self) -> None:
        """Never onto a file that came into being meanwhile."""
        try:
            os.link(self.part, self.target)
        except FileExistsError:
            raise FileError(f"{self.target} has come into being meanwhile; add -f to overwrite it") from None
        except OSError:  # no hard links here
            if os.path.lexists(self.target):
                raise FileError(f"{self.target} has come into being meanwhile; add -f to overwrite it") from None
            os.rename(self.part, self.target)
            return
        os.unlink(self.part)

    def keep(self) -> bool:
        """Leave what there is for --resume, if there is a checkpoint; was there one?"""
        if self.direct or not self.snapshot.exists():
            self.discard()
            return False
        with contextlib.suppress(OSError):  # a full disk; the checkpoint knows how much of it is good
            self.file.close()
        return True

    def discard(self) -> None:
        """Leave nothing."""
        with contextlib.suppress(OSError):
            self.file.close()
        if not self.direct:
            with contextlib.suppress(OSError):
                self.part.unlink(missing_ok=True)
                checkpoint.remove(self.snapshot)


def _is_special(path: Path) -> bool:
    """Is this something that is written to as it is, such as /dev/null or a fifo?"""
    return path.exists() and not path.is_file() and not path.is_dir()


def check_folder(path: Path, need: int = 0) -> None:
    """Can a file of `need` bytes be made under this name, as far as its folder goes?

    Raises FileError, from a NotADirectoryError, a PermissionError or what else the system says.
    """
    folder = path.parent
    try:
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        free = shutil.disk_usage(folder).free if need else 0
    except OSError as error:
        raise system_error(error, f"can't write {path}") from error
    if free < need:
        raise FileError(
            f"{path} may take {need:,} bytes, and {free:,} are free there; free some, or choose another place with -o"
        )


class Sparse:
    """A regular file, written from here on, that has holes where there is nothing but zeros.

    A hole at the end waits until more is written, or for `flush`, which gives the file its length.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hole = file, 0  # bytes of zeros not yet written
        self._position = file.tell()

    @staticmethod
    def suits(file: BinaryIO) -> bool:
        """Is there nothing behind this place that holes would leave as it is, and does writing go on at this place?"""
        try:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return False
            import fcntl  # platform: not on Windows

            appends = fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND
            return not appends and file.tell() >= status.st_size
        except (ImportError, OSError, ValueError):
            return False

    def write(self, data: Any) -> int:
        """Write all of it here."""
        rest = memoryview(data).cast("B")
        count = len(rest)
        while rest:
            size = HOLE - self._position % HOLE
            part, rest = rest[:size].tobytes(), rest[size:]
            if part == _ZEROS[: len(part)]:
                self._hole += len(part)
            else:
                self._skip()
                self._file.write(part)
            self._position += len(part)
        return count

    def _skip(self) -> None:
        if self._hole:
            self._file.seek(self._position)
            self._hole = 0

    def flush(self) -> None:
        """Hand everything to the system, the length of a hole at the end too."""
        if self._hole:
            self._skip()
            self._file.truncate(self._position)
        self._file.flush()

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file."""
        self.flush()
        self._position = self._file.seek(offset, whence)
        return self._position

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._position

    def truncate(self, size: int | None = None) -> int:
        """Give the file a length, this place if no other is named."""
        self.flush()
        return self._file.truncate(self._position if size is None else size)

    def fileno(self) -> int:
        """The system's number of the file."""
        return self._file.fileno()


def create(path: Path, *, force: bool = False) -> BinaryIO:
    """A new file under this very name: not through a link, and over another only with `force`. Raises FileError."""
    try:
        if force:
            path.unlink(missing_ok=True)
        return open(path, "xb")
    except OSError as error:
        raise system_error(error, f"can't write {path}") from error
