"""The predictor, loaded when it is first needed: torch and numba are no part of `lmzip --help` or `lmzip list`."""

from __future__ import annotations

from functools import cache
from typing import Any

from . import released
from .codec.message import VERSION, Header
from .errors import ArchiveError, LimitError, UsageError

HELD = 1 << 24  # bytes that may wait for a predictor to come into being
ROOM = 1 << 28  # addresses that loading kernels takes; torch takes some three times that
LARGE = 1 << 24  # multiplications in a product of matrices that several threads may share
_threads = 1
_device = "cpu"
_prior_path = ""
_priors: dict[bytes, Any] = {}  # those found so far: they stay known when the path changes


def set_threads(count: int) -> None:
    """Threads for the arithmetic of one process; no choice changes a bit of the result."""
    global _threads
    _threads = count


def set_device(name: str) -> None:
    """Where matrix products are computed, cpu or cuda; no choice changes a bit of the result."""
    global _device
    _device = name


def device() -> str:
    return _device


def set_prior_path(path: str) -> None:
    """Folders and files, as in $PATH, where priors are looked for first."""
    global _prior_path
    _prior_path = path


def prior_path() -> str:
    return _prior_path


def find_prior(digest: bytes) -> Any:
    """The prior of this digest, `prior.store.Prior` or `pretrained.model.Pretrained`; raises MissingPrior."""
    if digest not in _priors or not _priors[digest].path.exists():
        from .prior.store import find

        _priors[digest] = find(digest, _prior_path)
    return _priors[digest]


def is_pretrained(prior: Any) -> bool:
    """Is it a model of transformers, which brings its own predictor?"""
    return hasattr(prior, "lockstep")


@cache
def _products(device: str) -> str | None:
    """The backend of `codec.product` for a device; None: the fastest of the CPU's."""
    if device == "cpu":
        return None
    from .accel.cuda import backend

    return backend(device)


def load(two_threads: bool = False) -> Any:
    """The class `Lockstep`; with two threads, if wanted, to encode."""
    from .codec.cache import load_lockstep

    kind = load_lockstep()
    if two_threads:
        from .accel.threads import ThreadedLockstep

        return ThreadedLockstep
    return kind


def _is_large(header: Header) -> bool:
    """Do the model's products pay for several threads? Those of the presets take 5 µs, less than threads to meet."""
    model = header.model
    return model is not None and header.streams * header.segment * model.width**2 >= LARGE


def lockstep(header: Header) -> Any:
    """A predictor at its beginning: where its prior ends, if the header names one."""
    older = header.format_version != VERSION
    prior = None if header.prior is None else find_prior(header.prior)
    try:
        if is_pretrained(prior):
            return _pretrained(prior, header)
        two_threads = not older and _threads > 1 and header.model is not None and header.experts is not None
        kind = released.part(header.format_version, "cache").load_lockstep() if older else load(two_threads)
        options = {}
        if header.model is not None:
            _leave_room(3 * ROOM)
            import torch

            torch.set_num_threads(max(1, _threads - two_threads) if _is_large(header) else 1)
            if not older and (products := _products(_device)):
                options["products"] = products
        state = kind(header, **options)
        _leave_room(ROOM)
        if prior is not None:
            prior.begin(state)
        return state
    except ValueError as error:
        raise ArchiveError(f"the settings don't go together: {error}; make the archive anew") from error
    except MemoryError:
        raise _no_memory() from None
    except ImportError as error:
        raise LimitError(f"can't load what computes: {error}; is there enough memory, and is it installed?") from error
    except RuntimeError as error:
        if "memory" in str(error) or "allocate" in str(error):
            raise _no_memory() from None
        if "NUMBA_DISABLE_JIT" in str(error):
            raise UsageError(str(error)) from None
        raise


def completed(coding: Any) -> Any:
    """An encoding or a decoding, after all of its segments."""
    while not coding.done:
        coding.advance(64)
    return coding


def _pretrained(prior: Any, header: Header) -> Any:
    """The predictor of a model of transformers."""
    from .codec.cache import load_lockstep

    load_lockstep()  # looks at numba's settings
    _leave_room(3 * ROOM)
    import torch

    torch.set_num_threads(max(1, _threads))
    return prior.lockstep(header, _products(_device))


def facts() -> dict[str, str]:
    """What computes on this machine, by name."""
    import os

    import numba
    import torch
    from llvmlite import binding

    from .codec.cache import kernel_folder
    from .codec.product import BACKENDS, Products, self_test

    torch.set_num_threads(1)
    chosen = Products().backend
    others = [name for name in BACKENDS if name != chosen and self_test(name) < float("inf")]
    folder = kernel_folder()
    kept = sum(name.endswith(".nbc") for _, _, names in os.walk(folder) for name in names)
    return {
        "matrix products": f"{chosen}, the fastest in its test; exact too: {', '.join(others)}",
        "torch": f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}; CUDA: {torch.cuda.is_available()}",
        "kernels": f"numba {numba.__version__} for {numba.config.CPU_NAME or binding.get_host_cpu_name()}",
        "kept": f"{kept} compiled kernels in {folder}",
        "processors": str(os.cpu_count()),
    }


def _leave_room(room: int) -> None:
    """Where addresses are limited, see that so many are left: LLVM and torch end the process for want of them."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    if limit != resource.RLIM_INFINITY and used + room > limit:
        raise MemoryError


def _no_memory() -> LimitError:
    return LimitError("there is not enough memory for these settings; choose a smaller preset, or free some")


class Predictor:
    """A Lockstep that comes into being when a frame is first coded: stored frames alone never need one."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._skipped = bytearray()  # what was stored, HELD bytes at most
        self._lockstep: Any = None

    def skip(self, data: Any) -> None:
        if self._lockstep is None and len(data) + len(self._skipped) <= HELD:
            self._skipped += data.tobytes()
        else:
            self._get().skip(data)

    def _get(self) -> Any:
        if self._lockstep is None:
            self._lockstep = lockstep(self.header)
            if self._skipped:
                import numpy as np

                self._lockstep.skip(np.frombuffer(self._skipped, np.uint8))
            self._skipped = bytearray()
        return self._lockstep

    def __getattr__(self, name: str) -> Any:
        return getattr(self._get(), name)
