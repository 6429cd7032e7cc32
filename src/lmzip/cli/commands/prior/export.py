"""Write a prior's language model as a directory of transformers."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from ....errors import FileError, PriorError, UsageError, system_error
from ....files import check_folder
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
    """The directory. Raises FileError where it exists, PriorError for priors that aren't lmzip's, UsageError
    for want of transformers.
    """
    prior, folder = arguments.session(args).open(args.prior), Path(args.output)
    if not isinstance(prior, store.Prior):
        raise PriorError(f"{prior.path} is a directory of transformers already")
    if prior.settings.model is None:
        raise PriorError(f"prior {prior.name} has no language model, only experts; train one with --preset default")
    if os.path.lexists(folder):
        raise FileError(f"{folder} exists; name another with -o")
    check_folder(folder, need=prior.size)
    try:
        from ....pretrained.export import export  # start-up: loads torch and transformers
    except ImportError as error:
        raise UsageError(f"to export takes what isn't installed: {error}; pip install transformers") from error
    part = folder.with_name(folder.name + ".lmzip-part")
    try:
        export(prior, part)
        part.rename(folder)
    except BaseException as error:  # the retry must find nothing in its way
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            raise system_error(error, f"can't write {folder}") from error
        raise
    state = prior.manifest.state[:16]
    console.say(f"{folder}: prior {state}; lmzip encode --prior {folder} builds on it as before")
