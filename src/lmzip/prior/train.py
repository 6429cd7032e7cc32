"""Making a prior: by coding a corpus, or by decoding that corpus's archive. Both give the same one, bit for bit."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..about import VERSION
from ..codec.cache import source_digest
from ..codec.message import whole_digest
from ..errors import UsageError
from ..ledger import Ledger
from ..receiver import Receiver
from ..sender import Sender
from ..session import Session
from .fingerprint import Fingerprint, Tap
from .state import pack
from .store import Manifest, digest, settings

Parts = tuple[Manifest, dict[str, np.ndarray], np.ndarray]  # of a prior's file: what store.write takes


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


def train(sender: Sender, source: Any, resume: bool, licence: str, origin: str) -> tuple[Ledger, Parts]:
    """Write the archive of a corpus, and make the prior that its predictor has become.

    licence, origin: of the corpus, kept in the prior. Raises UsageError where the corpus is empty, and what
    Sender.run raises.
    """
    seen = Fingerprint()
    sender.goes_on = True
    ledger = sender.run(Tap(source, seen), resume)  # type: ignore[arg-type]
    if not ledger.original:
        raise UsageError("the corpus is empty: there is nothing to learn")
    return ledger, parts(sender.predictor, ledger, whole_digest(sender.leaves), seen, (licence, origin), sender.session)


def build(receiver: Receiver, licence: str, origin: str) -> tuple[Ledger, Parts]:
    """Make the prior again, from the archive of its corpus; `receiver.sink` must be a `Fingerprinted`.

    Raises UsageError where it can't come to one, and what Receiver.run raises.
    """
    header = receiver.header()
    if header.independent_frames or header.prior:
        raise UsageError("this archive's predictor does not come to one state; take one that lmzip prior train wrote")
    ledger = receiver.run()
    footer = receiver.reader.footer
    assert footer is not None
    assert isinstance(receiver.sink, Fingerprinted)
    return ledger, parts(
        receiver.predictor, ledger, footer.whole, receiver.sink.seen, (licence, origin), receiver.session
    )


class Fingerprinted(io.RawIOBase):
    """Takes a corpus, keeps its fingerprint."""

    def __init__(self) -> None:
        self.seen = Fingerprint()

    def write(self, data: Any) -> int:
        self.seen.add(data)
        return len(data)


def parts(
    predictor: Any, ledger: Ledger, corpus: bytes, seen: Fingerprint, notes: tuple[str, str], session: Session
) -> Parts:
    """The prior that a predictor has become by coding a corpus, whose digest is `corpus`. notes: licence, origin."""
    plain = settings(predictor.header)
    packed = pack(predictor, session.lockstep(plain))
    manifest = Manifest(
        state=digest(plain, packed).hex(),
        settings=plain.pack().hex(),
        corpus=corpus.hex(),
        length=ledger.original,
        transcript=ledger.transcript,
        rebuilt=ledger.archive - ledger.code,
        codec=source_digest(),
        version=VERSION,
        licence=notes[0],
        source=notes[1],
    )
    return manifest, packed, seen.known
