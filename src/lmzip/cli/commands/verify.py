"""Decode an archive, check every digest, and compare with the original if it is given."""

from __future__ import annotations

import argparse
import contextlib

from ...errors import ArchiveError
from ...session import Session
from ...text import printable
from .. import arguments
from ..console import Console
from ..inputs import reading
from ..transfer import Nowhere, decode_to, lengths

ORDER = 30
OVERVIEW = "decode and compare, write nothing lmzip verify book.txt.lmz book.txt"
EXAMPLES = """\
examples:
  lmzip verify book.txt.lmz                   decodes it, compares every digest
  lmzip verify book.txt.lmz book.txt          and every byte
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("file", metavar="FILE", help="an archive; -: standard input")
    parser.add_argument("original", nargs="?", metavar="ORIGINAL", help="what it should decode to")
    arguments.add_prior_path(parser)
    arguments.add_machine(parser)
    arguments.add_limits(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """One archive."""
    with console.failures("" if args.file == "-" else args.file):
        verify(args, console, arguments.session(args, console), args.file, args.original)


def verify(args: argparse.Namespace, console: Console, session: Session, name: str, original: str | None) -> None:
    """The archive `name`, against a file if it is given. Raises ArchiveError."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(reading(name))
        compared = stack.enter_context(reading(original)) if original else None
        limits = arguments.decode_options(args).limits
        total, length = lengths(source, session)[0], compared.size() if compared else None
        if total is not None and length is not None and total != length:
            longer = "longer" if length > total else "shorter"
            raise ArchiveError(f"the original has {length:,} bytes, {longer} than the archive's {total:,}")
        ledger = decode_to(source, Nowhere(compared), limits, session, console, show=False)
        if compared and compared.read(1):
            raise ArchiveError(f"the original is longer than the archive's {ledger.original:,} bytes")
    if not console.quiet:
        what = f"the archive of {printable(original)}" if original else "whole"
        console.show(f"{printable(name)}: {what}, {ledger.original:,} bytes from {ledger.archive:,}")
