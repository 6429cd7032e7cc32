"""Show the priors that can be found."""

from __future__ import annotations

import argparse

from ....prior import registry, store
from ... import arguments
from ...console import Console

ORDER = 40
EXAMPLES = """\
example:
  lmzip prior list --prior-path priors
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    arguments.add_prior_path(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """A line for each."""
    console.show(f"{'digest':<16} {'stored':>15} {'rebuilt':>13} {'corpus':>13}  name")
    for prior in registry.listed(args.prior_path):
        rebuilt = "-" if prior.rebuilt is None else f"{prior.rebuilt:,}"
        corpus = f"{prior.manifest.length:,}" if isinstance(prior, store.Prior) else "-"
        place = f"{prior.name} ({prior.path})"
        console.show(f"{prior.digest.hex()[:16]} {prior.size:>15,} {rebuilt:>13} {corpus:>13}  {place}")
