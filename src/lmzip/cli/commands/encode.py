"""Make an archive of a file, or of standard input."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from ... import checkpoint, pack, plan, presets
from ...codec.message import Header
from ...deadline import held
from ...errors import UsageError
from ...files import SUFFIX, Output
from ...ledger import Ledger
from ...limits import Limits
from ...options import EncodeOptions
from ...prior.choice import best
from ...prior.fingerprint import Overlap, Tap
from ...progress import Watch
from ...sender import Sender
from ...session import Session
from ...text import printable
from .. import arguments, remarks
from ..console import Console
from ..inputs import reading
from ..transfer import Nowhere, Opened, Target, announce, check, decode_to, writing

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
  lmzip encode book.txt --prior model.gguf    a published language model predicts: a GGUF file, or a directory

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

    def archive_name(name: str) -> str:
        return "-" if name == "-" else name + SUFFIX

    session = arguments.session(args, console)  # one for all files: a prior is opened once

    def one(name: str) -> None:
        encode(args, console, session, name, arguments.placed(output, name, archive_name))

    console.each(args.files, one)


def encode(args: argparse.Namespace, console: Console, session: Session, name: str, output: str) -> None:
    """The file `name` into the archive `output`. Raises UsageError, PriorError, and as Sender.run."""
    if args.verify and output == "-":
        raise UsageError("--verify needs a file to read again; name one with -o")
    target = Target(output, args.force, args.resume, is_archive=True)
    options, choice = _options(args, console, session, name, target)
    header = options.header(session)
    for remark in remarks.on_encoding(args, header, output):
        console.say(remark)
    with reading(name) as file, writing(target, file, console) as opened, _restartable(opened, choice) as sink:
        onto, resume = opened._replace(sink=sink), args.resume
        while True:
            bar = console.bar(name, args.checkpoint)
            try:
                code = pack.code(header) if options.code else b""
                ledger, overlap = _code(file, onto, header, code, session, console, bar, choice, resume)
                break
            except plan.TooSlow as slow:
                choice, resume = slow.choice, False
                console.say(str(choice))
                header = _with(options, choice.preset).header(session)
                file.seek(0)
                sink.seek(0)
                sink.truncate(0)
                if opened.snapshot is not None:
                    checkpoint.remove(opened.snapshot)
            finally:
                bar.close()
        if args.verify:
            assert opened.output is not None
            with reading(str(opened.output.part)) as archive:
                everything = Limits(1 << 60, 1 << 60, 1 << 80)
                decode_to(archive, Nowhere(), everything, session, console, every=args.checkpoint)
    if len(args.files) > 1:
        console.say(f"\n{printable(name)} → {printable(output)}")
    _report(console, ledger, overlap)


def _code(
    file: Any,
    opened: Opened,
    header: Header,
    code: bytes,
    session: Session,
    console: Console,
    bar: Watch,
    choice: plan.Choice | None,
    resume: bool,
) -> tuple[Ledger, Overlap | None]:
    """The archive, and what of the file a prior knew. Raises plan.TooSlow where a choice by time turns out too slow."""
    total, source, overlap = file.size(), file, None
    knowledge = session.knowledge(header)
    if knowledge is not None and (fingerprint := knowledge.fingerprint()) is not None:
        overlap = Overlap(fingerprint)
        source = Tap(file, overlap)
    watch = choice.watch(bar) if choice is not None else bar
    sender = Sender(opened.sink, header, code, watch, opened.snapshot, session=session)
    if resume:
        sender.saved()  # what can't go on is refused before anything else is said or done
    if choice is None:
        announce(console, session, header, total, source=file)
    bar.begin(total)
    return sender.run(source, resume), overlap


def _with(options: EncodeOptions, preset: str) -> EncodeOptions:
    """The options with a preset that was chosen; a seed is for those that have a language model."""
    has_model = presets.PRESETS[preset][0] != "none"
    return replace(options, preset=preset, seed=options.seed if has_model else None)


def _restartable(opened: Opened, choice: plan.Choice | None) -> AbstractContextManager[BinaryIO]:
    """The sink, which can be taken back to its beginning if there is a choice that may turn out too slow."""
    if choice is None or (opened.output is not None and not opened.output.direct):
        return nullcontext(opened.sink)
    return held(opened.sink)


def _report(console: Console, ledger: Ledger, overlap: Any) -> None:
    console.say(ledger.table())
    if advice := ledger.advice():
        console.say(advice)
    if overlap is not None:
        console.say(str(overlap))


def _options(
    args: argparse.Namespace, console: Console, session: Session, name: str, target: Target
) -> tuple[EncodeOptions, plan.Choice | None]:
    """What the command line asks for, `auto` decided on: with the choice, where it went by time."""
    is_auto = args.preset == "auto" or args.time is not None
    if args.prior is not None and is_auto:
        raise UsageError("--prior brings its own settings, so there is nothing for --time or --preset auto to choose")
    if args.prior == "auto":
        with reading(name) as source:
            check(target, source)
            return best(arguments.encode_options(args, prior=None), session, source, console.say), None
    if not is_auto:
        return arguments.encode_options(args), None
    if args.preset not in (None, "auto") or args.level is not None:
        raise UsageError("--time chooses the preset; leave the other choice out")
    if args.experts or args.replay is not None:
        raise UsageError("--preset auto decides on --experts and --replay; leave them out, or name a preset")
    options = arguments.encode_options(args, preset=None)
    headers = plan.headers(options)
    with reading(name) as source:
        check(target, source)
        if args.resume and (begun := Output.begun(Path(target.name))):
            for preset, header in headers.items():
                if begun.startswith(header.pack()):
                    return _with(options, preset), None
        if (length := source.size()) is None:
            console.say("auto: nobody knows how much a pipe will bring, so the preset is fast")
            return _with(options, "fast"), None
        choice = plan.make(source, length, session, headers, code=options.code, budget=args.time or plan.BUDGET)
    console.say(str(choice))
    return _with(options, choice.preset), choice
