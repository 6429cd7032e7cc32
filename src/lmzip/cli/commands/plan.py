"""Estimate what each preset would take, from a sample of the file; writes nothing."""

from __future__ import annotations

import argparse
import json

from ... import plan
from ...errors import UsageError
from ...text import printable
from .. import arguments
from ..console import Console
from ..inputs import reading

ORDER = 60
OVERVIEW = "size, time, memory of each preset lmzip plan book.txt"
EXAMPLES = """\
example:
  lmzip plan book.txt                         what each preset would make of it, and how long it would take
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("file", metavar="FILE", help="what is to be encoded")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--no-code", action="store_true", help="as of archives without the decoder")


def run(args: argparse.Namespace, console: Console) -> None:
    """A table. Raises UsageError for pipes."""
    session = arguments.session(args, console)
    with reading(args.file) as source:
        if (length := source.size()) is None:
            raise UsageError("plan needs a file whose size is known; save the pipe's data first")
        headers = plan.headers(arguments.encode_options(args))
        estimates = plan.make(source, length, session, headers, code=not args.no_code)
    if args.json:
        console.show(json.dumps(estimates.as_dict(), indent=2))
    else:
        console.show(estimates.table(printable(args.file)))
