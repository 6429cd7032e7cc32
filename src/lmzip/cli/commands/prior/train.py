"""Learn a corpus, and save what was learnt."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .... import pack, presets
from ....errors import UsageError
from ....files import SUFFIX, Input
from ....prior import store
from ....sender import Sender
from ... import arguments, making
from ...console import Console
from ...transfer import Target, announce, check_inputs, writing

ORDER = 10
EXAMPLES = """\
examples:
  lmzip prior train book*.txt -o books.prior                      with the default preset, about 15 KB a second
  lmzip prior train access.log -o nginx.prior --preset fast       for archives made with the same preset
  lmzip prior train corpus.txt -o c.prior --licence CC-BY-SA-4.0 --source https://example.org/corpus
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("files", nargs="+", metavar="CORPUS", help="text to learn, one file behind the other")
    parser.add_argument("--preset", choices=tuple(presets.PRESETS), default="default", help="as of encode")
    parser.add_argument("--experts", choices=tuple(presets.EXPERTS), help="as of encode")
    parser.add_argument("--seed", type=arguments.natural, metavar="N", help="as of encode")
    parser.add_argument("--replay", type=arguments.natural, metavar="K", help="as of encode")
    parser.add_argument("--no-code", action="store_true", help="leave the decoder out of the corpus's archive")
    making.add_notes(parser)
    arguments.add_output(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """The prior, and the archive of its corpus beside it. Raises UsageError and FileError before anything is learnt."""
    session, options = arguments.session(args, console), arguments.encode_options(args)
    header = options.header(session)
    target, archive = making.named(args, store.SUFFIX), making.named(args, SUFFIX)
    paths, total = [Path(name) for name in args.files], check_inputs(args.files)
    for output in (target, archive):
        if os.path.exists(output) and any(path.samefile(output) for path in paths):
            raise UsageError(f"{output} is part of the corpus; give the prior another name with -o")
    with making.saving(args, console, target, need=making.size(header, total), archive=archive) as save:
        from ....prior.train import Corpus, train  # start-up: loads numba

        source = Input(Corpus(paths), standard=True)
        with writing(Target(archive, args.force, args.resume, is_archive=True), source, console) as opened:
            announce(console, session, header, total)
            bar = console.bar(target, args.checkpoint)
            bar.begin(total)
            try:
                code = pack.code(header) if options.code else b""
                sender = Sender(opened.sink, header, code, bar, opened.snapshot, session=session)
                ledger, parts = train(sender, source, args.resume, args.licence, args.source)
            finally:
                bar.close()
            save(parts)  # before the archive gets its name: the retry after a failure finds nothing in its way
    console.say(f"{archive}: the corpus, {ledger.original:,} bytes in {ledger.archive:,}")
