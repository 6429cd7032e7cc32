"""GGUF files as they lie on disk (versions 2 and 3, little endian): parsed and bounded here, nothing is trusted.

    magic "GGUF", version uint32, tensors uint64, pairs uint64; the pairs: key, type uint32, value; for each tensor
    name, dimensions uint32 and uint64 each, type uint32, place uint64; from a multiple of `general.alignment` on, data

Strings are a length, uint64, and bytes. Every count and length is compared with what is left of the file before
anything is read; tensors lie one behind the other without overlap. They are mapped, not read; one becomes float32, or
rows of it do, when it is asked for.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PriorError
from .blocks import KINDS, OTHERS, Kind, decode
from .tensors import TENSORS_LIMIT, Tensor

MAGIC = b"GGUF"
VERSIONS = (2, 3)
PAIRS_LIMIT, ELEMENTS_LIMIT, HEADER_LIMIT = 1 << 12, 1 << 22, 1 << 28
STRING_LIMIT, NAME_LIMIT, DIMENSIONS = 1 << 24, 1 << 10, 4
ALIGNMENT, ALIGNMENTS = 32, tuple(8 << n for n in range(14))
STRING, ARRAY, BOOL = 8, 9, 7
NUMBERS = {0: "u1", 1: "i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "u1", 10: "<u8", 11: "<i8", 12: "<f8"}


@dataclass(frozen=True, eq=False)
class BlockTensor(Tensor):
    """A tensor of a GGUF file, under the name and in the order that transformers has.

    `order`: where each row stands in the file; `transposed`: the file has inputs where transformers has outputs.
    """

    order: np.ndarray | None = None
    transposed: bool = False

    @property
    def layout(self) -> str:
        """Blocks, in an order that name and architecture imply."""
        return " gguf"

    def floats(self, rows: Any = None) -> np.ndarray:
        """The tensor, or these rows of it, as finite float32; only these rows are decoded.

        Raises PriorError if a number is not finite.
        """
        kind = next(kind for kind in KINDS.values() if kind.name == self.kind)
        if self.transposed:
            array = decode(kind, self.raw.reshape(self.shape[1], -1)).T
            array = array if rows is None else array[rows]
        else:
            stored = self.raw.reshape(self.shape[0] if self._in_rows(kind) else 1, -1)
            index = rows if self.order is None else self.order if rows is None else self.order[rows]
            array = decode(kind, stored if index is None else stored[index]).reshape(-1, *self.shape[1:])
        if not np.isfinite(array).all():
            raise PriorError(f"{self.path}: {self.name} holds numbers that are not finite")
        return array

    def _in_rows(self, kind: Kind) -> bool:
        """Do entries of the first dimension have bytes of their own?"""
        return len(self.shape) > 1 or kind.weights == 1

    def renamed(self, name: str, order: np.ndarray | None = None, transposed: bool = False) -> BlockTensor:
        """The same bytes as transformers knows them; `order`: int64, one entry a row."""
        shape = self.shape[::-1] if transposed else self.shape
        return replace(self, name=name, shape=shape, order=order, transposed=transposed)


@dataclass(frozen=True)
class Gguf:
    """A file's key/value pairs and tensors. Strings are str, arrays of numbers numpy's, those of strings lists."""

    path: Path
    values: dict[str, Any]
    tensors: dict[str, BlockTensor]


class _Cursor:
    """A place in the file's header, which never goes beyond the end."""

    def __init__(self, data: Any, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0
        self.end = min(len(data), HEADER_LIMIT)

    def damaged(self, why: str) -> PriorError:
        return PriorError(f"{self.path} is no sound GGUF file: {why}")

    def take(self, count: int) -> int:
        """Goes on by so many bytes, and returns where they begin. Raises PriorError if there aren't as many."""
        start, self.at = self.at, self.at + count
        if self.at > self.end:
            raise self.damaged("it is cut short, or its header is too long")
        return start

    def number(self, format: str) -> Any:
        return struct.unpack_from(format, self.data, self.take(struct.calcsize(format)))[0]

    def string(self, limit: int = STRING_LIMIT) -> bytes:
        length = self.number("<Q")
        if length > limit:
            raise self.damaged(f"a string of {length:,} bytes")
        start = self.take(length)
        return self.data[start : start + length]

    def name(self) -> str:
        """A key, or the name of a tensor. Raises PriorError if it is not UTF-8."""
        try:
            return self.string(NAME_LIMIT).decode()
        except UnicodeDecodeError:
            raise self.damaged("a name that is not UTF-8") from None

    def strings(self, count: int) -> list[str]:
        """So many strings; bytes that are not UTF-8 become lone surrogates."""
        self.bounded(count, 8)
        data, at, end = self.data, self.at, self.end
        length_at, result = struct.Struct("<Q").unpack_from, []
        for _ in range(count):
            if at + 8 > end:
                break
            (length,) = length_at(data, at)
            at += 8 + length
            if at > end:
                break
            result.append(data[at - length : at].decode("utf-8", "surrogateescape"))
        if len(result) < count:
            raise self.damaged("an array is cut short")
        self.at = at
        return result

    def bounded(self, count: int, width: int) -> None:
        """Raises PriorError if so many elements can't be there."""
        if count > ELEMENTS_LIMIT or count * width > self.end - self.at:
            raise self.damaged(f"an array of {count:,} elements")

    def value(self, kind: int) -> Any:
        """A value of this type. Raises PriorError."""
        if kind == STRING:
            return self.string().decode("utf-8", "surrogateescape")
        if kind == ARRAY:
            kind, count = self.number("<I"), self.number("<Q")
            if kind == STRING:
                return self.strings(count)
            array = self.array(kind, count)
            return array.astype(bool) if kind == BOOL else array
        number = self.array(kind, 1)[0].item()
        return bool(number) if kind == BOOL else number

    def array(self, kind: int, count: int) -> np.ndarray:
        """So many numbers of this type, copied. Raises PriorError."""
        if kind not in NUMBERS:
            raise self.damaged("an array of arrays" if kind == ARRAY else f"a value of the unknown type {kind}")
        dtype = np.dtype(NUMBERS[kind])
        self.bounded(count, dtype.itemsize)
        start = self.take(count * dtype.itemsize)
        return np.frombuffer(self.data[start : self.at], dtype)


def is_gguf(path: Path) -> bool:
    """Does this file begin as GGUF files do?"""
    try:
        with open(path, "rb") as file:
            return file.read(4) == MAGIC
    except OSError:
        return False


def read(path: Path) -> Gguf:
    """A file's pairs and tensors, all checked; no tensor is read. Raises PriorError."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(_Cursor(data, path), len(data))
    except (OSError, ValueError) as error:  # ValueError: an empty file can't be mapped
        raise PriorError(f"can't read {path}: {getattr(error, 'strerror', None) or error}") from error


def _read(cursor: _Cursor, size: int) -> Gguf:
    if cursor.data[:4] != MAGIC:
        raise cursor.damaged("it does not begin as one")
    cursor.take(4)
    version = cursor.number("<I")
    if version not in VERSIONS:
        raise cursor.damaged(f"version {version}; there are 2 and 3, little endian")
    tensors, pairs = cursor.number("<Q"), cursor.number("<Q")
    if tensors > TENSORS_LIMIT or pairs > PAIRS_LIMIT:
        raise cursor.damaged(f"{tensors:,} tensors and {pairs:,} keys")
    values: dict[str, Any] = {}
    for _ in range(pairs):
        key = cursor.name()
        if key in values:
            raise cursor.damaged(f"the key {key[:80]} is there twice")
        values[key] = cursor.value(cursor.number("<I"))
    entries = sorted((_entry(cursor) for _ in range(tensors)), key=lambda entry: entry[3:])
    alignment = values.get("general.alignment", ALIGNMENT)
    if type(alignment) is not int or alignment not in ALIGNMENTS:
        raise cursor.damaged(f"an alignment of {str(alignment)[:20]}")
    begin = end = -(-cursor.at // alignment) * alignment
    found: dict[str, BlockTensor] = {}
    for name, kind, shape, place, length in entries:
        start = begin + place
        if start != -(-end // alignment) * alignment or start + length > size:
            raise cursor.damaged(f"the tensor {name[:80]} overlaps, leaves a gap or is cut short")
        if name in found:
            raise cursor.damaged(f"the tensor {name[:80]} is there twice")
        end = start + length
        found[name] = BlockTensor(name, kind, shape, cursor.path, start, end)
    if size > -(-end // alignment) * alignment:
        raise cursor.damaged("it is longer than its header says")
    return Gguf(cursor.path, values, found)


def _entry(cursor: _Cursor) -> tuple[str, str, tuple[int, ...], int, int]:
    """A tensor's name, type, shape as numpy has it, place and bytes. Raises PriorError."""
    name = cursor.name()
    count = cursor.number("<I")
    if not 1 <= count <= DIMENSIONS:
        raise cursor.damaged(f"the tensor {name[:80]} has {count} dimensions")
    shape = tuple(cursor.number("<Q") for _ in range(count))[::-1]
    number, place = cursor.number("<I"), cursor.number("<Q")
    if number not in KINDS:
        known = ", ".join(kind.name for kind in KINDS.values())
        raise cursor.damaged(f"{name[:80]} has elements of type {OTHERS.get(number, number)}; there are {known}")
    kind = KINDS[number]
    if not all(1 <= n < 1 << 40 for n in shape) or shape[-1] % kind.weights:
        raise cursor.damaged(f"the tensor {name[:80]} has the shape {shape}")
    return name, kind.name, shape, place, math.prod(shape) // kind.weights * kind.size
