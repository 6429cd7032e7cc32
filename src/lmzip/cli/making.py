"""What the commands share that make priors: names, refusals before long work, and the file in the making."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..codec.message import Header
from ..errors import UsageError
from ..files import Output
from ..limits import Cost
from ..prior import store
from .console import Console


def add_notes(parser: argparse.ArgumentParser) -> None:
    """What a prior says of its corpus."""
    parser.add_argument("--licence", default="", metavar="TEXT", help="of the corpus; kept in the prior")
    parser.add_argument("--source", default="", metavar="TEXT", help="where the corpus is from; kept in the prior")


def named(args: argparse.Namespace, suffix: str) -> str:
    """The output -o, or what lies beside it under the same name with another suffix. Raises UsageError."""
    if not args.output or args.output == "-" or args.stdout:
        raise UsageError("name the prior with -o; it goes to a file")
    name = args.output.removesuffix(store.SUFFIX)
    if name == args.output:
        raise UsageError(f"a prior's name ends in {store.SUFFIX}, for it is found by that")
    return name + suffix


def size(header: Header, length: int) -> int:
    """Bytes that a prior learnt from a corpus of this length takes, at most, about."""
    grows = Cost(header).memory(length) - Cost(header).memory(0)
    return min(grows, 25 * length)


@contextmanager
def saving(
    args: argparse.Namespace, console: Console, target: str, *, need: int = 0, archive: str = ""
) -> Iterator[Callable[[Any], None]]:
    """A prior's file in the making, of about `need` bytes; what is yielded writes it, and it goes if an error follows.

    archive: the file of the corpus's archive, if it is made too; a run that goes on with it replaces the prior.
    Raises UsageError and FileError for whatever would keep it from being written, before there is anything to write.
    """
    if importlib.util.find_spec("safetensors") is None:
        raise UsageError("priors need safetensors, which isn't installed: pip install safetensors")
    path = Path(target)
    again: bool = args.force or (args.resume and archive != "" and Output.can_resume(Path(archive)))
    Output.check(path, force=again, need=need)

    def save(parts: Any) -> None:
        output = Output(path, force=again)
        try:
            store.write(output.part, *parts)
            output.publish()
        except BaseException:
            output.discard()
            raise
        prior = store.read(path)
        console.say(f"{target}: {prior.size:,} bytes, digest {prior.manifest.state}")

    there = path.exists()
    try:
        yield save
    except BaseException:  # of whatever comes after it: the retry must find nothing in its way
        if not there:
            path.unlink(missing_ok=True)
        raise
