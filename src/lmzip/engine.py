"""The predictor, loaded when it is first needed: torch and numba are no part of `lmzip --help` or `lmzip list`."""

from __future__ import annotations

from typing import Any

from .codec.message import Header
from .errors import ArchiveError, LimitError, UsageError

HELD = 1 << 24  # bytes that may wait for a predictor to come into being
_threads = 1


def set_threads(count: int) -> None:
    """Threads for the arithmetic of one process; no choice changes a bit of the result."""
    global _threads
    _threads = count


def load() -> Any:
    """The class `Lockstep`."""
    from .codec.cache import load_lockstep

    return load_lockstep()


def lockstep(header: Header) -> Any:
    """A predictor at its beginning."""
    try:
        kind = load()
        if header.model is not None:
            import torch

            torch.set_num_threads(_threads)
        return kind(header)
    except ValueError as error:
        raise ArchiveError(f"the settings don't go together: {error}; make the archive anew") from error
    except MemoryError:
        raise _no_memory() from None
    except ImportError as error:
        raise LimitError(f"can't load what computes: {error}; is there enough memory, and is it installed?") from error
    except RuntimeError as error:
        if "memory" in str(error) or "allocate" in str(error):
            raise _no_memory() from None
        if "NUMBA_DISABLE_JIT" in str(error):
            raise UsageError(str(error)) from None
        raise


def _no_memory() -> LimitError:
    return LimitError("there is not enough memory for these settings; choose a smaller preset, or free some")


class Predictor:
    """A Lockstep that comes into being when a frame is first coded: stored frames alone never need one."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._skipped: list[Any] = []  # arrays of bytes that were stored, HELD bytes at most
        self._lockstep: Any = None

    def skip(self, data: Any) -> None:
        if self._lockstep is None and len(data) + sum(map(len, self._skipped)) <= HELD:
            self._skipped.append(data)
        else:
            self._get().skip(data)

    def _get(self) -> Any:
        if self._lockstep is None:
            self._lockstep = lockstep(self.header)
            for data in self._skipped:
                self._lockstep.skip(data)
            self._skipped.clear()
        return self._lockstep

    def __getattr__(self, name: str) -> Any:
        return getattr(self._get(), name)
