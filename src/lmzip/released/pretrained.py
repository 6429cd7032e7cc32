"""Pretrained models as lmzip 0.1 ran them: archives that it made with a directory of transformers open for ever.

1-pretrained-DIGEST.zip holds its `pretrained/` and the codec of format version 1, on which that ran. Nothing is encoded
with it any more: what it computes is several times slower, and no better.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from .. import errors, pack, presets
from ..codec.message import Header
from ..errors import PriorError
from ..pretrained.model import models
from ..prior.model_options import ModelOptions
from . import blob, import_folder, sources

VERSION = 1
KIND, PACKAGE = "pretrained", "lmzip_pretrained_1"


class OlderModel:
    """A model of that time, as prior/registry.py wants knowledge to be."""

    rebuilt = None  # nobody can rebuild it from an archive

    def __init__(self, model: Any) -> None:
        self._model = model
        self.path: Path = model.path
        self.name: str = model.name
        self.digest: bytes = model.digest
        self.size: int = model.size
        self.work: int = model.work

    def memory(self, streams: int = 1) -> int:
        """Bytes that coding with it takes, about; then there was one stream."""
        return self._model.memory

    def lockstep(self, header: Header, session: Any) -> Any:
        """A predictor at its beginning."""
        return self._model.lockstep(header, session)

    def code_size(self, header: Header) -> int:
        """Bytes of the code that a receiver of such an archive must run."""
        return len(blob(VERSION, KIND))

    def header(self, options: Any) -> Header:
        """Raises UsageError: it decodes only."""
        raise errors.UsageError("this model is known as lmzip 0.1 ran it, for its archives; name its directory")

    def fingerprint(self) -> None:
        """Nobody knows the corpus."""
        return None

    def description(self) -> dict[str, str]:
        """Rows for people."""
        return self._model.description() | {"arithmetic": "of lmzip 0.1"}

    def as_dict(self) -> dict[str, Any]:
        """The same for programs."""
        return self._model.as_dict()


# As a source of knowledge, see prior/registry.py


def open_named(name: str, places: list[Path], how: ModelOptions) -> None:
    """None: it has no names of its own; nothing is encoded with it."""


def find(digest: bytes, places: list[Path]) -> OlderModel | None:
    """The model that had this digest then, among directories of transformers, and directories in them."""
    for path in models(places):
        for model in _variants(path) if path.is_dir() else ():
            if model.digest == digest:
                return OlderModel(model)
    return None


def listed(places: list[Path]) -> Iterator[OlderModel]:
    """None, as of pretrained models of today."""
    return iter(())


def _variants(folder: Path) -> Iterator[Any]:
    """The model under all options of that time; none if it was not supported."""
    module = importlib.import_module(f"{_package()}.pretrained.model")
    try:
        files = module.read(folder)
    except PriorError:
        return
    yield from module.variants(files)


@cache
def _package() -> str:
    for name, module in (("errors", errors), ("pack", pack), ("presets", presets)):
        sys.modules[f"{PACKAGE}.{name}"] = module  # what has not changed, or is not asked for in decoding
    content = blob(VERSION, KIND)
    files = {"__init__.py": b"", **sources(content)}
    import_folder(PACKAGE, content, files)
    return PACKAGE
