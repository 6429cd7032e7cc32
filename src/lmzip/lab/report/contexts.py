"""What each context of the experts is worth to some data: without it, and with nothing but it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...codec.message import Header
from ...prior.worth import bits
from ...session import Session

# Bit k of ExpertSettings.contexts; the same names stand where they are hashed, in codec/experts.py
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


def worth(
    data: bytes, header: Header, session: Session, look: Callable[[str], None] = lambda name: None
) -> dict[str, Any]:
    """Code lengths in bits of `data` by the experts alone, without each context in use, and with no other.

    What is left in every case are order 0, the match model and the mixer; the language model, which would take most of
    the time, is left out. `look` is told what comes next.
    """
    assert header.experts is not None
    used = header.experts.contexts

    def with_only(contexts: int) -> float:
        assert header.experts is not None
        settings = replace(header.experts, contexts=contexts)
        return bits(replace(header, model=None, replay=0, prior=None, segment=256, experts=settings), [data], session)

    look("all contexts")
    whole = with_only(used)
    rows = []
    for k, name in enumerate(NAMES):
        if used >> k & 1:
            look(name)
            rows.append({"number": k, "name": name, "without": with_only(used ^ 1 << k), "alone": with_only(1 << k)})
    return {"bytes": len(data), "all": whole, "contexts": rows}
