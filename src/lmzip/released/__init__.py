"""Codecs of released format versions, as they were packed: archives of an older version open for ever.

VERSION-KIND-DIGEST.zip holds the code of one kind that archives of this version carry; DIGEST is the beginning of its
SHA-256. `python -m lmzip.pack --release` puts them here, and nothing changes or deletes them afterwards. An archive
of an older version is read and decoded by these, never by the code that it carries itself.
"""

from __future__ import annotations

import bz2
import hashlib
import importlib
import importlib.util
import io
import os
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from ..codec import message
from ..codec.cache import private_folder
from ..codec.message import VERSION, VersionError

FOLDER = Path(__file__).parent
ERRORS = ("MessageError", "VersionError", "DamageError", "ArithmeticDiffers")


def name(version: int, kind: str, content: bytes) -> str:
    """What the file of some packed code is called."""
    return f"{version}-{kind}-{hashlib.sha256(content).hexdigest()[:16]}.zip"


def versions() -> set[int]:
    """The format versions that were released."""
    return {int(path.name.partition("-")[0]) for path in FOLDER.glob("*.zip")}


def version_of(content: bytes) -> int | None:
    """The format version that these bytes are a released code of."""
    for path in FOLDER.glob(f"*-{hashlib.sha256(content).hexdigest()[:16]}.zip"):
        if path.read_bytes() == content:
            return int(path.name.partition("-")[0])
    return None


def blob(version: int, kind: str) -> bytes:
    """The code of one kind; where a version was released more than once, any will do: they compute the same bits.

    Raises VersionError if there is none.
    """
    for path in sorted(FOLDER.glob(f"{version}-{kind}-*.zip")):
        content = path.read_bytes()
        if path.name == name(version, kind, content):
            return content
    raise VersionError(f"format version {version} is none that this lmzip reads")


def unpacked(packed: bytes) -> tuple[bytes, bytes]:
    """What a packed zip holds: the start, and the sources."""
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        start, sources = file.namelist()
        return file.read(start), bz2.decompress(file.read(sources))


def sources(packed: bytes) -> dict[str, bytes]:
    """The sources in a packed zip, by name."""
    parts = unpacked(packed)[1].split(b"\0")[1:]
    return {name.decode(): content for name, content in (part.split(b"\n", 1) for part in parts)}


def part(version: int, module: str) -> Any:
    """A module of the codec of a format version: message, receive, cache."""
    return importlib.import_module(f"{'lmzip.codec' if version == VERSION else _package(version)}.{module}")


@cache
def _package(version: int) -> str:
    """The name under which the whole codec of an older version can be imported, beside the present one."""
    content = blob(version, "whole")
    package = f"lmzip_format_{version}"
    import_folder(package, content, sources(content))
    older = importlib.import_module(f"{package}.message")
    for error in ERRORS:  # before others import them: whoever catches ours, catches theirs
        setattr(older, error, getattr(message, error))
    return package


def import_folder(package: str, content: bytes, files: dict[str, bytes]) -> None:
    """Import a package of these files under this name, from a folder of the cache that `content` names.

    A real one, for numba keeps no kernels of code inside a zip.
    """
    folder = Path(private_folder("code-" + hashlib.sha256(content).hexdigest()[:24]), package)
    for file, source in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != source:
            partial = path.with_name(f"{path.name}.{os.getpid()}")
            partial.write_bytes(source)
            os.replace(partial, path)
    spec = importlib.util.spec_from_file_location(package, folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[package] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[package])
