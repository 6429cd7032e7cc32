"""safetensors files as they lie on disk: parsed and bounded here, for numpy has no bfloat16, and nothing is trusted.

A header of at most 16 MB says in JSON where each tensor lies; types, shapes and places must agree with the file's size
before anything is allocated. Tensors are mapped, not read; one becomes float32 when it is asked for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import PriorError

HEADER_LIMIT = 1 << 24
FILES_LIMIT, TENSORS_LIMIT, JSON_LIMIT = 1 << 10, 1 << 16, 1 << 27
INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
WIDTHS = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "U8": 1, "I8": 1, "BOOL": 1, "I32": 4, "I64": 8}
FLOATS = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: its bytes are [start, stop) of a file."""

    name: str
    kind: str
    shape: tuple[int, ...]
    path: Path
    start: int
    stop: int

    @property
    def layout(self) -> str:
        """How the bytes are laid out, if not as in safetensors: what its digest says besides name, type and shape."""
        return ""

    @cached_property
    def raw(self) -> np.ndarray:
        """Its bytes, mapped."""
        if self.stop == self.start:
            return np.zeros(0, np.uint8)
        return np.memmap(self.path, np.uint8, "r", self.start, (self.stop - self.start,))

    def floats(self, rows: Any = None) -> np.ndarray:
        """The tensor, or these rows of it, as finite float32: conversion from the shorter types is exact.

        Raises PriorError if its elements are of another type, or not finite.
        """
        if self.kind not in FLOATS:
            raise PriorError(f"{self.path}: {self.name} has elements of type {self.kind}, which no weights here have")
        raw = self.raw
        if self.kind == "BF16":
            array = raw.view("<u2").reshape(self.shape)
            array = array if rows is None else array[rows]
            array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
        else:
            array = raw.view("<f4" if self.kind == "F32" else "<f2").reshape(self.shape)
            array = np.array(array if rows is None else array[rows], np.float32)
        if not np.isfinite(array).all():
            raise PriorError(f"{self.path}: {self.name} holds numbers that are not finite")
        return array


def tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a model's directory, by name. Raises PriorError if files are missing, unsound or pickles."""
    if (folder / INDEX).is_file():
        index = load_json(folder / INDEX)
        weights = index.get("weight_map")
        if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights.values()):
            raise PriorError(f"{folder / INDEX} makes no sense")
        files = sorted(set(weights.values()))
        if len(files) > FILES_LIMIT or any(Path(name).name != name for name in files):
            raise PriorError(f"{folder / INDEX} names files elsewhere, or too many")
    elif (folder / SINGLE).is_file():
        files = [SINGLE]
    else:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth"))
        why = "only pickles, which could run code and are not opened" if pickled else "no weights"
        raise PriorError(f"{folder} holds {why}; save the model as safetensors: model.save_pretrained(DIR)")
    result: dict[str, Tensor] = {}
    for name in files:
        for tensor in tensors_of(folder / name):
            if tensor.name in result:
                raise PriorError(f"{folder}: {tensor.name} is there twice")
            result[tensor.name] = tensor
    if len(result) > TENSORS_LIMIT:
        raise PriorError(f"{folder} holds more tensors than any model here")
    return result


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What goes wrong with a file of JSON, as a PriorError."""
    try:
        yield
    except OSError as error:
        raise PriorError(f"can't read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PriorError(f"{path} is damaged: {error}") from error


def tensors_of(path: Path) -> Iterator[Tensor]:
    """Every tensor of a safetensors file, in its order. Raises PriorError if it is unsound."""
    with _reading(path):
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(HEADER_LIMIT, size - 8):
                raise PriorError(f"{path} is no safetensors file, or cut short")
            header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise PriorError(f"{path} is damaged: its header is no object")
    header.pop("__metadata__", None)
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: _offset(item[1])):
        try:
            kind, shape = entry["dtype"], tuple(entry["shape"])
            start, stop = entry["data_offsets"]
            sound = kind in WIDTHS and len(shape) <= 8 and all(type(n) is int and 0 <= n < 1 << 40 for n in shape)
            sound = sound and type(start) is int and type(stop) is int and start == end
            sound = sound and stop - start == math.prod(shape) * WIDTHS[kind] and stop <= size - 8 - length
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound:
            raise PriorError(
                f"{path} is damaged, or of an unknown type: {name[:80]!r} has no sound type, shape or place"
            )
        end = stop
        yield Tensor(name, kind, shape, path, 8 + length + start, 8 + length + stop)
    if end != size - 8 - length:
        raise PriorError(f"{path} is damaged: it is not as long as its header says")


def _offset(entry: Any) -> int:
    try:
        return int(entry["data_offsets"][0])
    except (KeyError, TypeError, ValueError, IndexError):
        return -1


def load_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises PriorError if there is none, or it is too long."""
    with _reading(path):
        if path.stat().st_size > JSON_LIMIT:
            raise PriorError(f"{path} is too long")
        value = json.loads(path.read_bytes())
    if not isinstance(value, dict):
        raise PriorError(f"{path} is damaged: it is no object")
    return value
