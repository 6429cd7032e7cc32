"""How kernels of pretrained models are compiled: as the codec's, but kept apart, see kernels.py."""

from __future__ import annotations

import functools
from pathlib import Path

from .. import kernels


def kernel(function, **options):
    """Compile `function` with numba, cached."""
    return kernels.kernel(function, _folder(), **options)


def heapless(function):
    """A kernel that makes no array, see codec.kernel.heapless."""
    return kernel(function, _nrt=False)


@functools.cache
def _folder() -> str:
    return kernels.folder(Path(__file__).parent.glob("*.py"))
