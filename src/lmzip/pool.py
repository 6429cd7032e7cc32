"""Independent frames over several processes; the same bytes as one after the other.

A worker keeps what it has done of a frame in a checkpoint of its own beside the main one, which knows of whole frames.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from . import checkpoint, released
from .codec.cache import source_digest
from .codec.message import CODED, VERSION, Frame, Header, leaf
from .errors import LimitError, ResumeError
from .frames import Coded, encode_frame
from .predictor import Coding, Predictor
from .progress import Bar
from .session import Session

Result = TypeVar("Result")
POLL = 1.0  # seconds between two looks at the clock while workers work


@contextmanager
def processes(count: int, version: int = VERSION) -> Iterator[ProcessPoolExecutor]:
    """Workers, which leave signals to their parent and don't outlive it. `version`: of the format.

    Raises LimitError where one of them dies.
    """
    executor = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (version,))
    try:
        yield executor
    except BaseException as error:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in list((executor._processes or {}).values()):
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise LimitError("a process died, perhaps for want of memory; take fewer threads, -T") from error
        raise
    executor.shutdown()


def _begin(version: int) -> None:
    released.part(version, "message")  # before headers and frames of it come in
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed can't say so; its workers would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def result(future: Future[Result], meanwhile: Callable[[], None]) -> Result:
    """What a worker returns; `meanwhile` is called now and then until it does."""
    while not wait([future], POLL).done:
        meanwhile()
    return future.result()


class Keep(NamedTuple):
    """The main checkpoint, beside which workers put theirs, and the seconds between two of them."""

    snapshot: Path
    every: float


class _Unfinished:
    """The checkpoints of one frame. `identity`: what there is to be coded or decoded."""

    def __init__(self, session: Session, keep: Keep | None, header: Header, number: int, identity: bytes) -> None:
        self.path = checkpoint.of_frame(keep.snapshot, number) if keep and keep.every else None
        self.session, self.header = session, header
        self.meta = {"codec": source_digest(), "header": header.pack().hex(), "identity": identity.hex()}
        self.bar = Bar("", show=False, every=keep.every if keep else 0)

    def begin(self, new: Callable[[Predictor], Any]) -> tuple[Predictor, Any]:
        """A predictor and the frame `new` begins with it, as they were last kept; else (predictor, None)."""
        predictor = self.session.predictor(self.header)
        if self.path is None or not self.path.exists():
            return predictor, None
        try:
            saved = checkpoint.Checkpoint(self.path)
            if any(saved.meta.get(name) != value for name, value in self.meta.items()):
                return predictor, None
            frame = new(predictor)
            saved.restore_state(predictor)  # after it was begun, for that may have touched it
            saved.restore_frame(frame)
        except ResumeError:  # not whole: no loss but of time
            return self.session.predictor(self.header), None
        return predictor, frame

    def watch(self, predictor: Predictor) -> Callable[[Coding], None] | None:
        """What happens between segments."""
        path = self.path
        if path is None:
            return None
        return lambda frame: self.bar.step(0, 0, lambda: checkpoint.save(path, self.meta, predictor, frame))


def encode(session: Session, header: Header, index: int, data: bytes, keep: Keep | None = None) -> Coded:
    """One independent frame."""
    unfinished = _Unfinished(session, keep, header, index, leaf(data))
    predictor, encoding = unfinished.begin(lambda fresh: fresh.encode(np.frombuffer(data, np.uint8)))
    return encode_frame(header, index, data, True, predictor, encoding, unfinished.watch(predictor))


def decode(
    session: Session, header: Header, frame: Frame, payload: bytes, keep: Keep | None = None
) -> tuple[bytes, bytes]:
    """One independent frame's data, and its digest."""
    codec = released.part(header.format_version, "receive")
    unfinished = _Unfinished(
        session, keep if frame.kind == CODED else None, header, frame.number, frame.pack(header.key)
    )
    predictor, decoding = unfinished.begin(lambda fresh: fresh.decode(np.frombuffer(payload, np.uint8), frame.length))
    watch = unfinished.watch(predictor)
    if decoding:
        array, digest = codec.complete(predictor, frame, decoding, watch)
    else:
        array, digest = codec.rebuild(predictor, frame, payload, watch)
    return array.tobytes(), digest
