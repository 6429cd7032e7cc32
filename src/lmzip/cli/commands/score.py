"""Bits per byte of many texts, each alone under the same model: JSON lines in, JSON lines out."""

from __future__ import annotations

import argparse
import json
import sys

from .. import arguments
from ..console import Console
from ..inputs import reading

ORDER = 90
OVERVIEW = "bits per byte of many texts       lmzip score texts.jsonl"
EXAMPLES = """\
examples:
  lmzip score texts.jsonl > scored.jsonl                       bits, bytes and bpb of each object's "text"
  zcat web.jsonl.gz | lmzip score --field content --preset fast
  lmzip score pool.jsonl --prior wanted.prior --against general.prior > scored.jsonl

Each text is coded alone, from the same state: what coding it takes, without archive or decoder.
High bpb: noise, or another language; low bpb: repetition. With --against, `difference` is bpb under --prior less bpb
under the other: Moore-Lewis selection takes the texts where it is lowest.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    text = "one JSON object a line; none or -: standard input"
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help=text)
    parser.add_argument("--field", default="text", metavar="NAME", help="of the text in each object (default text)")
    parser.add_argument("--against", metavar="PRIOR", help="another prior: adds its bpb and the difference")
    arguments.add_model(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """A line for each line. Raises FileError for others than JSON objects with such a text."""
    from ...lab.score import Scorer, score  # start-up: loads numba

    session = arguments.session(args, console)
    header = arguments.encode_options(args).header(session)
    against = arguments.encode_options(args, prior=args.against).header(session) if args.against else None
    with reading(args.file) as file:
        scorer = Scorer(header, session)
        other = Scorer(against, session) if against else None
        for row in score(iter(file.readline, b""), args.field, scorer, other):
            text = json.dumps(row, ensure_ascii=False) + "\n"
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))  # halves of surrogate pairs, as in JSON
            sys.stdout.buffer.flush()
