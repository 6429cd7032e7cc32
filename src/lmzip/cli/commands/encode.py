"""Make an archive of a file, or of standard input."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from ... import checkpoint, deadline, pack, plan
from ...errors import UsageError
from ...files import SUFFIX, Output
from ...ledger import Ledger
from ...limits import Limits
from ...options import EncodeOptions
from ...prior import choice
from ...prior.fingerprint import Overlap, Tap
from ...progress import Watch
from ...sender import Sender
from ...session import Session
from .. import arguments, remarks
from ..console import Console
from ..transfer import Nowhere, Opened, Target, announce, decode_to, reading, writing

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
    selected = _selected(args, console, session, name, output)
    options = _options(args, console, session, name, selected)
    header = options.header(session)
    for remark in remarks.on_encoding(args, header, output):
        console.say(remark)
    target = Target(output, args.force, args.resume, is_archive=True)
    with reading(name) as file, writing(target, file, console) as opened:
        total, source, overlap = file.size(), file, None
        knowledge = session.knowledge(header)
        if knowledge is not None and (fingerprint := knowledge.fingerprint()) is not None:
            overlap = Overlap(fingerprint)
            source = Tap(file, overlap)
        bar = console.bar(name, args.checkpoint)
        try:
            if isinstance(selected, plan.Choice):
                bar.begin(total)
                ledger = _in_time(options, selected, console, session, source, opened, bar)
            else:
                processes = session.threads if header.independent_frames else 1
                announce(console, session, header, total, processes, source=file)
                bar.begin(total)
                code = pack.code(header) if options.code else b""
                sender = Sender(opened.sink, header, code, bar, opened.snapshot, session=session)
                ledger = sender.run(source, args.resume)
                del sender  # and with it a predictor
        finally:
            bar.close()
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


def _options(
    args: argparse.Namespace, console: Console, session: Session, name: str, selected: str | plan.Choice | None
) -> EncodeOptions:
    """What the command line asks for, `auto` decided on."""
    if args.prior == "auto":
        with reading(name) as source:
            return choice.best(arguments.encode_options(args, prior=None), session, source, console.say)
    if selected is not None:
        preset = selected if isinstance(selected, str) else selected.preset
        return arguments.encode_options(args, preset=preset, seed=_seed(args, preset))
    return arguments.encode_options(args)


def _seed(args: argparse.Namespace, preset: str) -> int | None:
    """The seed, which is for whatever preset has a language model."""
    return None if preset == "fast" else args.seed


def _selected(
    args: argparse.Namespace, console: Console, session: Session, name: str, output: str
) -> str | plan.Choice | None:
    """What --preset auto comes to: a choice, or a preset where there is nothing to choose; None: it isn't asked for."""
    if args.preset != "auto" and args.time is None:
        return None
    if args.prior is not None:
        raise UsageError("--prior brings its own settings, so there is nothing for --time or --preset auto to choose")
    if args.preset not in (None, "auto") or args.level is not None:
        raise UsageError("--time chooses the preset; leave the other choice out")
    if args.experts or args.replay is not None:
        raise UsageError("--preset auto decides on --experts and --replay; leave them out, or name a preset")
    headers = plan.headers(arguments.encode_options(args, preset=None))
    if args.resume and (begun := Output.begun(Path(output))):
        for preset, header in headers.items():
            if begun.startswith(header.pack()):
                return preset
    with reading(name) as source:
        if (length := source.size()) is None:
            console.say("auto: nobody knows how much a pipe will bring, so the preset is fast")
            return "fast"
        selected = plan.make(source, length, session, headers, code=not args.no_code, budget=args.time or plan.BUDGET)
    console.say(str(selected))
    return selected


def _in_time(
    options: EncodeOptions,
    selected: plan.Choice,
    console: Console,
    session: Session,
    source: Any,
    opened: Opened,
    bar: Watch,
) -> Ledger:
    """Send with the preset selected, and begin again with a cheaper one where it turns out to be too slow."""
    headers, place = plan.headers(options), source.tell()
    with contextlib.ExitStack() as stack:
        sink = opened.sink
        if opened.output is None or opened.output.direct:
            sink = stack.enter_context(deadline.held(sink))
        while True:
            header = headers[selected.preset]
            code = pack.code(header) if options.code else b""
            try:
                watch = selected.watch(bar)
                return Sender(sink, header, code, watch, opened.snapshot, session=session).run(source)
            except plan.TooSlow as slow:
                selected = slow.choice
                console.say(str(selected))
                sink.seek(0)
                sink.truncate()
                source.seek(place)
                if opened.snapshot is not None:
                    checkpoint.remove(opened.snapshot)
