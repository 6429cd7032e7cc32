"""The receiver: rebuild the original from a message, frame by frame."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from .cache import load_lockstep
from .message import CODED, Frame, Header, MessageError, Reader, leaf


def steps(header: Header) -> int:
    """Segments to do between two looks at the clock, about 4 KB."""
    return max(1, 4096 // (header.streams * header.segment))


def rebuild(state: Any, frame: Frame, payload: bytes, watch: Callable[[Any], None] | None = None) -> tuple[Any, bytes]:
    """The frame's data, uint8[n], and its leaf digest; `watch` sees the decoding now and then."""
    if frame.kind != CODED:
        data = np.frombuffer(frame.expand(payload), np.uint8)
        state.skip(data)
        return data, leaf(data)
    decoding = state.decode(np.frombuffer(payload, np.uint8), frame.length)
    return complete(state, frame, decoding, watch)


def complete(state: Any, frame: Frame, decoding: Any, watch: Callable[[Any], None] | None) -> tuple[Any, bytes]:
    """Finish a decoding, from wherever it stands."""
    while not decoding.done:
        decoding.advance(steps(state.header))
        if watch and not decoding.done:
            watch(decoding)
    return decoding.data, frame.check_data(decoding.data, state.digest())


def receive(source: BinaryIO, sink: BinaryIO, new_state: Callable[[Header], Any]) -> None:
    """Read a message from `source`, write the original to `sink`, each frame once its digest holds."""
    reader = Reader(source)
    header = reader.read_header()
    if header.prior:
        raise MessageError(f"it builds on prior {header.prior.hex()}: decode it with lmzip")
    state = new_state(header)
    for frame, payload in reader.frames():
        if frame.number and header.independent_frames:
            state = new_state(header)
        data, digest = rebuild(state, frame, payload)
        reader.leaves += digest
        sink.write(data)


def main() -> None:
    """`python FILE.lmz [OUT]`; without OUT, or with -, to standard output."""
    archive, arguments = sys.argv[0], sys.argv[1:]
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        sys.exit(f"usage: python {archive} [OUT]")
    target = arguments[0] if arguments else "-"
    partial = f"{target}.{os.getpid()}.part"
    try:
        with open(archive, "rb") as source:
            if target == "-":
                receive(source, sys.stdout.buffer, load_lockstep())
                sys.stdout.flush()
                return
            if os.path.lexists(target):
                sys.exit(f"{target} exists; name another file")
            with open(partial, "xb") as sink:
                receive(source, sink, load_lockstep())
            os.rename(partial, target)
    except (MessageError, OSError) as error:
        sys.exit(f"{archive}: {error}")
    finally:
        if os.path.exists(partial):
            os.remove(partial)
