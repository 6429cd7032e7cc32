"""Digests of models, remembered: a file is not hashed again while its path, size, time and inode stay the same.

They are kept in the user's cache, a small file for each model. With LMZIP_HASH=always none is looked up: for whoever
lets files be changed without their times.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import kept
from .tensors import Tensor

VARIABLE, ALWAYS = "LMZIP_HASH", "always"
PIECE = 1 << 24
SETTLED = 2_000_000_000  # nanoseconds after which a change would change a file's time


class Stamp(NamedTuple):
    """What tells that a file is the same."""

    path: str
    size: int
    changed: int  # nanoseconds
    inode: int


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """Those of files, in the order of their paths; zeros for what isn't there."""
    return tuple(_stamp(path) for path in sorted(paths))


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return Stamp(str(path), 0, 0, 0)
    return Stamp(str(path), status.st_size, status.st_mtime_ns, status.st_ino)


def digest(about: bytes, tensors: dict[str, Tensor], known: tuple[Stamp, ...]) -> bytes:
    """32 bytes: a hash of `about`, and of every tensor's name, type, shape and bytes, in the files of these stamps."""
    key = hashlib.blake2b(about, digest_size=32)
    for name, tensor in sorted(tensors.items()):
        key.update(f"{name} {tensor.kind} {tensor.shape}{tensor.layout}\n{tensor.start} {tensor.stop}\n".encode())
    key.update(repr([(str(Path(stamp.path).resolve()), *stamp[1:]) for stamp in known]).encode())
    file = kept.place("models", key.hexdigest())
    if os.environ.get(VARIABLE) != ALWAYS:
        remembered = kept.look_up(file)
        if remembered is not None and len(remembered) == 32:
            return remembered
    result = _hash(about, tensors)
    latest = max((stamp.changed for stamp in known), default=0)
    if stamps(Path(stamp.path) for stamp in known) == known and time.time_ns() - latest > SETTLED:
        kept.keep(file, result)
    return result


def _hash(about: bytes, tensors: dict[str, Tensor]) -> bytes:
    state = hashlib.blake2b(about, digest_size=32)
    for name, tensor in sorted(tensors.items()):
        state.update(f"{name} {tensor.kind} {tensor.shape}{tensor.layout}\n".encode())
        raw = tensor.raw
        for start in range(0, len(raw), PIECE):
            state.update(np.ascontiguousarray(raw[start : start + PIECE]).data)
    return state.digest()
