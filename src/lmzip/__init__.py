"""Lossless compression by a language model learnt online, in exact arithmetic: weights are never sent.

>>> import lmzip
>>> lmzip.decompress(lmzip.compress(b"x" * 1000, preset="fast"))[:3]
b'xxx'
"""

from __future__ import annotations

import io
import os
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
    MissingPrior,
    NotAnArchive,
    PriorError,
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
    "MissingPrior",
    "NotAnArchive",
    "PriorError",
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
    preset: str | None = None,
    experts: str | None = None,
    seed: int | None = None,
    replay: int | None = None,
    code: bool = True,
    frame_size: int = 1 << 20,
    independent_frames: bool = False,
    threads: int = 1,
    prior: str | os.PathLike | None = None,
    prior_path: str = "",
) -> bytes:
    """The archive of `data`. The same data and options give the same bytes on every machine.

    preset: "fast" (experts only), "default" (also if None) or "max"; experts: "none" leaves the pure language model.
    replay: extra training steps per segment on the decoded past. code: put the decoder into the archive, so that
    `python FILE.lmz` rebuilds the data without lmzip. frame_size: bytes of original per frame, the unit of
    integrity; independent_frames: reset the model in each, for random access and parallel work, at some loss.
    prior: name, digest or file of what to build on (docs/priors.md), which brings its own settings; prior_path: folders
    and files, as in $PATH, where it is looked for first. The receiver needs it too.
    Raises UsageError when options don't go together, PriorError when there is no such prior.
    """
    from . import engine, pack
    from .prior.store import archive_header
    from .progress import Watch
    from .sender import Sender

    header = archive_header(
        preset=preset,
        experts=experts,
        seed=seed,
        replay=replay,
        frame_size=frame_size,
        independent_frames=independent_frames,
        prior=prior,
        prior_path=prior_path,
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
    prior_path: str = "",
) -> bytes:
    """The original of an archive; every digest is checked before anything is returned.

    The limits are in bytes, bytes and arithmetic operations; None: the defaults, which grow with the archive's size.
    prior_path: where the archive's prior is looked for first, if it has one.
    Raises ArchiveError (NotAnArchive, VersionError, DamageError, ArithmeticDiffers), LimitError or PriorError.
    """
    from . import engine
    from .limits import Limits
    from .progress import Watch
    from .receiver import Receiver

    engine.set_prior_path(prior_path)
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
