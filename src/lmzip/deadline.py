"""`--time` is kept: who looks on while a file is coded sees when the measured pace would break the budget.

A header can't change within an archive. So the way down is to begin again with a cheaper preset, as soon as that is
known to be needed and only while it gains: what was done until then is lost, a few hundredths of the budget mostly.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median_low
from typing import Any, BinaryIO, NamedTuple

from .pieces import Clock
from .progress import Watch

STEPS = 5  # of 4 KB each, after which a pace is believed
LEAST, SHARE = 3, 0.05  # or after fewer, if they took so much of the budget
RECENT = 0.1  # of the budget: steps since then tell the present pace
LATE = 1.1  # of the budget: expected ends beyond that are too late
GAIN = 0.8  # a new beginning that is late as well must end so much earlier


class Task(NamedTuple):
    """Bytes of original, bytes coded beyond those heard of, seconds planned, those of the cheapest preset."""

    length: int
    ahead: int
    planned: float
    cheapest: float


class Deadline(Watch):
    """A Watch around another one that raises what `slower` makes of how many times longer things take than planned.

    budget: seconds that may have gone by on `clock` since `since` when all is done.
    """

    def __init__(
        self,
        watch: Watch,
        task: Task,
        budget: float,
        since: float,
        slower: Callable[[float], Exception],
        clock: Clock,
    ) -> None:
        self.watch, self.task, self.budget, self.since, self.slower, self.clock = (
            watch, task, budget, since, slower, clock,
        )  # fmt: skip
        self.every = watch.every
        self.began: tuple[float, int] | None = None  # time and bytes, behind all that is loaded first
        self.last = (0.0, 0)
        self.paces: deque[tuple[float, float]] = deque()  # when, seconds a byte: of the last steps

    def begin(self, total: int | None, done: int = 0) -> None:
        self.watch.begin(total, done)

    def close(self) -> None:
        self.watch.close()

    def step(self, done: int, bits: float, save: Callable[[], None] | None = None) -> None:
        """So far, so good; else it is too slow, which is raised before anything is saved."""
        self.check(done)
        self.watch.step(done, bits, save)

    def check(self, done: int) -> None:
        """Raises what `slower` makes if the end is expected too late and a new beginning gains."""
        now, task = self.clock(), self.task
        if self.began is None:
            self.began = self.last = now, done
        if done > self.last[1]:
            self.paces.append((now, (now - self.last[0]) / (done - self.last[1])))
            self.last = now, done
            while len(self.paces) > STEPS and self.paces[0][0] < now - RECENT * self.budget:
                self.paces.popleft()
        believed = now - self.began[0] >= SHARE * self.budget and (len(self.paces) >= LEAST or task.ahead)
        if done >= task.length or not (believed or len(self.paces) >= STEPS):
            return
        pace = self.pace(now, done)
        end = now - self.since + max(0, task.length - done - task.ahead) * pace
        times = max(1.0, pace * task.length / task.planned)
        again = now - self.since + task.cheapest * times
        if end > LATE * self.budget and (again <= self.budget or again < GAIN * end):
            raise self.slower(times)

    def pace(self, now: float, done: int) -> float:
        """Seconds a byte: of late, but not of steps in which a table grew or a checkpoint was written."""
        if self.task.ahead and self.began is not None:
            return (now - self.began[0]) / (done - self.began[1] + self.task.ahead)
        return median_low(pace for _, pace in self.paces)


class Held(io.RawIOBase):
    """Keeps what is written to a stream that can't be taken back, until it is released."""

    def __init__(self, sink: BinaryIO) -> None:
        self.sink, self.kept = sink, io.BytesIO()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self.kept.write(data)

    def seek(self, place: int, whence: int = 0) -> int:
        return self.kept.seek(place, whence)

    def tell(self) -> int:
        return self.kept.tell()

    def truncate(self, size: int | None = None) -> int:
        return self.kept.truncate(size)

    def release(self) -> None:
        """Write all of it."""
        self.sink.write(self.kept.getbuffer())
        self.sink.flush()


@contextmanager
def held(sink: BinaryIO) -> Iterator[BinaryIO]:
    """A stream in place of `sink` that can be taken back to its beginning, until the block ends well."""
    stream = Held(sink)
    yield stream  # type: ignore[misc]
    stream.release()
