"""What each context of the experts is worth to some data: without it, and with nothing but it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import engine
from ..codec.message import NLL_BITS, Header

# Bit k of ExpertSettings.contexts, see codec/experts.py
NAMES = (
    "order 1",
    "order 2",
    "order 3",
    "order 4",
    "order 5",
    "word",
    "two words before",
    "word, word before",
    "order 8",
    "word, word two before, last byte",
    "sparse: bytes 2 and 3",
    "sparse: bytes 1 and 3",
    "indirect: what followed byte 1",
    "indirect: what followed bytes 1 and 2",
    "classes of 4 bytes, byte 1",
    "column, byte above, byte 1",
    "word, first byte of line, byte 1",
    "word, two words before",
    "sparse: bytes 3 to 5",
    "word before, bytes 1 and 2",
    "word, byte before the word",
    "expected byte, bytes 1 and 2",
    "bytes 1 and 2, upper halves of 3 to 5",
    "word, bracket",
    "order 4, bracket",
    "classes of 16 bytes",
    "bytes 1 and 2, length of word, column, bracket",
    "word, word that followed the word before; x86: address expected, byte 1",
    "word, column; x86: address expected, instruction",
    "byte above, bytes 1 and 2",
    "expected byte, order 1, length of match",
)


def worth(data: bytes, header: Header, look: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Code lengths in bits of `data` by the experts alone, without each context in use, and with no other.

    What is left in every case are order 0, the match model and the mixer; the language model, which would take most of
    the time, is left out. `look` is told what comes next.
    """
    assert header.experts is not None
    used = header.experts.contexts

    def bits(contexts: int) -> float:
        assert header.experts is not None
        settings = replace(header.experts, contexts=contexts)
        state = engine.lockstep(replace(header, model=None, replay=0, prior=None, segment=256, experts=settings))
        encoding = state.encode(np.frombuffer(data, np.uint8))
        while not encoding.done:
            encoding.advance(64)
        return encoding.nll / (1 << NLL_BITS)

    look("all contexts")
    whole = bits(used)
    rows = []
    for k, name in enumerate(NAMES):
        if used >> k & 1:
            look(name)
            rows.append({"number": k, "name": name, "without": bits(used ^ 1 << k), "alone": bits(1 << k)})
    return {"bytes": len(data), "all": whole, "contexts": rows}
