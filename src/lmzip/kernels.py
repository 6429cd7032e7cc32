"""Kernels outside the codec: compiled as its own are, kept elsewhere, by a digest of both sources.

numba's cache looks at one file at a time, and kernels call those of other files; the codec's own are not to be compiled
anew whenever something else changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numba
from numba import config

from .codec import cache


def kernel(function: Callable[..., Any], folder: str, **options: Any) -> Any:
    """Compile `function` with numba as codec.kernel.kernel does, but cached in this folder."""
    before, config.CACHE_DIR = config.CACHE_DIR, folder
    try:
        return numba.njit(error_model="numpy", nogil=True, cache=True, no_cfunc_wrapper=True, **options)(function)
    finally:
        config.CACHE_DIR = before


def folder(sources: Iterable[Path]) -> str:
    """A private folder for kernels of these sources, on top of the codec's."""
    state = hashlib.blake2b(digest_size=6)
    for path in sorted(sources):
        state.update(path.name.encode() + b"\0" + path.read_bytes())
    return cache.private_folder(f"{Path(cache.kernel_folder()).name}-{state.hexdigest()}")
