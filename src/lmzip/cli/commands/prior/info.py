"""Show what a prior is, what it was learnt from, and what it costs."""

from __future__ import annotations

import argparse
import json

from ....prior.worth import overlap
from ... import arguments
from ...console import Console
from ...inputs import reading

ORDER = 50
EXAMPLES = """\
examples:
  lmzip prior info books.prior
  lmzip prior info books --compare new.txt     and how much of new.txt its corpus holds already
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    text = "a name, a digest or a file, or a directory of transformers"
    parser.add_argument("prior", metavar="PRIOR", help=text)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--compare", metavar="FILE", help="show what part of this file its corpus holds")
    arguments.add_prior_path(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """Rows of facts. Raises PriorError, UsageError."""
    prior, seen = arguments.session(args, console).open(args.prior), None
    if args.compare:
        with reading(args.compare) as file:
            seen = overlap(prior, file)
    if args.json:
        shares = {} if seen is None else {"share": seen.share, "strings": seen.asked}
        console.show(json.dumps(prior.as_dict() | shares, indent=2))
        return
    console.show("\n".join(f"{name:<10}{value}" for name, value in prior.description().items()))
    if seen:
        console.show(str(seen))
