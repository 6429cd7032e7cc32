"""Show one line for each archive: frames, sizes, bits per byte."""

from __future__ import annotations

import argparse

from ...survey import Survey
from ...text import printable
from .. import arguments
from ..console import Console
from ..inputs import reading

ORDER = 50
OVERVIEW = "one line for each archive         lmzip list *.lmz"
EXAMPLES = """\
example:
  lmzip list *.lmz
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="archives")
    arguments.add_prior_path(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """A line for each."""
    session = arguments.session(args, console)

    def line(name: str) -> None:
        with reading(name) as source:
            ledger = Survey(source, keep=False, session=session).ledger()
        bpb = f"{8 * ledger.archive / ledger.original:.3f}" if ledger.original else "-"
        console.show(f"{ledger.frames:>6} {ledger.archive:>15,} {ledger.original:>15,} {bpb:>8}  {printable(name)}")

    console.show(f"{'frames':>6} {'archive':>15} {'original':>15} {'bpb':>8}  name")
    console.each(args.files, line)
