"""What looks on while frames are coded: the bar, the checkpoints, the signals that interrupt."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .errors import Interrupted

CHECKPOINT_SECONDS = 240.0
SIGNALS = [signal.SIGINT, signal.SIGTERM] + [signal.SIGHUP] * hasattr(signal, "SIGHUP")


class Watch:
    """Nobody looks on; the base of what does.

    The coder calls `step` at segment boundaries, with the bytes done, the code length so far in bits, and a function
    that saves a checkpoint.
    """

    every = 0.0  # seconds between two checkpoints; 0: there are none

    def begin(self, total: int | None, done: int = 0) -> None:
        """`total` bytes of original are expected; None: unknown."""

    def step(self, done: int, bits: float, save: Callable[[], None] | None = None) -> None:
        """So far, so good."""

    def close(self) -> None:
        """It is over, one way or the other."""


class Bar(Watch):
    """A tqdm bar with bytes, bpb so far, KB/s and the time left, on a terminal; checkpoints; signals."""

    def __init__(self, name: str, *, show: bool, every: float = CHECKPOINT_SECONDS) -> None:
        self.name, self.show, self.every = name, show, every
        self.saved = time.monotonic()
        self.bar: Any = None

    def begin(self, total: int | None, done: int = 0) -> None:
        if self.show:
            from tqdm import tqdm  # start-up: only a terminal shows a bar

            self.bar = tqdm(
                total=total, initial=done, desc=self.name, unit="B", unit_scale=True, file=sys.stderr, leave=False
            )

    def step(self, done: int, bits: float, save: Callable[[], None] | None = None) -> None:
        """Show it, save a checkpoint when it is time. Raises Interrupted if a signal asks for the end."""
        if self.bar is not None:
            if done and bits:
                self.bar.set_postfix_str(f"{bits / done:.3f} bpb", refresh=False)
            self.bar.update(done - self.bar.n)
        if save and (_stop.asked or 0 < self.every <= time.monotonic() - self.saved):
            try:
                save()
            except FileNotFoundError:  # the folder is gone, and what was written into it
                raise
            except (OSError, MemoryError) as error:  # no reason to lose the work
                print(f"\nlmzip: no checkpoint: {error}", file=sys.stderr)
            self.saved = time.monotonic()
        if _stop.asked:
            raise Interrupted("interrupted")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


class _Stop:
    """Has a signal asked to stop? Between segments it is honoured at the next boundary, elsewhere at once."""

    asked = False
    deferring = False

    def handle(self, number: int, frame: Any) -> None:
        if not self.deferring or self.asked:  # a second Ctrl-C doesn't wait
            raise Interrupted("interrupted")
        self.asked = True
        print("\nlmzip: stopping soon, in good order; once more stops at once", file=sys.stderr)


_stop = _Stop()


@contextmanager
def signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal raise Interrupted, inside `deferred` only at the next segment boundary.

    A signal that whoever started us ignores, as nohup does, stays ignored.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heeded = [number for number in SIGNALS if before[number] != signal.SIG_IGN]
    _stop.asked = False
    for number in heeded:
        signal.signal(number, _stop.handle)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


@contextmanager
def deferred() -> Iterator[None]:
    """Inside, a frame is coded: a signal waits for the next `Watch.step`, or for the end, to raise Interrupted."""
    _stop.deferring = True
    try:
        yield
    finally:
        _stop.deferring = False
    if _stop.asked:
        raise Interrupted("interrupted")
