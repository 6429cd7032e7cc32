"""How the codec compiles its numba kernels, so that they give the same bits everywhere.

No fastmath: every float operation is rounded once, in the order written, never contracted.
numba marks signed additions and multiplications as never overflowing, so hashes are computed
in ``uint64``, where wrapping is defined, and every literal that meets one is a typed constant.
"""

from __future__ import annotations

import numba

from .cache import private_cache


def kernel(function):
    """Compile `function` with numba; cached in a private folder of ours, see cache.py."""
    with private_cache():
        return numba.njit(error_model="numpy", nogil=True, cache=True)(function)


def inline(function):
    """Compile a helper that is inlined into every kernel that calls it; it has no cache entry of its own."""
    return numba.njit(error_model="numpy", nogil=True, inline="always")(function)
