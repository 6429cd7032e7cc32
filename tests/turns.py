"""Workers of `pytest -n` take turns to compile a kernel: whoever comes second reads it from the cache."""

from __future__ import annotations

import os
from typing import Any


def take_turns() -> None:
    """From now on this process compiles a cached kernel only while it holds that kernel's lock.

    numba's own lock, one for the process, is taken first; kernels call each other without circles: so nobody waits for
    somebody who waits for him.
    """
    import fcntl

    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.dispatcher import Dispatcher

    compile_kernel, held = Dispatcher.compile, set()

    def compile_in_turn(kernel: Any, signature: Any) -> Any:
        folder = kernel._cache.cache_path
        path = folder and os.path.join(folder, f"{kernel.py_func.__qualname__}.lock")
        with global_compiler_lock:
            if not path or path in held:
                return compile_kernel(kernel, signature)
            with open(path, "w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                held.add(path)
                try:
                    return compile_kernel(kernel, signature)
                finally:
                    held.remove(path)

    Dispatcher.compile = compile_in_turn
