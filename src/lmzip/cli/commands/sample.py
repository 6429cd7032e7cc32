"""Go on from where a file ends, as its model might."""

from __future__ import annotations

import argparse
import sys

from ...progress import Watch
from ...receiver import Receiver
from ...text import printable
from .. import arguments
from ..console import Console
from ..inputs import reading
from ..transfer import Nowhere, expected

ORDER = 100
OVERVIEW = "go on where a file ends           lmzip sample book.txt.lmz"
EXAMPLES = """\
examples:
  lmzip sample book.txt.lmz                   500 bytes that might follow
  lmzip sample book.txt.lmz --bytes 2000 --seed 7 --temperature 0.7 > more.txt

Decodes the file, then decodes random bits: bytes come as probable as the predictor finds them. The same seed gives the
same bytes on every machine. A temperature below 1 makes every binary decision surer, 0 takes the likelier bit.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("file", metavar="FILE", help="an archive; -: standard input")
    parser.add_argument("--bytes", type=arguments.size, default=500, metavar="N", help="how many (default 500)")
    text = "of the random bits (default 0)"
    parser.add_argument("--seed", type=arguments.natural, default=0, metavar="S", help=text)
    text = "in hundredths, 0 to 10 (default 1: as probable as the model finds it)"
    parser.add_argument("--temperature", type=arguments.temperature, default=1.0, metavar="T", help=text)
    arguments.add_prior_path(parser)
    arguments.add_limits(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """Bytes on standard output. Raises UsageError and LimitError before anything is decoded."""
    from ...lab.sample import check, sample  # start-up: loads numba

    session, limits = arguments.session(args, console), arguments.decode_options(args).limits
    with reading(args.file) as source:
        receiver = Receiver(source, Nowhere(), limits, Watch(), session=session)
        check(receiver.header(), args.temperature)
        expected(receiver, source)
        receiver.run()
    text = sample(receiver.predictor, args.bytes, args.seed, args.temperature)
    if sys.stdout.isatty():
        console.show("\n".join(map(printable, text.decode(errors="backslashreplace").split("\n"))))
    else:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
