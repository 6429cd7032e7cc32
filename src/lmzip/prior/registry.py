"""Where knowledge comes from: every prior, of whatever kind, is opened, looked for and listed through here.

A source is a module with the functions of `Source`. To add one, write the module and name it in `sources`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..codec.message import Header
from ..errors import MissingPrior
from .model_options import ModelOptions

if TYPE_CHECKING:
    from ..options import EncodeOptions
    from ..session import Session

PATH = "LMZIP_PRIOR_PATH"


class Knowledge(Protocol):
    """What both ends know before the first byte: a prior of lmzip, or a pretrained model."""

    @property
    def path(self) -> Path:
        """Its file or directory."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def digest(self) -> bytes:
        """32 bytes that say all that bears on a prediction; archives name it by them."""

    @property
    def size(self) -> int:
        """Bytes as it is stored."""

    @property
    def rebuilt(self) -> int | None:
        """Bytes of the archive that it can be rebuilt from; None: nobody can."""

    def memory(self, streams: int = 1) -> int:
        """Bytes that it takes, at most, while a predictor of so many streams is made of it."""

    @property
    def work(self) -> int:
        """Operations a byte, beyond those of the header's settings."""

    def header(self, options: EncodeOptions) -> Header:
        """The header of an archive that builds on it. Raises UsageError for options that don't go with it."""

    def lockstep(self, header: Header, session: Session) -> Any:
        """A predictor where this knowledge ends. Raises PriorError, or what `Session.lockstep` turns into an error."""

    def code_size(self, header: Header) -> int:
        """Bytes of the code that a receiver of such an archive must run, packed as in archives."""

    def fingerprint(self) -> np.ndarray | None:
        """Hashes of strings of its corpus, uint32, see fingerprint.py; None: nobody knows them."""

    def description(self) -> dict[str, str]:
        """Rows for people: `lmzip prior info`."""

    def as_dict(self) -> dict[str, Any]:
        """The same for programs: `lmzip prior info --json`."""


class Source(Protocol):
    """A kind of knowledge; the modules that `sources` names are such."""

    def open_named(self, name: str, places: list[Path], how: ModelOptions) -> Knowledge | None:
        """What goes by this name, digest, file or directory; None: nothing of this kind.

        Raises PriorError for what is unsound, UsageError for options that are not for this kind.
        """

    def find(self, digest: bytes, places: list[Path]) -> Knowledge | None:
        """What has this digest, 32 bytes."""

    def listed(self, places: list[Path]) -> Iterator[Knowledge]:
        """All that can be found, the first of each digest; files that are none are passed over."""


@cache
def sources() -> tuple[Source, ...]:
    """All there are; of a name that several could mean, the first of them decides."""
    from ..pretrained import model as pretrained  # start-up: most commands and archives have no prior
    from ..released import pretrained as older  # start-up: most commands and archives have no prior
    from . import store  # start-up: most commands and archives have no prior

    return store, pretrained, older


def places(path: str) -> list[Path]:
    """Where priors are looked for: `path` and $LMZIP_PRIOR_PATH (folders or files, as in $PATH), package, cache."""
    given = [part for part in (path + os.pathsep + os.environ.get(PATH, "")).split(os.pathsep) if part]
    return [*map(Path, given), Path(__file__).parent / "files", cache_folder()]


def cache_folder() -> Path:
    """The user's own priors."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home, "lmzip", "priors")


def open_named(name: str | os.PathLike[str], path: str, how: ModelOptions) -> Knowledge:
    """What goes by this name, digest (16 digits at least), file or directory.

    Raises MissingPrior where nothing does, PriorError for what is unsound, UsageError for options that don't fit.
    """
    for source in sources():
        if (knowledge := source.open_named(os.fspath(name), places(path), how)) is not None:
            return knowledge
    where = ", ".join(map(str, places(path)))
    raise MissingPrior(f"there is no prior called {name}; looked in {where}; lmzip prior list shows what there is")


def find(digest: bytes, path: str) -> Knowledge:
    """What has this digest, 32 bytes. Raises MissingPrior."""
    for source in sources():
        if (knowledge := source.find(digest, places(path))) is not None:
            return knowledge
    where = ", ".join(map(str, places(path)))
    raise MissingPrior(
        f"prior {digest.hex()} is missing; looked in {where}; name its file or folder with --prior-path, "
        f"or rebuild it, if it is one of lmzip, from its corpus's archive with lmzip prior build"
    )


def listed(path: str) -> Iterator[Knowledge]:
    """All knowledge that can be found, source by source."""
    for source in sources():
        yield from source.listed(places(path))
