"""Inputs by name: all that commands need which only look at files."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import FileError, system_error
from ..files import Input


@contextlib.contextmanager
def reading(name: str) -> Iterator[Any]:
    """The input of this name, a files.Input that goes for a binary file; - is standard input. Raises FileError."""
    if name == "-":
        yield Input(sys.stdin.buffer, standard=True)
        return
    if os.path.isdir(name):
        new = Path(name).name or "NAME"
        raise FileError(f"it is a directory; pack it first: tar -I lmzip -cf {new}.tar.lmz {name}")
    try:
        file = open(name, "rb")  # noqa: SIM115
    except OSError as error:
        raise system_error(error, "can't read it") from error
    with file:
        yield Input(file)
