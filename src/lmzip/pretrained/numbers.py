"""A model's numbers as its network takes them, by name: integers in panels, norms, rotations.

Making them of stored weights takes seconds, so they are kept in the user's cache, a safetensors file for each model
and precision, and mapped: processes share them, and a start reads what it uses. Whoever made a file has checked them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import kept
from ..codec.exact import f4
from ..errors import PriorError, UsageError
from . import functions, product
from .families import BITS, Architecture, Weights
from .tensors import tensors_of

FOLDER = "weights"  # of the cache
VERSION = 1  # of what is kept; counts up when `made` gives other numbers
LIMIT, LIMIT_NAME = 8 << 30, "LMZIP_CACHE_LIMIT"  # bytes that are kept of all models; the variable that says otherwise
MATRICES, NORMS = ("qkv", "out", "up", "down"), ("before", "behind", "before_second", "behind_second")
Numbers = dict[str, np.ndarray]


def made(architecture: Architecture, weights: Weights, bits: int) -> Numbers:
    """Of stored weights. Raises PriorError for what is missing, left over, or not finite.

    NAME.weight: int8[limbs, panels, pairs, LANES, 2] with NAME.scale, NAME.bias, for the matrices 0.qkv … and head;
    0.before.gain, .bias … final.gain, .bias; 0.queries, 0.keys: gains of heads; positions: float32[positions, width].
    """
    numbers: Numbers = {}
    weights.embedding().floats()  # to see that all of it is finite
    for layer in range(architecture.layers):
        for name in MATRICES:
            numbers |= _linear(f"{layer}.{name}", *weights.linear(layer, name), bits)
        for name, norm in zip(NORMS, weights.norms(layer)):
            if norm is not None:
                numbers[f"{layer}.{name}.gain"], numbers[f"{layer}.{name}.bias"] = norm
        if (gains := weights.head_norms(layer)) is not None:
            numbers[f"{layer}.queries"], numbers[f"{layer}.keys"] = gains
    numbers["final.gain"], numbers["final.bias"] = weights.last_norm()
    head, bias = weights.head()
    numbers |= _linear("head", head.floats(), bias, bits)
    if (positions := weights.positions()) is not None:
        numbers["positions"] = positions
    weights.finish()
    return numbers


def turns(architecture: Architecture, span: int) -> Numbers:
    """Of windows of `span` tokens: cosines and sines, local ones too if any; float32[span, turning dimensions / 2]."""
    dims, numbers = architecture.rotary, {}
    numbers["cosines"], numbers["sines"] = _turns(dims, architecture.base, architecture.scaling, span)
    if architecture.local_base:
        numbers["local_cosines"], numbers["local_sines"] = _turns(dims, architecture.local_base, None, span)
    return numbers


def _linear(name: str, weight: np.ndarray, bias: np.ndarray, bits: int) -> Numbers:
    """Weights float32[outputs, inputs] as integers, a scale for every output, rounded to nearest."""
    limbs, limit = BITS[bits]
    most = np.maximum(np.abs(weight).max(1), f4(1e-20))
    integers = np.zeros((limbs, *weight.shape), np.int8)
    for start in range(0, len(weight), 4096):  # a copy of a part of it at a time
        rows = slice(start, start + 4096)
        q = np.rint(weight[rows] * (f4(limit) / most[rows])[:, None]).astype(np.int32)
        for limb in range(limbs - 1, 0, -1):
            high = (q + 128) >> 8
            integers[limb, rows] = q - (high << 8)
            q = high
        integers[0, rows] = q
    panels = np.stack([product.panels(limb) for limb in integers])
    return {f"{name}.weight": panels, f"{name}.scale": most / f4(limit), f"{name}.bias": bias}


def _turns(dims: int, base: float, scaling: dict[str, Any] | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of the rotary embedding of `dims` dimensions, float32[count, dims / 2] each."""
    frequencies = functions.inverse_frequencies(dims, base, scaling) if dims else []
    cosines, sines = functions.rotations(frequencies, count)
    return cosines.reshape(count, dims // 2), sines.reshape(count, dims // 2)


def of_model(architecture: Architecture, weights: Weights, identity: bytes, bits: int, span: int) -> Numbers:
    """All that a network takes, of the model of this digest. Raises PriorError as `made`."""
    held = _cached(f"{bits} {identity.hex()}", lambda: made(architecture, weights, bits))
    rotary = architecture.rotary, architecture.base, architecture.scaling, architecture.local_base
    return held | _cached(f"{span} {rotary}", lambda: turns(architecture, span))


def _cached(key: str, make: Callable[[], Numbers]) -> Numbers:
    """Numbers from the cache; made, and kept from now on, where they aren't there."""
    name = hashlib.blake2b(f"{VERSION} {key}".encode(), digest_size=16).hexdigest()
    path = kept.place(FOLDER, f"{name}.safetensors")
    with contextlib.suppress(OSError, PriorError):
        return _read(path)
    numbers = make()
    with contextlib.suppress(OSError, PriorError):
        _write(path, numbers)
        _bound(path)
        return _read(path)
    for array in numbers.values():
        array.flags.writeable = False  # as mapped ones are, so that the same kernels serve both
    return numbers


def _read(path: Path) -> Numbers:
    """The arrays of a file, mapped. Raises OSError or PriorError."""
    os.utime(path)  # what was used last is removed last
    kinds: dict[str, Any] = {"F32": np.dtype("<f4"), "I8": np.dtype("i1")}
    return {t.name: t.raw.view(kinds[t.kind]).reshape(t.shape) for t in tensors_of(path)}


def _write(path: Path, numbers: Numbers) -> None:
    """Arrays of four bytes first, aligned."""
    header, end = {}, 0
    ordered = sorted(numbers.items(), key=lambda item: -item[1].itemsize)
    for name, array in ordered:
        kind = "F32" if array.dtype == np.float32 else "I8"
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [end, end := end + array.nbytes]}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    arrays = (np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data for _, array in ordered)
    kept.keep(path, len(text).to_bytes(8, "little") + text, *arrays)


def _bound(latest: Path) -> None:
    """Remove what was used longest ago, as long as all takes more than the limit. Raises OSError, UsageError."""
    limit = os.environ.get(LIMIT_NAME) or str(LIMIT)
    if not limit.isdecimal():
        raise UsageError(f"{LIMIT_NAME} is a number of bytes, not {limit!r}")
    files = sorted(latest.parent.iterdir(), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in files)
    for path in files:
        if total > int(limit) and path != latest:
            total -= path.stat().st_size
            path.unlink()
