"""Write a prior's language model as a directory of transformers."""

from __future__ import annotations

import argparse
from pathlib import Path

from ....errors import FileError, PriorError
from ....prior import store
from ... import arguments
from ...console import Console

ORDER = 30
EXAMPLES = """\
example:
  lmzip prior export books.prior -o books      a directory of transformers, of model type lmzip; encode takes it too
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("prior", metavar="PRIOR", help="a name, a digest or a file")
    text = "the directory, which must not exist"
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help=text)
    arguments.add_prior_path(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """The directory. Raises FileError where it exists, PriorError for priors that aren't lmzip's."""
    prior, folder = arguments.session(args).open(args.prior), Path(args.output)
    if not isinstance(prior, store.Prior):
        raise PriorError(f"{prior.path} is a directory of transformers already")
    if folder.exists():
        raise FileError(f"{folder} exists; name another with -o")
    from ....pretrained.export import export  # start-up: loads torch and transformers

    export(prior, folder)
    state = prior.manifest.state[:16]
    console.say(f"{folder}: prior {state}; lmzip encode --prior {folder} builds on it as before")
