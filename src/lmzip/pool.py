"""Independent frames over several processes; the same bytes as one after the other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from . import engine, released
from .codec.message import VERSION, Frame, Header
from .errors import LimitError


@contextmanager
def processes(count: int, version: int = VERSION) -> Iterator[ProcessPoolExecutor]:
    """Workers, which leave signals to their parent and don't outlive it. `version`: of the format."""
    executor = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (engine.device(), version))
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


def _begin(device: str, version: int) -> None:
    engine.set_device(device)
    released.part(version, "message")  # before headers and frames of it come in
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed can't say so; its workers would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def encode(header: Header, index: int, data: bytes) -> Any:
    """One independent frame, `sender.Coded`."""
    from .sender import encode_frame

    return encode_frame(header, index, data, True, engine.Predictor(header))


def decode(header: Header, frame: Frame, payload: bytes) -> tuple[bytes, bytes]:
    """One independent frame's data, and its digest."""
    array, digest = released.part(header.format_version, "receive").rebuild(engine.Predictor(header), frame, payload)
    return array.tobytes(), digest


def code_size(header: Header) -> int:
    """Bytes of the code that an archive with this header can carry."""
    from .pack import code

    return len(code(header))
