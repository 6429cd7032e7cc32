"""Tell from its training curve what size a data set has as its own training compresses it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ...errors import UsageError
from ...lab.estimate import Curve, as_dict, messages, table
from .. import arguments
from ..console import Console

ORDER = 110
OVERVIEW = "from a training curve             lmzip estimate curve.csv --bytes-per-token 4 --code 1M"
EXAMPLES = """\
examples:
  lmzip estimate curve.csv --tokens 1.4T --bytes-per-token 4 --code 1M
  lmzip estimate small.csv large.csv --bytes-per-token 4 --code 1M      which message is shorter, and from when on

A curve is a CSV of two columns: tokens seen so far, and the training loss there in nats per token. K, M, G and T are
10^3, 10^6, 10^9 and 10^12 here.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("curves", nargs="+", metavar="CURVE", help="CSV of tokens and nats per token")
    text = "of the data (default: where the shortest curve ends)"
    parser.add_argument("--tokens", type=arguments.amount, metavar="N", help=text)
    text = "bytes of data per token, on average"
    parser.add_argument("--bytes-per-token", type=arguments.amount, required=True, metavar="B", help=text)
    text = "bytes of the code that trains; once, or once for each curve (default 0)"
    parser.add_argument("--code", type=arguments.amount, action="append", metavar="BYTES", help=text)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace, console: Console) -> None:
    """A table. Raises UsageError, FileError."""
    curves = [Curve.read(Path(name)) for name in args.curves]
    if not args.bytes_per_token or args.tokens == 0:
        raise UsageError("tokens and bytes per token must be above 0")
    estimates = messages(curves, args.tokens, args.bytes_per_token, args.code or [0.0])
    console.show(json.dumps(as_dict(estimates), indent=2) if args.json else table(estimates))
