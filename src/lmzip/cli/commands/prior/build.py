"""Make a prior again from the archive of its corpus."""

from __future__ import annotations

import argparse
from pathlib import Path

from ....errors import PriorError, UsageError
from ....prior import store
from ....receiver import Receiver
from ... import arguments, making
from ...console import Console
from ...inputs import reading
from ...transfer import announce, expected

ORDER = 20
EXAMPLES = """\
examples:
  lmzip prior build books.lmz -o books.prior
  lmzip prior build books.lmz -o books.prior --same-as 3f7a…      that digest, or that file's, must come out
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("file", metavar="ARCHIVE", help="what prior train wrote beside the prior")
    text = "the digest that it must have, or a file of the same prior"
    parser.add_argument("--same-as", metavar="PRIOR", help=text)
    making.add_notes(parser)
    arguments.add_output(parser)
    arguments.add_limits(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """The prior. Raises UsageError and FileError before anything is decoded, PriorError where another comes out."""
    target, session = making.named(args, store.SUFFIX), arguments.session(args, console)
    wanted = args.same_as and digest_of(args.same_as)
    if args.resume:
        raise UsageError("a prior that is built can't be resumed; leave --resume out")
    from ....prior.train import Fingerprinted, build  # start-up: loads numba

    with reading(args.file) as source:
        bar, limits = console.bar(target), arguments.decode_options(args).limits
        receiver = Receiver(source, Fingerprinted(), limits, bar, session=session)
        header = receiver.header()
        total, coded = expected(receiver, source)
        with making.saving(args, console, target, need=making.size(header, total or 0)) as save:
            announce(console, session, header, coded, decoding=True)
            bar.begin(total)
            try:
                _, parts = build(receiver, args.licence, args.source)
            finally:
                bar.close()
            if wanted and not parts[0].state.startswith(wanted):
                raise PriorError(f"this archive's prior is {parts[0].state}, not {wanted}")
            save(parts)


def digest_of(text: str) -> str:
    """A digest in hexadecimal, or that of a prior's file. Raises PriorError."""
    if len(text) >= 16 and all(sign in "0123456789abcdef" for sign in text.lower()):
        return text.lower()
    return store.read(Path(text)).manifest.state
