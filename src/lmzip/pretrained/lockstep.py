"""The loop that sender and receiver share when a model of transformers predicts: by tokens, and in them by bytes.

A token is coded as a walk along the trie of all tokens' bytes: at a node that is a token itself and goes on, whether it
ends there; else the next byte, by the model's weight of each. With experts every such choice is mixed with what they
predict, so the archive adapts to its file; without them a token costs -log2 of its probability. The sender predicts as
many tokens at once as it likes, the receiver one after the other.

A window holds `context` tokens at most. When it is full the older half goes, and the rest is read anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..codec.experts import Experts
from ..codec.lockstep import Decoding, Encoding, Lockstep
from ..codec.message import Header
from . import mixing, walk
from .inference import Network
from .table import LONGEST

if TYPE_CHECKING:
    from .model import Pretrained

BATCH = 128  # tokens that the sender predicts at once
TRUST, DOUBT = (
    (50000, 15000),
    1000,
)  # weights (65536: 1) of the model's inputs to the mix of bytes, of all others, at first
RATE, HASTE = 80, 800  # of biases: so many 1024ths of the gradient, four times as many at first, twice by 1,600 bytes


class Context:
    """What a pretrained model holds of the data: the tokens in its window, how often bytes were escaped, biases."""

    def __init__(self, pretrained: Pretrained) -> None:
        architecture = pretrained.architecture
        self.start = architecture.start if architecture.start is not None else 0
        self.unknown = architecture.unknown if architecture.unknown is not None else self.start
        self.window = np.zeros(architecture.context, np.int32)
        self.count = np.zeros(1, np.int64)
        self.flags = np.zeros(0 if pretrained.table.complete else 2, np.int64)
        self.bias = np.zeros(len(pretrained.table.order) if pretrained.adapt else 0, np.int32)
        self.ends = mixing.ends()
        self.final = mixing.final()
        self.watched = np.zeros(1, np.int64)  # up to where the experts were last told to look
        self.forget()

    def forget(self) -> None:
        """Begin a window anew."""
        self.window[0], self.count[0] = self.start, 1

    def make_room(self) -> int:
        """Tokens that the window takes before it is full; at least one."""
        half = len(self.window) // 2
        if self.count[0] == len(self.window):
            self.window[:half] = self.window[-half:].copy()
            self.count[0] = half
        return len(self.window) - int(self.count[0])

    def append(self, token: int) -> None:
        self.window[self.count[0]] = token
        self.count[0] += 1

    @property
    def tokens(self) -> np.ndarray:
        return self.window[: self.count[0]]

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("window", "count", "flags", "bias", "watched")
        return (
            {name: getattr(self, name) for name in names}
            | {f"ends.{name}": getattr(self.ends, name) for name in ("cells", "weights", "before")}
            | {f"final.{name}": getattr(self.final, name) for name in ("weights", "shares")}
        )


class PretrainedLockstep(Lockstep):
    """A Lockstep whose model is a pretrained one; the same interface. Raises ValueError for headers it can't serve."""

    def __init__(self, header: Header, pretrained: Pretrained, network: Network) -> None:
        if header.streams != 1 or header.model is not None or header.replay:
            raise ValueError("a pretrained model codes a single stream, alone or with experts")
        super().__init__(replace(header, experts=None))  # they are made below, with inputs for a model
        self.header = header
        self.pretrained, self.network = pretrained, network
        self.context = self.model = Context(pretrained)  # type: ignore[assignment]
        if header.experts is not None:
            self.experts = Experts(header.experts, True)
            weights = self.experts.state.weights
            weights[weights > 0] = DOUBT
            weights[:, -2:] = TRUST
        self._sums = np.zeros(len(pretrained.table.order) + 1, np.int64)
        self._work = np.zeros(len(pretrained.table.order), np.float32)
        self._frequencies = np.zeros((1, 256), np.uint32)
        self._numbers: np.ndarray | None = None

    def encode(self, data: np.ndarray) -> TokenEncoding:
        return TokenEncoding(self, data)

    def decode(self, transcript: np.ndarray, length: int) -> TokenDecoding:
        return TokenDecoding(self, transcript, length)

    def code(
        self, logits: np.ndarray, at: int, chosen: int, state: np.ndarray, message: np.ndarray, decoding: bool
    ) -> tuple[int, int]:
        """Write or read one token at a position, learn from it; returns its bytes and its code length."""
        context, experts, order = self.context, self.experts, self.pretrained.table.order
        if experts is not None and at >= context.watched[0]:
            self._numbers = experts.begin(self.history, at, self.segment + LONGEST)
            context.watched[0] = at + self.segment
        walk.accumulate(logits, order, context.bias, self._work, self._sums)
        parts = (None, None, None) if experts is None else (context.ends, context.final, experts.state)
        place, size, length = mixing.code_token(
            self.pretrained.trie, self._sums, chosen, context.flags, self._frequencies, *parts, self.history, at, state,
            message, decoding, self._numbers,
        )  # fmt: skip
        if len(context.bias) and place >= 0:
            walk.learn_bias(context.bias, self._sums, place, RATE + 3 * RATE * HASTE // (at + HASTE))
        context.ends.before[1], context.ends.before[0] = context.ends.before[0], place
        context.append(int(order[place]) if place >= 0 else context.unknown)
        return size, length


class TokenEncoding(Encoding):
    """A frame on its way into a transcript; tokens don't cross frames."""

    lockstep: PretrainedLockstep

    def __init__(self, lockstep: PretrainedLockstep, data: np.ndarray) -> None:
        super().__init__(lockstep, data)
        self._places, self._ends = lockstep.pretrained.tokens.cut(data.tobytes())

    def advance(self, segments: int = 1) -> None:
        here = self.lockstep
        goal = min(self.length, self.position + segments * here.segment)
        while self.position < goal:
            self._code_batch()
        if self.done:
            here._position[0] = self._start + self.length

    def _code_batch(self) -> None:
        here, context = self.lockstep, self.lockstep.context
        first = int(np.searchsorted(self._ends, self.position, "right"))
        count = min(BATCH, len(self._ends) - first, context.make_room())
        places = self._places[first : first + count]
        ids = np.where(places >= 0, here.pretrained.table.order[places], context.unknown).astype(np.int32)
        tokens = context.tokens
        logits = here.network.logits(np.concatenate((tokens, ids[:-1])), len(tokens) - 1)
        at, stop = self._start + self.position, int(self._ends[first + count - 1])
        here.put(at, self._data[self.position : stop])
        self._make_room(stop - self.position)
        for k in range(count):
            size, length = here.code(logits[k], at, int(places[k]), self._state, self._message, False)
            at += size
            self.nll += length
        self.position = stop


class TokenDecoding(Decoding):
    """A frame on its way out of its transcript."""

    lockstep: PretrainedLockstep

    def advance(self, segments: int = 1) -> None:
        here, context = self.lockstep, self.lockstep.context
        goal = min(self.length, self.position + segments * here.segment)
        while self.position < goal:
            context.make_room()
            tokens = context.tokens
            logits = here.network.logits(tokens, len(tokens) - 1)
            at = self._start + self.position
            size, length = here.code(logits[0], at, 0, self._state, self._message, True)
            self.nll += length
            size = min(size, self.length - self.position)  # no encoder goes beyond the frame's end
            self.data[self.position : self.position + size] = here.take(at, size)
            self.position += size
        if self.done:
            here._position[0] = self._start + self.length
