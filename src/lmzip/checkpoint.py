"""Snapshots of unfinished work: one npz file (arrays, JSON as text; nothing that could run), renamed into place.

A state takes hundreds of megabytes, so it is written and read array by array and in pieces: neither saving nor
resuming holds a second copy of it.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from .errors import ResumeError
from .predictor import Predictor

VERSION = 2
POSITION = 4  # where the coder's state counts the bytes written
PIECE = 1 << 22  # bytes read at once


def save(path: Path, meta: dict[str, Any], state: Predictor | None, frame: Any = None) -> None:
    """Write a predictor's state if there is one, and that of the frame it is in, with what else must be known."""
    arrays: dict[str, Any] = {} if state is None else {f"state.{name}": array for name, array in state.arrays().items()}
    if frame is not None:
        arrays.update({f"frame.{name}": array for name, array in frame_arrays(frame).items()})
    arrays = {name: _common(array) for name, array in arrays.items()}
    text = json.dumps({"version": VERSION, **meta}).encode()
    temporary = _temporary(path)
    try:
        with open(temporary, "wb", opener=_for_us_alone) as file:  # it holds parts of the data
            np.savez(file, meta=np.frombuffer(text, np.uint8), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _common(array: np.ndarray) -> np.ndarray:
    """The array as every machine can go on with it: integers of products are int8 on some, float32 on others."""
    return array.astype(np.float32) if array.dtype == np.int8 else array


def frame_arrays(frame: Any) -> dict[str, np.ndarray]:
    """What has been done of a frame, an Encoding or a Decoding."""
    if hasattr(frame, "arrays"):
        return frame.arrays()
    arrays = {"numbers": np.array([frame.position, frame.nll]), "coder": frame._state}
    if hasattr(frame, "data"):
        return {**arrays, "data": frame.data}
    return {**arrays, "message": frame._message[: int(frame._state[POSITION])]}


class Checkpoint:
    """A snapshot being read: what `save` wrote, `meta` at once, the rest when it is asked for.

    Every method raises ResumeError for what is damaged, of another version or shape: any ValueError becomes one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._checked():
            self.file = zipfile.ZipFile(path)
            self.meta: dict[str, Any] = json.loads(self._read("meta").tobytes())
            if self.meta["version"] != VERSION:
                raise ValueError("it is of another version")

    def restore_state(self, state: Predictor) -> None:
        """Give a predictor the state that was saved, if one was.

        Small arrays come first: among them is what says how much of the large ones is in use.
        """
        with self._checked():
            if not self._names("state."):
                return
            sizes = {name: array.nbytes for name, array in state.arrays().items()}
            for name in sorted(sizes, key=sizes.__getitem__):
                self._fill(state.arrays()[name], f"state.{name}")

    def restore_frame(self, frame: Any) -> None:
        """Bring a frame just begun to where `save` found it."""
        with self._checked():
            saved = {name: self._read(f"frame.{name}") for name in self._names("frame.")}
            if hasattr(frame, "load"):
                frame.load(saved)
                return
            frame.position, frame.nll = map(int, saved["numbers"])
            frame._state[:] = saved["coder"]
            if "data" in saved:
                frame.data[:] = saved["data"]
            else:
                frame._message = np.concatenate((saved["message"], frame._message))

    def _names(self, prefix: str) -> list[str]:
        names = (name.removesuffix(".npy") for name in self.file.namelist())
        return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]

    def _read(self, name: str) -> np.ndarray:
        with self.file.open(f"{name}.npy") as member:
            return npy.read_array(member, allow_pickle=False)

    def _fill(self, array: np.ndarray, name: str) -> None:
        if array.nbytes <= PIECE or not array.flags.c_contiguous or array.dtype == np.int8:
            saved = self._read(name)
            if (saved.shape, saved.dtype) != (array.shape, _common(array[:0]).dtype):
                raise ValueError(f"{name} has another shape")
            array[...] = saved
            return
        with self.file.open(f"{name}.npy") as member:
            npy.read_magic(member)
            if npy.read_array_header_1_0(member) != (array.shape, False, array.dtype):
                raise ValueError(f"{name} has another shape")
            flat = array.reshape(-1).view(np.uint8)
            for start in range(0, len(flat), PIECE):
                piece = flat[start : start + PIECE]
                piece[:] = np.frombuffer(member.read(len(piece)), np.uint8)

    @contextlib.contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ResumeError(f"{self.path} can't be resumed from: {error}; begin again with -f") from error


def sync(sink: BinaryIO) -> None:
    """See to it that what was written survives what a checkpoint survives."""
    sink.flush()
    os.fsync(sink.fileno())


def rewind(sink: BinaryIO, size: int) -> None:
    """Cut an unfinished output back to what its checkpoint knows of. Raises ResumeError where it is shorter."""
    if sink.seek(0, 2) < size:
        raise ResumeError("the unfinished output is shorter than its checkpoint says; begin again with -f")
    sink.seek(size)
    sink.truncate()


def sync_folder(path: Path) -> None:
    """Let the name of a file that was just renamed survive a power cut."""
    with contextlib.suppress(OSError):  # not every system opens folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def of_frame(path: Path, number: int) -> Path:
    """Where a worker puts the checkpoint of a frame, when the main one is `path`."""
    return path.with_name(f"{path.name}.{number}")


def forget_frames(path: Path, number: int) -> None:
    """Remove the checkpoints of frames before this one: the main one knows of them now."""
    for leftover in path.parent.glob(glob.escape(path.name) + ".*"):
        if leftover.suffix[1:].isdecimal() and int(leftover.suffix[1:]) < number:
            leftover.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a checkpoint, what was left of others that were being written, and those of single frames."""
    for leftover in (path, *path.parent.glob(glob.escape(path.name) + ".*")):
        leftover.unlink(missing_ok=True)


def _for_us_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".new")
