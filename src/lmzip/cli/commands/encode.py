"""Make an archive of a file, or of standard input."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ... import pack, plan, presets
from ...errors import UsageError
from ...files import SUFFIX, Output
from ...ledger import Ledger
from ...limits import Limits, readable_time
from ...options import EncodeOptions
from ...prior import choice
from ...prior.fingerprint import Overlap, Tap
from ...sender import Sender
from ...session import Session
from .. import arguments, remarks
from ..console import Console
from ..transfer import Nowhere, Target, announce, check, decode_to, reading, writing

ORDER = 10
OVERVIEW = "make an archive                   lmzip encode book.txt             → book.txt.lmz"
EXAMPLES = """\
examples:
  lmzip encode book.txt                       → book.txt.lmz, and shows what each part of it costs
  lmzip encode --preset fast --no-code *.txt  several small files, without the decoder in each
  lmzip encode book.txt --time 5m             the smallest archive that can be made in five minutes
  lmzip encode log -T 4 --independent-frames  four processes; any part of it can be read without the rest
  lmzip encode big --resume                   after an interruption; repeat the other options
  lmzip encode - -o book.txt.lmz              from standard input
  lmzip encode new.log --prior nginx.prior    builds on what was learnt from other logs: lmzip prior --help
  lmzip encode book.txt --prior mymodel       a language model of transformers in this directory predicts

Memory does not grow with the input, but for a hundred bytes a frame. Work that takes long is announced with its time
and memory, before it begins.
With independent frames and -T, every process takes that memory, and has checkpoints of its own.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    arguments.add_files(parser)
    arguments.add_output(parser)
    arguments.add_encoding(parser)
    arguments.add_prior_path(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """Every file into an archive of its own. Raises UsageError."""
    output = arguments.output(args)
    if len(args.files) > 1 and output == "-":
        raise UsageError("archives don't go one behind the other; encode one at a time with -c, or tar them first")
    console.each(
        args.files, lambda name: encode(args, console, name, output or ("-" if name == "-" else name + SUFFIX))
    )


def encode(args: argparse.Namespace, console: Console, name: str, output: str) -> None:
    """The file `name` into the archive `output`. Raises UsageError, PriorError, and as Sender.run."""
    if args.verify and output == "-":
        raise UsageError("--verify needs a file to read again; name one with -o")
    session = arguments.session(args)
    target = Target(output, args.force, args.resume, is_archive=True)
    options = _options(args, console, session, name, target)
    header = options.header(session)
    for remark in remarks.on_encoding(args, header, output):
        console.say(remark)
    with reading(name) as file, writing(target, file, console) as opened:
        total, source, overlap = file.size(), file, None
        knowledge = session.knowledge(header)
        if knowledge is not None and (fingerprint := knowledge.fingerprint()) is not None:
            overlap = Overlap(fingerprint)
            source = Tap(file, overlap)
        announce(console, session, header, total, session.threads if header.independent_frames else 1)
        bar = console.bar(name, args.checkpoint)
        bar.begin(total)
        try:
            code = pack.code(header) if options.code else b""
            sender = Sender(opened.sink, header, code, bar, opened.snapshot, session=session)
            ledger = sender.run(source, args.resume)
        finally:
            bar.close()
        del sender  # and with it a predictor
        if args.verify:
            assert opened.output is not None
            with reading(str(opened.output.part)) as archive:
                everything = Limits(1 << 60, 1 << 60, 1 << 80)
                decode_to(archive, Nowhere(), everything, session, console, every=args.checkpoint)
    _report(console, ledger, overlap)


def _report(console: Console, ledger: Ledger, overlap: Any) -> None:
    console.say(ledger.table())
    if advice := ledger.advice():
        console.say(advice)
    if overlap is not None:
        console.say(str(overlap))


def _options(args: argparse.Namespace, console: Console, session: Session, name: str, target: Target) -> EncodeOptions:
    """What the command line asks for, `auto` decided on."""
    is_auto = args.preset == "auto" or args.time is not None
    if args.prior is not None and is_auto:
        raise UsageError("--prior brings its own settings, so there is nothing for --time or --preset auto to choose")
    if args.prior == "auto":
        with reading(name) as source:
            check(target, source)
            return choice.best(arguments.encode_options(args, prior=None), session, source, console.say)
    if is_auto:
        return arguments.encode_options(args, preset=_best_preset(args, console, session, name, target))
    return arguments.encode_options(args)


def _best_preset(args: argparse.Namespace, console: Console, session: Session, name: str, target: Target) -> str:
    """What --preset auto comes to."""
    if args.preset not in (None, "auto") or args.level is not None:
        raise UsageError("--time chooses the preset; leave the other choice out")
    if args.experts or args.replay is not None:
        raise UsageError("--preset auto decides on --experts and --replay; leave them out, or name a preset")
    budget = args.time or plan.BUDGET
    options = {name: getattr(args, name) for name in ("frame_size", "independent_frames")} | {"seed": args.seed or 0}
    headers = {preset: presets.header(preset, **options) for preset in presets.PRESETS}
    if args.resume and (begun := Output.begun(Path(target.name))):
        for preset, header in headers.items():
            if begun.startswith(header.pack()):
                return preset
    with reading(name) as source:
        check(target, source)
        if (length := source.size()) is None:
            console.say("auto: nobody knows how much a pipe will bring, so the preset is fast")
            return "fast"
        sample = plan.sample(source, length, session)
    threads = session.threads
    estimates = [plan.estimate(preset, headers[preset], sample, not args.no_code, threads) for preset in headers]
    best = plan.best(estimates, budget)
    text = f"preset {best.preset}, about {best.archive:,} bytes in about {readable_time(best.seconds)}"
    text += "" if best.seconds <= budget else ": longer than --time allows, but no preset is faster"
    console.say("auto: " + text)
    return best.preset
