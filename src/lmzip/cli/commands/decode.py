"""Rebuild the original of an archive."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ...errors import ArchiveError, ArithmeticDiffers, DamageError, FileError, UsageError, system_error
from ...files import SUFFIX, Sparse, create
from ...limits import Limits
from ...salvage import salvage
from ...session import Session
from ...survey import Survey
from .. import arguments
from ..console import Console
from ..inputs import reading
from ..transfer import Target, decode_to, writing

ORDER = 20
OVERVIEW = "rebuild the original              lmzip decode book.txt.lmz         → book.txt"
EXAMPLES = """\
examples:
  lmzip decode book.txt.lmz                   → book.txt
  lmzip decode book.txt.lmz -o -              to standard output, each frame when its digest holds
  lmzip decode big.lmz --resume               after an interruption
  lmzip decode damaged.lmz --keep-going       what it still holds → damaged.partial, and a status that isn't 0

Without limits of your own, an archive may ask for 4 GB of memory, 128 MiB of output and ten minutes of work, and
for 256 times its own size beyond that. What asks for more is refused before anything is allocated.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    arguments.add_files(parser)
    arguments.add_output(parser)
    arguments.add_decoding(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """Every archive into a file of its own."""
    output = arguments.output(args)
    session = arguments.session(args, console)  # one for all archives: a prior is opened once

    def one(name: str) -> None:
        decode(args, console, session, name, arguments.placed(output, name, original_name))

    console.each(args.files, one)


def original_name(name: str) -> str:
    """What an archive decodes to, by its own name. Raises UsageError."""
    if name == "-":
        return "-"
    if name.endswith(".tlmz"):
        return name[: -len(".tlmz")] + ".tar"
    if name.endswith(SUFFIX) and Path(name).name != SUFFIX:
        return name[: -len(SUFFIX)]
    raise UsageError(f"its name doesn't end in {SUFFIX}; name the output with -o or -c")


def decode(args: argparse.Namespace, console: Console, session: Session, name: str, output: str) -> None:
    """The archive `name` into the file `output`.

    Raises UsageError, FileError, and what Receiver.run raises: of damage, with what --keep-going saved.
    """
    target = Target(output, args.force, args.resume, sparse=not args.no_sparse)
    if args.run_embedded:
        if args.resume:
            raise UsageError("what the archive's own code has begun can't be resumed; leave --resume out")
        return run_embedded(args.run_embedded, console, name, target)
    limits = arguments.decode_options(args).limits
    with reading(name) as source:
        if args.keep_going:
            check_rest(source, target)
        try:
            with writing(target, source, console) as opened:
                decode_to(
                    source, opened.sink, limits, session, console, opened.snapshot,
                    resume=args.resume, every=args.checkpoint,
                )  # fmt: skip
        except (DamageError, ArithmeticDiffers) as error:
            if not args.keep_going:
                raise
            rest = save_rest(source, target, limits, session)
            raise type(error)(f"{str(error).partition(';')[0]}; {rest}") from error
    return None


def check_rest(source: Any, target: Target) -> None:
    """Before anything is decoded: can what a damaged archive holds be saved? Raises UsageError, FileError."""
    if target.is_standard or source.size() is None:
        raise UsageError("--keep-going works from file to file; name them both, or leave it out")
    path = _rest(target)
    if path.is_dir() or (os.path.lexists(path) and not target.force):
        raise FileError(f"{path} exists, where --keep-going saves what it can; add -f to overwrite it")


def _rest(target: Target) -> Path:
    return Path(target.name + ".partial")


def save_rest(source: Any, target: Target, limits: Limits, session: Session) -> str:
    """Save what a damaged archive still holds to TARGET.partial; says what was lost. Raises FileError."""
    path = _rest(target)
    with create(path, force=target.force) as sink:
        try:
            holed: Any = Sparse(sink) if target.sparse else sink
            frames, count, lost = salvage(source, holed, limits, session)
            holed.flush()
        except OSError as error:
            raise system_error(error, f"can't write all of {path}") from error
    if not frames:
        path.unlink()
        return "nothing can be saved of it"
    ranges = ", ".join(f"{start:,} to {'the end' if stop is None else f'{stop:,}'}" for start, stop in lost)
    rest = f"lost: bytes {ranges}" if ranges else "nothing is lost"
    return f"{count:,} bytes in {frames} frames saved to {path}; {rest}"


def run_embedded(wanted: str, console: Console, name: str, target: Target) -> None:
    """Let the archive's own code decode it, in a process of its own, if its SHA-256 is the one `wanted`.

    Raises UsageError if it isn't, or if there is none, ArchiveError if that code gives up.
    """
    with tempfile.TemporaryDirectory() as folder, reading(name) as source:
        archive, result = Path(folder, "archive.lmz"), Path(folder, "result")
        with open(archive, "w+b") as copy:  # what is run is what was looked at, whatever becomes of the file meanwhile
            shutil.copyfileobj(source, copy)
            copy.seek(0)
            code = Survey(copy, keep=False, session=Session()).code
        if not code:
            raise UsageError("the archive carries no code; decode it without --run-embedded")
        if (digest := hashlib.sha256(code).hexdigest()) != wanted.lower():
            raise UsageError(f"the archive's code has SHA-256 {digest}, not the one given; run it only if you trust it")
        with writing(target, source, console) as opened:
            run = subprocess.run([sys.executable, "-I", str(archive), str(result)], check=False)
            if run.returncode:
                raise ArchiveError(f"the archive's code gave up, status {run.returncode}; try lmzip decode without it")
            with open(result, "rb") as file:
                shutil.copyfileobj(file, opened.sink)
