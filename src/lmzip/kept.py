"""Small results in the user's cache: what takes long to compute and is the same at every start."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .codec.cache import private_folder

Buffer = Any  # bytes, or what shows its own


def place(folder: str, key: str) -> Path:
    """The file for what is kept under this key, hexadecimal digits, in a folder of the cache."""
    return Path(private_folder(folder), key)


def look_up(file: Path) -> bytes | None:
    """What is kept in the file, if anything is."""
    try:
        return file.read_bytes()
    except OSError:
        return None


def keep(file: Path, *parts: Buffer) -> None:
    """Write the file, of these parts, whole or not at all; what can't be kept will be computed again."""
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as temporary:
                temporary.writelines(parts)
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise


def once(folder: str, key: str, make: Callable[[], bytes]) -> bytes:
    """What is kept under this key; it is made, and kept, where nothing is."""
    file = place(folder, key)
    content = look_up(file)
    if content is None:
        content = make()
        keep(file, content)
    return content
