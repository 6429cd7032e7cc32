"""The loop that sender and receiver share when a pretrained model predicts: by tokens, and in them by bytes.

A token is coded as a walk along the trie of all tokens' bytes: at a node that is a token itself and goes on, whether it
ends there; else the next byte, by the model's weight of each. With experts every such choice is mixed with what they
predict, so the archive adapts to its file; without them a token costs -log2 of its probability.

A frame is cut into as many streams as the header says. They are coded in step, a token of each in turn, and each has a
window of its own, so the network predicts for all of them at once. The sender predicts as many tokens as it likes; the
receiver predicts behind the last one and behind those that it guesses will follow, for as far as a guess turns out
right, the next prediction is there. No bit depends on either.

A window that is full begins anew with the last of its tokens.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..codec.experts import _MATCH_MASK, _MATCHED, _MEMORY, _SLOT_MASK, Experts
from ..codec.lockstep import Decoding, Encoding, Lockstep
from ..codec.message import Header
from ..codec.numeric import FIRST, SAMPLED
from . import mixing, walk
from .guesses import Guesses
from .inference import Network
from .product import ROWS
from .table import LONGEST

if TYPE_CHECKING:
    from .model import Pretrained

BATCH = 128  # tokens that the sender predicts at once, of all streams
TRUST, DOUBT = (
    (50000, 15000),
    1000,
)  # weights (65536: 1) of the model's inputs to the mix of bytes, of all others, at first
RATE, HASTE = 80, 800  # of biases: so many 1024ths of the gradient, four times as many at first, twice by 1,600 bytes


class Context:
    """What a pretrained model holds of the data: each stream's tokens, how often bytes were escaped, biases."""

    def __init__(self, pretrained: Pretrained, streams: int, span: int) -> None:
        architecture = pretrained.architecture
        self.start = architecture.start if architecture.start is not None else 0
        self.unknown = architecture.unknown if architecture.unknown is not None else self.start
        self.kept = pretrained.context // 2  # tokens with which a full window begins anew
        self.windows = np.zeros((streams, span), np.int32)
        self.counts = np.zeros(streams, np.int64)
        self.done = np.zeros(streams, np.int64)  # bytes of each stream's part of the frame
        self.before = np.zeros((streams, 2), np.int64)  # places of the last two tokens, the last one first
        self.memories = np.zeros((streams, _MEMORY), np.uint64)
        self.flags = np.zeros(0 if pretrained.table.complete else 2, np.int64)
        self.bias = np.zeros(len(pretrained.table.order) if pretrained.adapt else 0, np.int32)
        self.ends, self.final = mixing.ends(), mixing.final()
        self.watched = np.zeros(1, np.int64)  # up to where the experts were last told to look
        self.forget()

    def forget(self) -> None:
        """Begin all windows anew, and leave matches: what was coded last is not what comes before the next byte."""
        self.windows[:, 0], self.counts[:] = self.start, 1
        self.memories[:, _MATCHED] = 0

    def make_room(self, stream: int) -> int:
        """Tokens that a window takes before it is full; at least one."""
        span = self.windows.shape[1]
        if self.counts[stream] == span:
            self.windows[stream, : self.kept] = self.windows[stream, span - self.kept :].copy()
            self.counts[stream] = self.kept
        return span - int(self.counts[stream])

    def append(self, stream: int, token: int) -> None:
        self.windows[stream, self.counts[stream]] = token
        self.counts[stream] += 1

    def tokens(self, stream: int) -> np.ndarray:
        return self.windows[stream, : self.counts[stream]]

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("windows", "counts", "done", "before", "memories", "flags", "bias", "watched")
        return (
            {name: getattr(self, name) for name in names}
            | {f"ends.{name}": getattr(self.ends, name) for name in ("cells", "weights")}
            | {f"final.{name}": getattr(self.final, name) for name in ("weights", "shares")}
        )


class PretrainedLockstep(Lockstep):
    """A Lockstep whose model is a pretrained one; the same interface. Raises ValueError for headers it can't serve."""

    def __init__(self, header: Header, pretrained: Pretrained, network: Network) -> None:
        if header.model is not None or header.replay:
            raise ValueError("a pretrained model predicts alone or with experts, and is not trained")
        super().__init__(replace(header, experts=None))  # they are made below, with inputs for a model
        self.header = header
        self.pretrained, self.network = pretrained, network
        self.context = self.model = Context(pretrained, header.streams, network.span)  # type: ignore[assignment]
        self.read = [network.window() for _ in range(header.streams)]
        if header.experts is not None:
            self.experts = Experts(header.experts, True)
            weights = self.experts.state.weights
            weights[weights > 0] = DOUBT
            weights[:, -2:] = TRUST
            self.context.memories = np.tile(self.experts.state.memory, (header.streams, 1))
        self._sums = np.zeros(len(pretrained.table.order) + 1, np.int64)
        self._work = np.zeros(len(pretrained.table.order), np.float32)
        self._frequencies = np.zeros((1, 256), np.uint32)

    def encode(self, data: np.ndarray) -> TokenEncoding:
        return TokenEncoding(self, data)

    def decode(self, transcript: np.ndarray, length: int) -> TokenDecoding:
        return TokenDecoding(self, transcript, length)

    def predict(self, ahead: dict[int, np.ndarray]) -> list[np.ndarray]:
        """Logits behind each stream's last token, and behind each of the tokens that may follow it, int32[n]."""
        asked = []
        for stream, following in ahead.items():
            tokens = self.context.tokens(stream)
            asked.append((self.read[stream], np.concatenate((tokens, following)), len(tokens) - 1))
        return self.network.logits(asked)

    def code(
        self, stream: int, logits: np.ndarray, at: int, chosen: int, state: np.ndarray, message: np.ndarray,
        decoding: bool,
    ) -> tuple[int, int]:  # fmt: skip
        """Write or read one token of a stream at a position, learn from it; returns its bytes and its code length."""
        context, experts, order = self.context, self.experts, self.pretrained.table.order
        if experts is not None:
            self._look(stream, at)
        context.ends.before[:] = context.before[stream]
        walk.accumulate(logits, order, context.bias, self._work, self._sums)
        parts = (None, None, None) if experts is None else (context.ends, context.final, experts.state)
        place, size, length = mixing.code_token(
            self.pretrained.trie, self._sums, chosen, context.flags, self._frequencies, *parts, self.history, at, state,
            message, decoding, self._samples(),
        )  # fmt: skip
        if len(context.bias) and place >= 0:
            walk.learn_bias(context.bias, self._sums, place, RATE + 3 * RATE * HASTE // (at + HASTE))
        context.before[stream] = place, context.before[stream, 0]
        if experts is not None:
            context.memories[stream] = experts.state.memory
        context.append(stream, int(order[place]) if place >= 0 else context.unknown)
        return size, length

    def _look(self, stream: int, at: int) -> None:
        """Let the experts look at where a stream is, in tables that all of them share, and grow those."""
        context, experts = self.context, self.experts
        assert experts is not None
        memory = experts.state.memory
        sizes = memory[_SLOT_MASK], memory[_MATCH_MASK]
        memory[:] = context.memories[stream]
        memory[_SLOT_MASK], memory[_MATCH_MASK] = sizes
        if self.streams > 1:
            experts.grow(self.position + int(context.done.sum()))
        elif at >= context.watched[0]:
            experts.begin(self.history, at, self.segment + LONGEST)
            context.watched[0] = at + self.segment

    def _samples(self) -> np.ndarray | None:
        """What `Experts.begin` gave when the experts last looked; derived, so that a checkpoint need not hold it."""
        if self.experts is None or self.streams > 1:
            return None
        sampled = self.experts.state.sampled
        expected = self.context.watched[0] + LONGEST > sampled[FIRST]
        return sampled if expected and len(self.experts.state.active) >= SAMPLED else None


class _Parts:
    """What coding and decoding a frame have in common: a part for every stream, of which tokens are coded in step."""

    lockstep: Any
    length: int
    position: int
    _start: int

    def _cut(self) -> None:
        """Cut the frame into the bytes of each stream's part."""
        streams = self.lockstep.streams
        self.lockstep.context.done[:] = 0
        starts = [self.length * stream // streams for stream in range(streams + 1)]
        self._parts = list(map(range, starts, starts[1:]))

    def advance(self, segments: int = 1) -> None:
        """Code at least so many segments more, but for the frame's end: whole tokens, of every stream."""
        goal = min(self.length, self.position + segments * self.lockstep.segment)
        while self.position < goal:
            self._code_tokens()
        if self.position == self.length:
            self.lockstep._position[0] = self._start + self.length
            self.lockstep.context.done[:] = 0

    def _code_tokens(self) -> None:
        """One token or more of every stream that is not done."""
        raise NotImplementedError


class TokenEncoding(_Parts, Encoding):
    """A frame on its way into a transcript; tokens cross neither frames nor streams."""

    lockstep: PretrainedLockstep

    def __init__(self, lockstep: PretrainedLockstep, data: np.ndarray) -> None:
        super().__init__(lockstep, data)
        self._cut()
        tokens = lockstep.pretrained.tokens
        self._cuts = [tokens.cut(data[part.start : part.stop].tobytes()) for part in self._parts]

    def _code_tokens(self) -> None:
        """Tokens of every stream that is not done, as many of each."""
        here, context = self.lockstep, self.lockstep.context
        order = here.pretrained.table.order
        coded, first = {}, {}  # by stream: where tokens end; how many are coded
        for stream, (part, (_, ends)) in enumerate(zip(self._parts, self._cuts)):
            if context.done[stream] < len(part):
                coded[stream] = ends
                first[stream] = int(np.searchsorted(ends, context.done[stream], "right"))
        count = max(1, BATCH // len(coded))
        for stream, ends in coded.items():
            count = min(count, len(ends) - first[stream], context.make_room(stream))
        places = {stream: self._cuts[stream][0][first[stream] : first[stream] + count] for stream in coded}
        ids = {s: np.where(p >= 0, order[p], context.unknown).astype(np.int32)[:-1] for s, p in places.items()}
        logits = here.predict(ids)
        for k in range(count):
            for stream, predicted in zip(coded, logits):
                begin, stop = int(context.done[stream]), int(coded[stream][first[stream] + k])
                at = self._parts[stream].start + begin
                here.put(self._start + at, self._data[at : at + stop - begin])
                self._make_room(stop - begin)
                place = int(places[stream][k])
                size, length = here.code(
                    stream, predicted[k], self._start + at, place, self._state, self._message, False
                )
                context.done[stream] += size
                self.position += size
                self.nll += length


class TokenDecoding(_Parts, Decoding):
    """A frame on its way out of its transcript."""

    lockstep: PretrainedLockstep

    def __init__(self, lockstep: PretrainedLockstep, transcript: np.ndarray, length: int) -> None:
        super().__init__(lockstep, transcript, length)
        self._cut()
        self._guesses = [Guesses() for _ in self._parts]
        # What was guessed, and the logits behind it
        self._known: list[list[tuple[int, np.ndarray]]] = [[] for _ in self._parts]

    def _code_tokens(self) -> None:
        """A token of every stream that is not done."""
        here, done = self.lockstep, self.lockstep.context.done
        streams = [stream for stream, part in enumerate(self._parts) if done[stream] < len(part)]
        self._predict([stream for stream in streams if not self._known[stream]])
        for stream in streams:
            part, known = self._parts[stream], self._known[stream]
            _, logits = known.pop(0)
            at = part.start + int(done[stream])
            size, length = here.code(stream, logits, self._start + at, 0, self._state, self._message, True)
            size = min(size, part.stop - at)  # no encoder goes beyond a part's end
            self.data[at : at + size] = here.take(self._start + at, size)
            done[stream] += size
            self.position += size
            self.nll += length
            self._compare(stream, int(here.context.tokens(stream)[-1]))

    def _predict(self, streams: list[int]) -> None:
        """Logits behind the last token of these streams, and behind what is guessed to follow."""
        if not streams:
            return
        here = self.lockstep
        ahead = {}
        for stream in streams:
            most = min(here.context.make_room(stream), ROWS // len(streams)) - 1
            ahead[stream] = np.array(self._guesses[stream].ahead(most), np.int32)
        for (stream, guesses), logits in zip(ahead.items(), here.predict(ahead)):
            self._known[stream] = list(zip([-1, *guesses.tolist()], logits))

    def _compare(self, stream: int, token: int) -> None:
        """What was predicted behind a guess is kept if this token is the one that was guessed."""
        known = self._known[stream]
        if known and known[0][0] != token:
            known.clear()
        self._guesses[stream].learn(token)
