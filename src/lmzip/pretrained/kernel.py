"""How kernels of pretrained models are compiled: as the codec's, but kept by a digest of both sources.

numba's cache looks at one file at a time, and kernels here call those of other files; the codec's own are not to be
compiled anew whenever something here changes.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numba
from numba import config

from ..codec import cache


def kernel(function, **options):
    """Compile `function` with numba, cached."""
    before, config.CACHE_DIR = config.CACHE_DIR, _folder()
    try:
        return numba.njit(error_model="numpy", nogil=True, cache=True, no_cfunc_wrapper=True, **options)(function)
    finally:
        config.CACHE_DIR = before


def heapless(function):
    """A kernel that makes no array, see codec.kernel.heapless."""
    return kernel(function, _nrt=False)


@functools.cache
def _folder() -> str:
    state = hashlib.blake2b(digest_size=6)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        state.update(path.name.encode() + b"\0" + path.read_bytes())
    return cache.private_folder(f"{Path(cache.kernel_folder()).name}-{state.hexdigest()}")
