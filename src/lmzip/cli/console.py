"""What a command says, asks and counts."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import Interrupted, LmzipError, UsageError, system_error
from ..progress import Bar
from ..text import printable

LEFT = 128 + getattr(signal, "SIGPIPE", 13)  # status of whom a reader has left, as shells give it to gzip, xz and cat


class Console:
    """One command's way to whoever started it. Results go to standard output, all else to standard error.

    quiet: how often -q was given; from once on, nothing but errors is said. verbose: how often -v was. words: the
    command line, as it was typed.
    """

    def __init__(self, quiet: int = 0, verbose: int = 0, words: Sequence[str] = ()) -> None:
        self.quiet, self.verbose, self.words = quiet, verbose, list(words)
        self.status = 0  # the highest so far
        self.stopped = False  # shall the remaining files be left alone?
        self._resumable = ""  # how to go on, where something was left to go on from

    def say(self, text: str) -> None:
        """A remark."""
        if not self.quiet:
            if "tqdm" in sys.modules:  # above a bar, if there is one
                sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
            else:
                print(text, file=sys.stderr)

    def show(self, text: str) -> None:
        """A result."""
        print(text)

    def warn(self, text: str, name: str = "") -> None:
        """An error about the file `name`, in one line, however quiet."""
        print(printable(f"lmzip: {name}: " if name else "lmzip: ") + printable(" ".join(text.split())), file=sys.stderr)

    def bar(self, name: str, every: float = 0.0) -> Bar:
        """A bar, shown on a terminal; `every` so many seconds it asks for a checkpoint, 0: never."""
        return Bar(Path(name).name, show=not self.quiet and sys.stderr.isatty(), every=every)

    def can_resume(self, how: str) -> None:
        """Something is left to go on from: the error that follows says how."""
        self._resumable = how

    def each(self, names: Sequence[str], do: Callable[[str], None]) -> None:
        """`do` for every file, or for standard input if there is none.

        An error doesn't stop the rest, an interruption does.
        """
        for name in names or ["-"]:
            with self.failures("" if name == "-" else name):
                do(name)
            if self.stopped:
                break

    @contextlib.contextmanager
    def failures(self, name: str = "") -> Iterator[None]:
        """One line for every error, with `name` before it, and its status; a traceback with -v."""
        self._resumable = ""
        try:
            yield
            return
        except BrokenPipeError:  # whoever read it has seen enough: nothing to say, but scripts must know
            leave_output()
            self.status, self.stopped = max(self.status, LEFT), True
            return
        except UsageError as error:
            status, text = 2, str(error)
        except LmzipError as error:
            status, text = 130 if isinstance(error, Interrupted) else 1, str(error)
        except KeyboardInterrupt:
            status, text = 130, "interrupted"
        except OSError as error:
            status, text = 1, str(system_error(error, str(error.filename or "input or output")))
        except MemoryError:
            status, text = 1, "there is not enough memory; choose a smaller preset, or free some"
        except Exception as error:
            status = 1
            text = f"internal error, please report it with what -v says: {type(error).__name__}: {error}"
        if self.verbose:
            traceback.print_exc()
        self.status = max(self.status, status)
        self.stopped |= status == 130
        self.warn("; ".join(filter(None, (text, self._resumable))), name)


def flush_output() -> None:
    """Errors of standard output show now, not at exit. Raises BrokenPipeError or FileError."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        leave_output()
        raise system_error(error, "can't write to standard output") from error


def leave_output() -> None:
    """Standard output takes no more: Python must not try again, and complain, at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_what_is_closed() -> None:
    """Standard streams that whoever started us has closed: the next file to be opened would take their place.

    The null device instead, the wrong way round for input and output: using what isn't there is an error.
    """
    streams = (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
    for number, (name, mode, flags) in enumerate(streams):
        if getattr(sys, name) is None:
            if (opened := os.open(os.devnull, flags)) != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, mode, errors="backslashreplace"))  # noqa: SIM115
