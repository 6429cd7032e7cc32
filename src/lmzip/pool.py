"""Independent frames over several processes; the same bytes as one after the other."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from .codec.message import Frame, Header


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Workers, which leave signals to their parent."""
    executor = ProcessPoolExecutor(count, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in list((executor._processes or {}).values()):
            process.terminate()
        raise
    executor.shutdown()


def encode(header: Header, index: int, data: bytes) -> Any:
    """One independent frame, `sender.Coded`."""
    from . import engine
    from .sender import encode_frame

    return encode_frame(header, index, data, True, engine.Predictor(header))


def decode(header: Header, frame: Frame, payload: bytes) -> tuple[bytes, bytes]:
    """One independent frame's data, and its digest."""
    from . import engine
    from .codec.receive import rebuild

    array, digest = rebuild(engine.Predictor(header), frame, payload)
    return array.tobytes(), digest


def code_size(header: Header) -> int:
    """Bytes of the code that an archive with this header can carry."""
    from .pack import code

    return len(code(header))
