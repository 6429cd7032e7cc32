"""The loop, and the digest of the state: docs/predictor.md, sections 1 and 8."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

from .coder import RangeDecoder, code_length
from .experts import Experts
from .learner import Learner
from .model import LanguageModel


class Predictor:
    """Everything learnt from the bytes so far; decodes a frame."""

    def __init__(self, header: SimpleNamespace) -> None:
        self.header, self.history = header, bytearray()
        self.model: LanguageModel | None = None
        self.learner: Learner | None = None
        self.experts: Experts | None = None

    def skip(self, data: bytes) -> None:
        """Bytes of a frame that was stored or filled: nothing is learnt of them."""
        self.history += data
        for part in (self.model, self.experts):
            if part:
                part.forget()

    def decode(self, transcript: bytes, length: int) -> tuple[bytes, int]:
        """A frame's bytes and their code length in 2^-20 bit."""
        header, coder, start = self.header, RangeDecoder(transcript), len(self.history)
        if header.model and self.model is None:  # before the first coded frame
            self.model = LanguageModel(header)
            self.learner = Learner(self.model)
        if header.experts and self.experts is None:
            self.experts = Experts(header.experts, header.model is not None)
        streams, segment = header.streams, header.segment
        stride = length // (streams * segment) * segment
        begins = [start + b * stride for b in range(streams)] if streams > 1 else [0]
        if streams > 1 and self.model:
            self.model.forget()
        self.history += bytes(length)
        nll = done = 0
        while done < length:
            whole = done < stride * streams
            if whole:
                first, count = 0, segment
                positions = [start + b * stride + done // streams for b in range(streams)]
            else:  # the rest is the last stream's
                first, count = streams - 1, min(segment, length - done)
                positions = [start + done] * streams
            if self.experts:
                self.experts.begin(self.history, positions[0])
            nll += self.decode_segment(coder, begins, positions, first, count)
            done += count * (streams - first)
            if self.learner and whole:
                self.learner.learn(self.history, begins, positions)
            elif self.model:
                self.model.advance(count)
        return bytes(self.history[start:]), nll

    def decode_segment(
        self, coder: RangeDecoder, begins: list[int], positions: list[int], first: int, count: int
    ) -> int:
        """`count` positions of the streams `first` …; returns their code length."""
        nll, model, experts, uniform = 0, self.model, self.experts, [1 << 16] * 256
        spent = experts.ledger[0] if experts else 0
        if experts and not model:
            experts.decode(self.history, positions[0], positions[0] + count, coder)
            return experts.ledger[0] - spent
        if model:
            model.segment = [[] for _ in positions]
        for t in range(count):
            for b, position in enumerate(positions):
                f = uniform
                if model:
                    traces, contexts = model.segment[b], model.contexts(self.history, begins[b], position + t)
                    before = traces[-1].blocks if traces else []
                    traces.append(model.predict(contexts, before, model.caches[b], model.past, t))
                    f = traces[-1].frequencies
                if experts:
                    experts.code_byte(self.history, position + t, f, coder)
                elif b >= first:
                    byte = self.history[position + t] = coder.symbol(f)
                    nll += code_length(f[byte], 24)
        return experts.ledger[0] - spent if experts else nll

    def digest(self) -> bytes:
        """Of the state, after a frame."""
        state = hashlib.blake2b(digest_size=8)
        state.update(b"position" + len(self.history).to_bytes(8, "little"))
        for part in (self.model, self.learner, self.experts):
            for name, content in part.arrays() if part else ():
                state.update(name.encode() + content)
        return state.digest()
