"""Lossless compression by a language model learnt online, in exact arithmetic: weights are never sent.

>>> import lmzip
>>> lmzip.decompress(lmzip.compress(b"x" * 1000, preset="fast"))[:3]
b'xxx'
"""

from __future__ import annotations

import importlib
import io
from typing import TYPE_CHECKING, Any

from . import errors
from .about import VERSION as __version__
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
    ResumeError,
    UsageError,
    VersionError,
)

if TYPE_CHECKING:
    from .options import DecodeOptions, EncodeOptions
    from .session import Session
    from .stream import LmzipFile, open

__all__ = [
    "ArchiveError",
    "ArithmeticDiffers",
    "DamageError",
    "DecodeOptions",
    "EncodeOptions",
    "FileError",
    "Interrupted",
    "LimitError",
    "LmzipError",
    "LmzipFile",
    "MissingPrior",
    "NotAnArchive",
    "PriorError",
    "ResumeError",
    "Session",
    "UsageError",
    "VersionError",
    "__version__",
    "compress",
    "decompress",
    "errors",
    "open",
]


def compress(
    data: bytes | bytearray | memoryview,
    *,
    threads: int = 1,
    device: str = "cpu",
    prior_path: str = "",
    session: Session | None = None,
    **options: Any,
) -> bytes:
    """The archive of `data`. The same data and options give the same bytes on every machine.

    options: those of EncodeOptions, as preset="fast", prior="nginx.prior". threads: for the arithmetic; with
    independent_frames=True so many processes, which import the main module anew, so that a script that calls this
    needs its `if __name__ == "__main__":`. device: "cpu" or "cuda". prior_path: folders and files, as in $PATH, where
    priors are looked for first. session: all three at once, and priors opened once for several calls.
    Raises UsageError where options don't go together or would do nothing, PriorError when there is no such prior,
    TypeError for options that don't exist.
    """
    from . import pack  # start-up: `import lmzip` is quick
    from .options import EncodeOptions  # start-up: `import lmzip` is quick
    from .progress import Watch  # start-up: `import lmzip` is quick
    from .sender import Sender  # start-up: `import lmzip` is quick
    from .session import Session  # start-up: `import lmzip` is quick

    session = session or Session(threads, device, prior_path)
    chosen = EncodeOptions.of(options)
    header = chosen.header(session)
    sink = io.BytesIO()
    code = pack.code(header) if chosen.code else b""
    Sender(sink, header, code, Watch(), session=session).run(io.BytesIO(data))
    return sink.getvalue()


def decompress(
    archive: bytes | bytearray | memoryview,
    *,
    max_memory: int | None = None,
    max_output: int | None = None,
    max_work: int | None = None,
    threads: int = 1,
    device: str = "cpu",
    prior_path: str = "",
    session: Session | None = None,
) -> bytes:
    """The original of an archive; every digest is checked before anything is returned.

    The limits are those of DecodeOptions, in bytes, bytes and arithmetic operations. threads, device, prior_path,
    session: see compress.
    Raises ArchiveError (NotAnArchive, VersionError, DamageError, ArithmeticDiffers), LimitError or PriorError.
    """
    from .options import DecodeOptions  # start-up: `import lmzip` is quick
    from .progress import Watch  # start-up: `import lmzip` is quick
    from .receiver import Receiver  # start-up: `import lmzip` is quick
    from .session import Session  # start-up: `import lmzip` is quick

    session = session or Session(threads, device, prior_path)
    sink = io.BytesIO()
    limits = DecodeOptions(max_memory, max_output, max_work).limits
    Receiver(io.BytesIO(archive), sink, limits, Watch(), session=session).run()
    return sink.getvalue()


_HOMES = {
    "DecodeOptions": "options",
    "EncodeOptions": "options",
    "LmzipFile": "stream",
    "Session": "session",
    "open": "stream",
}


def __getattr__(name: str) -> Any:
    """What is loaded when it is first asked for, so that `import lmzip` is quick."""
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
