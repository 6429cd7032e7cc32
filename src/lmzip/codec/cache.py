"""Where compiled kernels and unpacked code are kept: private folders, named by the digest of the code.

numba's own cache doesn't notice that a helper in another file or an option of the compiler changed, doesn't work
inside a zip, and is pickle: so it lies in a folder that nobody else can write to, one for each source and options.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

FOLDER = os.path.dirname(os.path.abspath(__file__))


def source_digest() -> str:
    """Digest of every source file of the codec."""
    state = hashlib.blake2b(digest_size=12)
    for name in sorted(os.listdir(FOLDER)):
        if name.endswith(".py"):
            with open(os.path.join(FOLDER, name), "rb") as file:
                state.update(name.encode() + b"\0" + file.read())
    return state.hexdigest()


def _is_private(path: str) -> bool:
    info = os.lstat(path)
    mine = not hasattr(os, "getuid") or info.st_uid == os.getuid()
    return mine and not info.st_mode & 0o022 and os.access(path, os.W_OK)


def private_folder(name: str) -> str:
    """A folder of this name that only this user writes to: in the user's cache, else a temporary one."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    user = os.getuid() if hasattr(os, "getuid") else 0
    for parent in (os.path.join(home, "lmzip"), os.path.join(tempfile.gettempdir(), f"lmzip-{user}")):
        path = os.path.join(parent, name)
        with contextlib.suppress(OSError):
            for folder in (parent, path):
                os.makedirs(folder, 0o700, exist_ok=True)
            if _is_private(parent) and _is_private(path):
                return path
    return tempfile.mkdtemp(prefix="lmzip-")


@functools.cache
def kernel_folder() -> str:
    """Where kernels of this source, compiled with these options, are kept."""
    from numba import config

    options = [getattr(config, name) for name in ("OPT", "BOUNDSCHECK", "CPU_NAME", "CPU_FEATURES")]
    name = hashlib.blake2b((source_digest() + repr(options)).encode(), digest_size=12).hexdigest()
    return private_folder("kernels-" + name)


@contextlib.contextmanager
def private_cache() -> Iterator[None]:
    """Inside, numba is told to keep what it compiles in our folder."""
    from numba import config

    before, config.CACHE_DIR = config.CACHE_DIR, kernel_folder()
    try:
        yield
    finally:
        config.CACHE_DIR = before


def load_lockstep() -> Any:
    """The class `Lockstep`."""
    from numba import config

    if config.DISABLE_JIT:
        raise RuntimeError("NUMBA_DISABLE_JIT changes the arithmetic: unset it")
    from .lockstep import Lockstep

    return Lockstep
