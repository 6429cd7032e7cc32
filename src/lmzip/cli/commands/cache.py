"""What is kept in the user's cache, and its removal: all of it can be made again."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import NamedTuple

from ...codec.cache import private_folder
from ..console import Console

ORDER = 126
OVERVIEW = "what the cache holds              lmzip cache"
EXAMPLES = """\
examples:
  lmzip cache                                 what is kept, and how much of it
  lmzip cache --clear                         removes all of it; the next runs make what they need
  lmzip cache --clear weights                 only the integers of pretrained models

It lies in the folder lmzip of XDG_CACHE_HOME (see lmzip --help). Weights of pretrained models take 8 GB at most, or as
many bytes as LMZIP_CACHE_LIMIT says: those used longest ago make room. Priors, which lie there too, are never removed.
"""
KINDS = {
    "kernels": "compiled code",
    "code": "decoders of archives that were run",
    "weights": "integers made of pretrained models",
    "models": "digests of pretrained models",
    "squeezed": "packed sources, whose size is charged",
    "pace": "how fast this machine is",
}


class Kept(NamedTuple):
    """All folders of a kind."""

    folders: list[Path]
    files: int
    size: int  # bytes


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    text = f"remove it: {', '.join(KINDS)}, or all of it"
    parser.add_argument("--clear", nargs="?", const="all", choices=("all", *KINDS), metavar="KIND", help=text)


def run(args: argparse.Namespace, console: Console) -> None:
    """A line for each kind, then a sum. Raises OSError for what can't be removed."""
    home, total = Path(private_folder("pace")).parent, 0
    for kind, meaning in KINDS.items():
        kept = _kept(home, kind)
        total += kept.size
        removed = args.clear in ("all", kind)
        if removed:
            for folder in kept.folders:
                shutil.rmtree(folder)
        ending = ", removed" if removed and kept.files else ""
        console.show(f"{kept.size:>15,} B  {kept.files:>6,} files  {kind:<9} {meaning}{ending}")
    console.show(f"{total:>15,} B                {home}")


def _kept(home: Path, kind: str) -> Kept:
    folders = [path for path in sorted(home.iterdir()) if path.is_dir() and path.name.partition("-")[0] == kind]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return Kept(folders, len(files), sum(file.stat().st_size for file in files))
