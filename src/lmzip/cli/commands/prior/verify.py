"""Read all of a prior, compare its digest, and begin a predictor from it."""

from __future__ import annotations

import argparse

from ....options import EncodeOptions
from ... import arguments
from ...console import Console

ORDER = 60
EXAMPLES = """\
example:
  lmzip prior verify books.prior               reads all of it, compares its digest, and begins a predictor from it
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("prior", metavar="PRIOR", help="a name, a digest or a file, or a directory of transformers")
    arguments.add_prior_path(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """A line. Raises PriorError."""
    session = arguments.session(args, console)
    prior = session.open(args.prior)
    strings = prior.fingerprint()
    session.lockstep(EncodeOptions(prior=args.prior).header(session))
    if not console.quiet:
        of_corpus = "" if strings is None else f"; {len(strings):,} strings in its fingerprint"
        console.show(f"{prior.path}: whole, digest {prior.digest.hex()}{of_corpus}")
