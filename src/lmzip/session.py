"""What codings on one machine share: threads, the device, where priors are looked for, and those opened so far.

Nothing here changes a bit of any archive, nothing here is global: encoders, decoders and file objects hold the session
they were made with. torch and numba are loaded when the first predictor is made, never before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from . import compilation, pack, released
from .codec.message import VERSION, Header
from .errors import ArchiveError, LimitError, PriorError, UsageError
from .ledger import Charges, PriorCost
from .limits import Cost
from .predictor import Predictor
from .prior import registry
from .prior.model_options import USUAL, ModelOptions
from .prior.registry import Knowledge

DEVICES = ("cpu", "cuda")
HELD = 1 << 24  # bytes that may wait for a predictor to come into being
ROOM = 1 << 28  # addresses that loading kernels takes; torch takes some three times that
LARGE = 1 << 24  # multiplications in a product of matrices that several threads may share


class Session:
    """Threads, device and priors of codings that belong together; may be pickled, and used by several threads.

    threads: for the arithmetic of a frame, or processes where frames are independent. device: "cpu" or "cuda", where
    matrix products are computed. prior_path: folders and files, as in $PATH, where priors are looked for first.
    notice: is told before kernels are compiled, in this process only.
    """

    def __init__(
        self,
        threads: int = 1,
        device: str = "cpu",
        prior_path: str = "",
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """Raises UsageError for numbers of threads and devices that there aren't."""
        if type(threads) is not int or threads < 1:
            raise UsageError(f"--threads is a number from 1 on, not {threads!r}")
        if device not in DEVICES:
            raise UsageError(f"there is no device {device!r}; there are {', '.join(DEVICES)}")
        self.threads, self.device, self.prior_path, self.notice = threads, device, prior_path, notice
        self._priors: dict[bytes, Knowledge] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_process, (self.threads, self.device, self.places)

    @property
    def places(self) -> str:
        """Where priors are looked for: those opened so far, then the prior path."""
        opened = [str(prior.path) for prior in self._priors.values()]
        return os.pathsep.join([*opened, *filter(None, [self.prior_path])])

    def of_worker(self) -> Session:
        """The session of one of several processes: with a thread of its own, priors where they are found here."""
        return Session(1, self.device, self.places)

    def processes(self, header: Header, length: int) -> int:
        """How many code so many bytes at once: where frames are independent a thread is a process, for a frame each."""
        frames = -(-length // header.frame_size)
        return max(1, min(self.threads, frames)) if header.independent_frames else 1

    def open(self, name: str | os.PathLike[str], how: ModelOptions = USUAL) -> Knowledge:
        """The prior of this name, digest, file or directory, remembered by its digest.

        how: of a pretrained model. Raises PriorError, MissingPrior or UsageError.
        """
        return self.remember(registry.open_named(name, self.places, how))

    def remember(self, prior: Knowledge) -> Knowledge:
        """Let archives that name this prior find it."""
        return self._priors.setdefault(prior.digest, prior)

    def find(self, digest: bytes) -> Knowledge:
        """The prior of this digest, 32 bytes. Raises MissingPrior."""
        if digest not in self._priors or not self._priors[digest].path.exists():
            self._priors[digest] = registry.find(digest, self.prior_path)
        return self._priors[digest]

    def knowledge(self, header: Header) -> Knowledge | None:
        """The prior that a header names, if it names one. Raises MissingPrior."""
        return None if header.prior is None else self.find(header.prior)

    def cost(self, header: Header) -> Cost:
        """Memory and work of coding with this header. Raises MissingPrior."""
        prior = self.knowledge(header)
        return Cost(header) if prior is None else Cost(header, prior.memory(header.streams), prior.work)

    def charges(self, header: Header) -> Charges:
        """What the ledger charges beside the archive: the code its receiver runs, the prior as far as it is here."""
        if header.prior is None:
            return Charges(len(pack.decoder(header)))
        digest = header.prior.hex()
        try:
            prior = self.find(header.prior)
        except PriorError:
            from .prior import store  # start-up: most archives have no prior

            return Charges(store.code_size(header), PriorCost(digest))
        return Charges(prior.code_size(header), PriorCost(digest, prior.name, prior.size, prior.rebuilt))

    def predictor(self, header: Header) -> Predictor:
        """A predictor at its beginning that comes into being when a frame is first coded."""
        return DeferredPredictor(self, header)

    def lockstep(self, header: Header) -> Any:
        """A predictor at its beginning: where its prior ends, if the header names one.

        Raises ArchiveError where settings don't go together, LimitError for want of memory, MissingPrior, PriorError,
        UsageError where NUMBA_DISABLE_JIT is set.
        """
        prior = self.knowledge(header)
        try:
            return self.fresh(header) if prior is None else prior.lockstep(header, self)
        except PriorError:
            raise
        except ValueError as error:
            raise ArchiveError(f"the settings don't go together: {error}; make the archive anew") from error
        except MemoryError:
            raise _no_memory() from None
        except ImportError as error:
            remedy = "is there enough memory, and is it installed?"
            raise LimitError(f"can't load what computes: {error}; {remedy}") from error
        except RuntimeError as error:
            if "memory" in str(error) or "allocate" in str(error):
                raise _no_memory() from None
            if "NUMBA_DISABLE_JIT" in str(error):
                raise UsageError(str(error)) from None
            raise

    def fresh(self, header: Header) -> Any:
        """A predictor of our own that knows nothing yet, whatever prior the header names."""
        older = header.format_version != VERSION
        two_threads = not older and self.threads > 1 and header.model is not None and header.experts is not None
        kind = released.part(header.format_version, "cache").load_lockstep() if older else lockstep_class(two_threads)
        self.announce()
        options = {}
        if header.model is not None:
            self.load_torch(max(1, self.threads - two_threads) if _is_large(header) else 1)
            if not older and (products := self.products()):
                options["products"] = products
        state = kind(header, **options)
        leave_room(ROOM)
        return state

    def announce(self) -> None:
        """Once numba is loaded, before anything is compiled: whoever is to be told of that will be."""
        if self.notice is not None and "numba" in sys.modules:
            compilation.announce(self.notice)

    def load_torch(self, threads: int) -> None:
        """Load torch, which then computes with so many threads. Raises MemoryError where addresses don't suffice."""
        leave_room(3 * ROOM)
        import torch  # start-up: half a second, and only language models need it

        torch.set_num_threads(threads)

    def products(self) -> str | None:
        """The backend of `codec.product` for the session's device; None: the fastest of the CPU's."""
        return _products(self.device)


@cache
def _of_process(threads: int, device: str, prior_path: str) -> Session:
    """The one session of these settings in a process that got it from another: its priors are opened once."""
    return Session(threads, device, prior_path)


@cache
def _products(device: str) -> str | None:
    if device == "cpu":
        return None
    from .accel.cuda import backend  # start-up: loads torch

    return backend(device)


def lockstep_class(two_threads: bool = False) -> Any:
    """The class of our own predictor in this format version; with two threads, if wanted, to encode."""
    from .codec.cache import load_lockstep  # start-up: what follows loads numba

    kind = load_lockstep()
    if two_threads:
        from .accel.threads import ThreadedLockstep  # start-up: loads numba

        return ThreadedLockstep
    return kind


def _is_large(header: Header) -> bool:
    """Do the model's products pay for several threads? Those of the presets take 5 µs, less than threads to meet."""
    model = header.model
    return model is not None and header.streams * header.segment * model.width**2 >= LARGE


def leave_room(room: int) -> None:
    """Where addresses are limited, see that so many are left: LLVM and torch end the process for want of them.

    Raises MemoryError.
    """
    try:
        import resource  # platform: not on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    if limit != resource.RLIM_INFINITY and used + room > limit:
        raise MemoryError


def _no_memory() -> LimitError:
    return LimitError("there is not enough memory for these settings; choose a smaller preset, or free some")


class DeferredPredictor:
    """A predictor that comes into being when a frame is first coded: stored frames alone never need one."""

    def __init__(self, session: Session, header: Header) -> None:
        self.session, self.header = session, header
        self._skipped = bytearray()  # what was stored, HELD bytes at most
        self._predictor: Any = None

    def skip(self, data: np.ndarray) -> None:
        """Take note of bytes, uint8 [n], that were stored."""
        if self._predictor is None and len(data) + len(self._skipped) <= HELD:
            self._skipped += data.tobytes()
        else:
            self.whole().skip(data)

    def whole(self) -> Any:
        """The predictor, which comes into being now if it has not yet."""
        if self._predictor is None:
            self._predictor = self.session.lockstep(self.header)
            if self._skipped:
                self._predictor.skip(np.frombuffer(self._skipped, np.uint8))
            self._skipped = bytearray()
        return self._predictor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole(), name)
