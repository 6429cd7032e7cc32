"""Snapshots of unfinished work: one npz file (arrays, JSON as text; nothing that could run), renamed into place."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ArchiveError

VERSION = 1
POSITION = 4  # where the coder's state counts the bytes written


def save(path: Path, meta: dict[str, Any], state: Any, frame: Any = None) -> None:
    """Write a predictor's state if there is one, and that of the frame it is in, with what else must be known."""
    arrays = {} if state is None else {f"state.{name}": array for name, array in state.arrays().items()}
    if frame is not None:
        arrays.update({f"frame.{name}": array for name, array in frame_arrays(frame).items()})
    text = json.dumps({"version": VERSION, **meta}).encode()
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "wb") as file:
        np.savez(file, meta=np.frombuffer(text, np.uint8), **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def frame_arrays(frame: Any) -> dict[str, np.ndarray]:
    """What has been done of a frame, an Encoding or a Decoding."""
    if hasattr(frame, "arrays"):
        return frame.arrays()
    arrays = {"numbers": np.array([frame.position, frame.nll]), "coder": frame._state}
    if hasattr(frame, "data"):
        return {**arrays, "data": frame.data}
    return {**arrays, "message": frame._message[: int(frame._state[POSITION])]}


def restore_frame(frame: Any, saved: dict[str, np.ndarray]) -> None:
    """Bring a frame just begun to where `frame_arrays` found it."""
    if hasattr(frame, "load"):
        frame.load(saved)
        return
    frame.position, frame.nll = map(int, saved["numbers"])
    frame._state[:] = saved["coder"]
    if "data" in saved:
        frame.data[:] = saved["data"]
    else:
        frame._message = np.concatenate((saved["message"], frame._message))


def load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What `save` wrote: the JSON, the state's arrays, the frame's."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop("meta").tobytes())
        if meta["version"] != VERSION:
            raise ValueError("it is of another version")
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ArchiveError(f"{path} can't be resumed from: {error}; remove it and begin again") from error
    parts: tuple[dict, dict] = ({}, {})
    for name, array in arrays.items():
        kind, _, name = name.partition(".")
        parts[kind == "frame"][name] = array
    return meta, *parts


def remove(path: Path) -> None:
    for leftover in (path, path.with_name(path.name + ".new")):
        leftover.unlink(missing_ok=True)
