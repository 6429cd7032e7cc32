"""Making a prior: by coding a corpus, or by decoding that corpus's archive. Both give the same one, bit for bit."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .. import __version__, engine
from ..codec.cache import source_digest
from ..codec.message import Header, whole_digest
from ..errors import UsageError
from ..ledger import Ledger
from ..receiver import Receiver
from ..sender import Sender
from .fingerprint import Fingerprint, Tap
from .state import pack
from .store import Manifest, digest, settings

Made = tuple[Manifest, dict[str, np.ndarray], np.ndarray]  # what store.write takes


class Corpus(io.RawIOBase):
    """Several files, one behind the other."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = iter(paths)
        self._file: BinaryIO | None = None

    def read(self, size: int = -1) -> bytes:
        while True:
            if self._file is None:
                path = next(self._paths, None)
                if path is None:
                    return b""
                self._file = open(path, "rb")  # noqa: SIM115
            if data := self._file.read(size):
                return data
            self._file.close()
            self._file = None


def train(sender: Sender, source: Any, resume: bool, licence: str, origin: str) -> tuple[Ledger, Made]:
    """Write the archive of a corpus, and make the prior that its predictor has become."""
    seen = Fingerprint()
    sender.goes_on = True
    ledger = sender.run(Tap(source, seen), resume)  # type: ignore[arg-type]
    if not ledger.original:
        raise UsageError("the corpus is empty: there is nothing to learn")
    return ledger, made(sender.state, sender.header, ledger, whole_digest(sender.leaves), seen, licence, origin)


def build(receiver: Receiver, licence: str, origin: str) -> tuple[Ledger, Made]:
    """Make the prior again, from the archive of its corpus; `receiver.sink` must be a `Fingerprinted`."""
    header = receiver.header()
    if header.independent_frames or header.prior:
        raise UsageError("this archive's predictor does not come to one state; take one that lmzip prior train wrote")
    ledger = receiver.run()
    footer = receiver.reader.footer
    assert footer is not None
    return ledger, made(receiver.state, header, ledger, footer.whole, receiver.sink.seen, licence, origin)  # type: ignore[attr-defined]


class Fingerprinted(io.RawIOBase):
    """Takes a corpus, keeps its fingerprint."""

    def __init__(self) -> None:
        self.seen = Fingerprint()

    def write(self, data: Any) -> int:
        self.seen.add(data)
        return len(data)


def made(
    state: Any, header: Header, ledger: Ledger, corpus: bytes, seen: Fingerprint, licence: str, origin: str
) -> Made:
    """The prior that a predictor has become by coding a corpus."""
    plain = settings(header)
    packed = pack(state, engine.lockstep(plain))
    manifest = Manifest(
        state=digest(plain, packed).hex(),
        settings=plain.pack().hex(),
        corpus=corpus.hex(),
        length=ledger.original,
        transcript=ledger.transcript,
        rebuilt=ledger.archive - ledger.code,
        codec=source_digest(),
        version=__version__,
        licence=licence,
        source=origin,
    )
    return manifest, packed, seen.known
