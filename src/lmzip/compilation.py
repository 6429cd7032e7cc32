"""What numba compiles for this machine, once: heard of when it happens, and said."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from .codec.message import Header

NOTICE = "compiling kernels for this machine, once: it takes up to a minute"
PAUSE = 5.0  # seconds without compilation, after which it is said again


class _Listener:
    """Hears of every kernel that numba compiles in this process, and has it said."""

    def __init__(self) -> None:
        from numba.core import event  # start-up: loads numba

        self.say: Callable[[str], None] | None = None
        self.count = self._depth = 0  # kernels compiled so far; those being compiled, one within the other
        self._last = -PAUSE
        event.Listener.register(_Listener)
        event.register("numba:compile", self)

    def notify(self, event: Any) -> None:
        """A kernel begins or ends to be compiled, by numba's word."""
        if event.is_start:
            if self.say and not self._depth and time.monotonic() - self._last > PAUSE:
                self.say(NOTICE)
            self._depth += 1
            self.count += 1
        else:
            self._depth -= 1
            self._last = time.monotonic()


@cache
def _listener() -> _Listener:
    return _Listener()


def announce(say: Callable[[str], None] | None) -> None:
    """From now on `say` is told, in a line, before this process compiles kernels; loads numba."""
    _listener().say = say


def count() -> int:
    """Kernels that this process has compiled since this was first called; loads numba."""
    return _listener().count


def are_there(header: Header) -> bool:
    """Are the large kernels there already by which a predictor of our own begins under this header? Loads numba."""
    from .codec.cache import kernel_folder  # start-up: loads numba

    kind = "learner.train" if header.model is not None else "experts._code_segment"
    return header.prior is not None or any(Path(kernel_folder()).rglob(f"{kind}-*.nbi"))
