"""Lossless compression by a language model learnt online, in exact arithmetic: weights are never sent.

>>> import lmzip
>>> lmzip.decompress(lmzip.compress(b"x" * 1000, preset="fast"))[:3]
b'xxx'
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import (
    ArchiveError,
    ArithmeticDiffers,
    DamageError,
    FileError,
    Interrupted,
    LimitError,
    LmzipError,
    NotAnArchive,
    UsageError,
    VersionError,
)

if TYPE_CHECKING:
    from .stream import open

__version__ = "0.1.0"
__all__ = [
    "ArchiveError",
    "ArithmeticDiffers",
    "DamageError",
    "FileError",
    "Interrupted",
    "LimitError",
    "LmzipError",
    "NotAnArchive",
    "UsageError",
    "VersionError",
    "compress",
    "decompress",
    "errors",
    "open",
]


def compress(
    data: bytes | bytearray | memoryview,
    *,
    preset: str = "default",
    experts: str | None = None,
    seed: int = 0,
    replay: int | None = None,
    code: bool = True,
    frame_size: int = 1 << 20,
    independent_frames: bool = False,
    threads: int = 1,
) -> bytes:
    """The archive of `data`. The same data and options give the same bytes on every machine.

    preset: "fast" (experts only), "default" or "max"; experts: "none" leaves the pure language model.
    replay: extra training steps per segment on the decoded past. code: put the decoder into the archive, so that
    `python FILE.lmz` rebuilds the data without lmzip. frame_size: bytes of original per frame, the unit of
    integrity; independent_frames: reset the model in each, for random access and parallel work, at some loss.
    Raises UsageError when options don't go together.
    """
    from . import engine, pack, presets
    from .progress import Watch
    from .sender import Sender

    header = presets.header(
        preset,
        experts=experts,
        seed=seed,
        replay=replay,
        frame_size=frame_size,
        independent_frames=independent_frames,
    )
    engine.set_threads(threads)
    sink = io.BytesIO()
    Sender(sink, header, pack.code(header) if code else b"", Watch()).run(io.BytesIO(data))
    return sink.getvalue()


def decompress(
    archive: bytes | bytearray | memoryview,
    *,
    max_memory: int | None = None,
    max_output: int | None = None,
    max_work: int | None = None,
    threads: int = 1,
) -> bytes:
    """The original of an archive; every digest is checked before anything is returned.

    The limits are in bytes, bytes and arithmetic operations; None: the defaults, which grow with the archive's size.
    Raises ArchiveError (NotAnArchive, VersionError, DamageError, ArithmeticDiffers) or LimitError.
    """
    from . import engine
    from .limits import Limits
    from .progress import Watch
    from .receiver import Receiver

    engine.set_threads(threads)
    sink = io.BytesIO()
    limits = Limits(Limits.memory if max_memory is None else max_memory, max_output, max_work)
    Receiver(io.BytesIO(archive), sink, limits, Watch()).run()
    return sink.getvalue()


def __getattr__(name: str) -> Any:
    if name == "open":
        from .stream import open as result

        return result
    raise AttributeError(name)
