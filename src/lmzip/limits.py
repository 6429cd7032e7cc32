"""What an archive may cost whoever decodes it, judged from its header and frame heads before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .codec.message import Header
from .errors import LimitError

MB, GB = 10**6, 10**9
RATE = 2e10  # operations per second that estimates of time assume: 8-bit ones, one core of 2023
BASE, TORCH = 200 * MB, 250 * MB  # Python and numba themselves; torch, which only the model needs
FRAME = 128  # bytes that a receiver remembers of every frame: its digest, its size, that once more in the footer
EXPANSION = 256  # output and work are bounded by so many times the archive's own size, beyond a first allowance


@dataclass(frozen=True)
class Cost:
    """What coding with a header takes: pure numbers, of its settings and of the prior that `Session.cost` looked up.

    prior_memory: bytes that the prior takes while a predictor is made of it. prior_work: operations a byte that a
    pretrained model takes.
    """

    header: Header
    prior_memory: int = 0
    prior_work: int = 0

    def memory(self, length: int | None = None) -> int:
        """Bytes that coding takes, about: at most, or for `length` bytes, which may not fill the tables."""
        header, experts = self.header, self.header.experts
        if experts and length is not None:  # there are 64 slots a byte, at the next power of two
            experts = replace(experts, slots=min(experts.slots, max(1 << 8, 1 << (length >> 3).bit_length())))
        parts = sum(part.memory() for part in (header.model, experts) if part is not None)
        at_once = 4096 * header.streams * header.segment  # a distribution over bytes at every position
        if model := header.model:
            rows = header.streams * (header.segment + model.window)
            at_once += 4 * rows * model.layers * (20 * model.width + 4 * model.hidden)
            at_once += 4 * header.streams * header.segment * model.layers * model.heads * model.window
        at_once += self.prior_memory
        return BASE + (TORCH if header.model else 0) + parts + at_once + 6 * header.frame_size + (1 << 24)

    @property
    def work(self) -> int:
        """Arithmetic operations per byte of original, about: for a byte, and its share of what a segment takes."""
        header, total, segment = self.header, 1000 + self.prior_work, 100_000
        if model := header.model:
            weights = model.layers * model.width * (4 * model.width + 2 * model.hidden) + 256 * model.width
            attention = model.layers * (4 * model.window * model.width + 200 * model.heads * model.window)
            total += 200_000 + 6 * (weights + attention) * (1 + header.replay)
            segment += (3_000_000 + 50 * weights) * (1 + header.replay)  # training steps touch every weight
        if header.experts:
            total += 6000 * header.experts.contexts.bit_count()
        return total + segment // (header.streams * header.segment)

    @property
    def frame_work(self) -> int:
        """Operations for every coded frame besides: the state's digest, or a new predictor where it is independent."""
        return 2_000_000_000 if self.header.independent_frames else 300_000_000


def readable_time(amount: float) -> str:
    """Seconds as a person says them."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if amount >= 2 * size:
            return f"{amount / size:.0f} {unit}"
    return f"{amount:.0f} s"


@dataclass(frozen=True)
class Limits:
    """Caps in bytes, bytes and operations; None: the default, which grows with the archive's own size."""

    memory: int = 4 * GB
    output: int | None = None
    work: int | None = None

    def check_header(self, cost: Cost) -> None:
        """Before anything is allocated. Raises LimitError."""
        if (need := cost.memory()) > self.memory:
            raise LimitError(
                f"the archive asks for {need / MB:,.0f} MB of memory, the limit is {self.memory / MB:,.0f}; "
                "raise it with --max-memory if you trust the archive"
            )

    def check_frame(self, cost: Cost, number: int, size: int, each: int = FRAME) -> None:
        """Before a payload of `size` bytes is read, when `each` bytes are remembered of every frame before.

        Raises LimitError.
        """
        if (need := cost.memory() + size + each * number) > self.memory:
            raise LimitError(
                f"frame {number} has {size:,} bytes, and all asks for {need / MB:,.0f} MB of memory, the limit is "
                f"{self.memory / MB:,.0f}; raise it with --max-memory if you trust the archive"
            )

    def check_length(self, cost: Cost, length: int, coded: int, frames: int, read: int) -> None:
        """Before a frame is rebuilt: `length` bytes of output in all with it, `coded` of them to be predicted, in
        `frames` frames, `read` bytes of archive so far. Raises LimitError."""
        most = (1 << 27) + EXPANSION * read if self.output is None else self.output
        if length > most:
            raise LimitError(
                f"the output is {length:,} bytes or more, the limit is {most:,}; "
                "raise it with --max-output if you trust the archive"
            )
        # Ten minutes' worth, and more for what an archive of this size may well hold.
        allowed = int(600 * RATE) + cost.work * EXPANSION * read if self.work is None else self.work
        if (need := cost.work * coded + cost.frame_work * frames) > allowed:
            raise LimitError(
                f"the output takes {need:,} operations or more (about {readable_time(need / RATE)}), the limit is "
                f"{allowed:,}; raise it with --max-work if you trust the archive"
            )
