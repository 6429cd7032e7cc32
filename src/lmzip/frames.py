"""Frames on their way into an archive: which are stored, which are coded, and what is written of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from .codec.message import CODED, FILLED, STORED, Frame, Header, digest, leaf
from .codec.receive import steps
from .ledger import shares
from .predictor import Encoding, Predictor

PROBED = 4096  # frames of fewer bytes are simply tried


def is_incompressible(data: np.ndarray) -> bool:
    """Do the cheap statistics find less than 0.5 % to gain in uint8[n]? True for random and for compressed data.

    Entropies of bytes, of bytes by the one before, by position in records of 2, 3 and 4 bytes, and of differences,
    each less what chance alone gives (half a degree of freedom costs 1 / (2 ln 2) bit).
    """
    n = len(data)
    if n < PROBED:
        return False

    def gain(symbols: np.ndarray, contexts: int) -> float:
        counts = np.bincount(symbols, minlength=256 * contexts).astype(np.float64).reshape(contexts, 256)
        totals = counts.sum(axis=1)
        used = counts[counts > 0]
        bits = (totals[totals > 0] * np.log2(totals[totals > 0])).sum() - (used * np.log2(used)).sum()
        freedom = 255 * np.minimum(totals / 256, 1).sum()
        return 8 * totals.sum() - bits - freedom / (2 * math.log(2))

    def views() -> Iterator[tuple[np.ndarray, int]]:  # one at a time and narrow: this comes on top of all tables
        yield data, 1
        for size in (2, 3, 4):
            yield data + np.tile(np.arange(size, dtype=np.uint16) * 256, n // size + 1)[:n], size
        for lag in (1, 2, 3, 4):
            yield data[lag:] - data[:-lag], 1
        if n >= 1 << 18:
            yield data[1:] + data[:-1].astype(np.uint16) * 256, 256

    return all(gain(*view) < 0.005 * 8 * n for view in views()) and not _repeats(data)


def _repeats(data: np.ndarray) -> bool:
    """Is more than one in 200 of its eight-byte strings, sampled, a copy of another?"""
    whole = data[: len(data) // 8 * 8]
    strings = np.lib.stride_tricks.sliding_window_view(whole, 8)
    sampled = strings[(whole[:-7] & 15 == 5) & (whole[1:-6] & 1 == 1)]  # one in 32, chosen by content
    keys = np.ascontiguousarray(sampled).view(np.uint64)
    return len(keys) - len(np.unique(keys)) > len(keys) / 200


@dataclass
class Coded:
    """A frame ready to be written: its head, its payload, the digest of its data."""

    frame: Frame
    payload: bytes
    leaf: bytes
    shares: dict[str, int] = field(default_factory=dict)


def _plain(kind: int, index: int, data: bytes) -> Coded:
    digest_ = leaf(data)
    return Coded(Frame.plain(kind, index, len(data), digest_[:8]), data[:1] if kind == FILLED else data, digest_)


def encode_frame(
    header: Header,
    index: int,
    data: bytes,
    alone: bool,
    predictor: Predictor,
    encoding: Encoding | None = None,
    watch: Callable[[Encoding], None] | None = None,
) -> Coded:
    """Code one frame with a predictor. `alone`: no later frame depends on it."""
    array = np.frombuffer(data, np.uint8)
    if encoding is None:
        kind = FILLED if data.count(data[:1]) == len(data) else STORED if is_incompressible(array) else CODED
        if kind != CODED:
            if not alone:
                predictor.skip(array)
            return _plain(kind, index, data)
        encoding = predictor.encode(array)
    while not encoding.done:
        encoding.advance(steps(header))
        if watch and not encoding.done:
            watch(encoding)
    transcript = encoding.finish()
    digest_ = leaf(data)
    frame = Frame(
        CODED, index, len(data), digest_[:8], len(transcript), encoding.nll, predictor.digest(), digest(transcript, 4)
    )
    coded = Coded(frame, transcript, digest_, shares(predictor))
    stored = _plain(STORED, index, data)
    if alone and len(stored.frame.pack(b"")) + len(data) <= len(frame.pack(b"")) + len(transcript):
        return stored
    return coded


def blocks(source: BinaryIO, size: int) -> Iterator[tuple[bytes, bool]]:
    """The source in blocks of `size` bytes, each with whether it is the last."""
    block = read_block(source, size)
    while block:
        after = read_block(source, size) if len(block) == size else b""
        yield block, not after
        block = after


def read_block(source: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end of the source."""
    parts = []
    while size:
        part = source.read(min(size, 1 << 20))
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
