"""The container: docs/format.md, sections 1 to 5. Header, frames and footer, every digest compared."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

from .predictor import Predictor

VERSION = 1  # of the format


class Refused(ValueError):
    """Not an archive that this decoder can rebuild the data from."""


def digest(data: bytes, size: int) -> bytes:
    return hashlib.blake2b(data, digest_size=size).digest()


class Cursor:
    """Takes a message apart; `check` covers what was taken since the last one."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.checked = data, 0, 0

    def take(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if len(part) < count:
            raise Refused("the archive ends early")
        self.at += count
        return part

    def number(self, low: int, high: int) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if not low <= value <= high or (byte == 0 and shift > 7):
            raise Refused("a number is out of bounds")
        return value

    def check(self, key: bytes = b"") -> None:
        expected = digest(key + self.data[self.checked : self.at], 4)
        if self.take(4) != expected:
            raise Refused("damaged")
        self.checked = self.at

    def fields(self, **limits: tuple[int, int]) -> SimpleNamespace:
        return SimpleNamespace(**{name: self.number(*bounds) for name, bounds in limits.items()})


def read_header(cursor: Cursor) -> SimpleNamespace:
    """Section 3."""
    if cursor.take(4) != b"\x8aLMZ" or cursor.number(0, 1 << 62) != VERSION:
        raise Refused("another format version")
    size = cursor.number(1, 1024)
    end = cursor.at + size
    header = cursor.fields(
        seed=(0, (1 << 24) - 1), streams=(1, 1024), segment=(1, 4096), frame_size=(1, 1 << 28), replay=(0, 16),
        flags=(0, 15),
    )  # fmt: skip
    header.model = header.experts = None
    if header.flags & 2:
        header.model = cursor.fields(
            layers=(1, 128), width=(16, 512), heads=(1, 128), hidden=(16, 2048), window=(4, 1024), table_bits=(8, 24)
        )
    if header.flags & 4:
        header.experts = cursor.fields(slots=(1, 1 << 16), contexts=(1, (1 << 31) - 1))
    if header.flags & 8 or cursor.at != end or header.frame_size % (header.streams * header.segment):
        raise Refused("settings that this decoder does not know")
    cursor.check()
    return header


def decode(archive: bytes) -> bytes:
    """The original; every digest is compared, those of the predictor's state as well. Raises Refused."""
    cursor = Cursor(archive)
    header = read_header(cursor)
    key = digest(archive[: cursor.at], 16)
    original, leaves, sizes, nlls = b"", b"", [], 0
    predictor = Predictor(header)
    while kind := cursor.number(0, 3):
        start = cursor.at - 1
        number, length = cursor.number(0, 1 << 62), cursor.number(1, header.frame_size)
        data_digest, size = cursor.take(8), 1 if kind == 3 else length
        nll = size << 23
        if kind == 1:
            size, nll = cursor.number(0, 32 * length + 64), cursor.number(0, length << 28)
            state_digest, transcript_digest = cursor.take(8), cursor.take(4)
        cursor.check(key)
        payload = cursor.take(size)
        cursor.checked = cursor.at
        if number != len(sizes) or len(original) != number * header.frame_size:
            raise Refused("a frame is out of place")
        if number and header.flags & 1:
            predictor = Predictor(header)
        if kind == 1:
            if digest(payload, 4) != transcript_digest:
                raise Refused("damaged")
            data, cost = predictor.decode(payload, length)
            if (cost, predictor.digest()) != (nll, state_digest):
                raise Refused(f"arithmetic differs in frame {number}")
        else:
            data = payload * length if kind == 3 else payload
            predictor.skip(data)
        leaf = digest(data, 32)
        if leaf[:8] != data_digest:
            raise Refused(f"frame {number} does not come back")
        original, leaves, nlls = original + data, leaves + leaf, nlls + nll
        sizes.append(cursor.at - start)
    most = 1 << 70
    totals = [cursor.number(0, most) for _ in range(1 + len(sizes) + 2)]
    if totals != [len(sizes), *sizes, len(original), nlls] or cursor.take(16) != digest(leaves, 16):
        raise Refused("the totals differ")
    start = cursor.checked
    code_size, code_digest = cursor.number(0, 1 << 20), cursor.take(8)
    cursor.check(key)
    if int.from_bytes(cursor.take(4), "little") != cursor.at - start:
        raise Refused("the footer's length is wrong")
    if digest(cursor.take(code_size), 8) != code_digest or cursor.at != len(archive):
        raise Refused("damaged behind the message")
    return original
