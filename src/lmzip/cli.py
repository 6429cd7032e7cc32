"""The command line: `lmzip encode|decode|info|list|verify`, and the manners of xz (`tar -I lmzip`)."""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from . import __version__, engine
from .errors import (
    ArchiveError,
    ArithmeticDiffers,
    DamageError,
    FileError,
    Interrupted,
    LmzipError,
    ResumeError,
    UsageError,
    system_error,
)
from .files import SUFFIX, Input, Output, create
from .lab import command as lab
from .lab import scan_command as scans
from .prior import command as priors

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
LONG = 10.0  # seconds of work from which the expected time is said in advance

HELP = {
    "": """\
commands, each with a --help of its own:
  encode    make an archive                   lmzip encode book.txt             → book.txt.lmz
  decode    rebuild the original              lmzip decode book.txt.lmz         → book.txt
  verify    decode and compare, write nothing lmzip verify book.txt.lmz book.txt
  info      the ledger and the settings       lmzip info book.txt.lmz
  list      one line for each archive         lmzip list *.lmz
  plan      size, time, memory of each preset lmzip plan book.txt
  prior     learn other text beforehand       lmzip prior train old/*.log -o nginx.prior
  report    a page: what was paid for what    lmzip report book.txt             → report.html
  score     bits per byte of many texts       lmzip score texts.jsonl
  sample    go on where a file ends           lmzip sample book.txt.lmz
  estimate  from a training curve             lmzip estimate curve.csv --bytes-per-token 4 --code 1M
  scan      scaling laws of DATA              lmzip scan enwik8                 → scan/
  completion                                  eval "$(lmzip completion bash)"

without a command lmzip takes the options of xz, and says as little:
  lmzip book.txt                              → book.txt.lmz, and unlike xz keeps book.txt
  lmzip -d book.txt.lmz                       back
  tar -I lmzip -cf src.tar.lmz src            a directory; back: tar -I lmzip -xf src.tar.lmz
  zcat log.gz | lmzip -3 > log.lmz            through pipes

Inputs are never deleted, outputs never overwritten without -f. An output appears under its name when it is whole;
until then it is called OUT.lmzip-part, and OUT.lmzip-state is its last checkpoint.

exit status: 0 all went well; 1 an error; 2 wrong usage; 130 interrupted by Ctrl-C, SIGTERM or a closed terminal.
Of several files all are tried, and the highest status counts.

environment:
  XDG_CACHE_HOME    compiled code is kept in its folder lmzip (default ~/.cache); the first run fills it, a minute or so
  LMZIP_PRIOR_PATH  where priors are looked for, after --prior-path; then the package, and priors in that folder lmzip
  TMPDIR            where that goes if the cache can't be written

`python FILE.lmz [OUT]` rebuilds the original where only Python, torch, numpy and numba are installed: that runs
the program inside the archive, so do it only with files from people you trust. `lmzip decode` runs no such code.
""",
    "encode": """\
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
""",
    "decode": """\
examples:
  lmzip decode book.txt.lmz                   → book.txt
  lmzip decode book.txt.lmz -o -              to standard output, each frame when its digest holds
  lmzip decode big.lmz --resume               after an interruption
  lmzip decode damaged.lmz --keep-going       what it still holds → damaged.partial, and a status that isn't 0

Without limits of your own, an archive may ask for 4 GB of memory, 128 MiB of output and ten minutes of work, and
for 256 times its own size beyond that. What asks for more is refused before anything is allocated.
""",
    "verify": """\
examples:
  lmzip verify book.txt.lmz                   decodes it, compares every digest
  lmzip verify book.txt.lmz book.txt          and every byte
""",
    "info": """\
examples:
  lmzip info book.txt.lmz                     what each part of it costs, its settings, whose code it carries
  lmzip info book.txt.lmz --compare book.txt  beside gzip, bzip2 and xz
  lmzip info book.txt.lmz --json              with every frame's kind, sizes and code length
  lmzip info --backend                        how this machine computes; it changes the time, never the bytes
""",
    "plan": """\
example:
  lmzip plan book.txt                         what each preset would make of it, and how long it would take
""",
    "list": """\
example:
  lmzip list *.lmz
""",
    "prior": priors.HELP[""],
    **lab.HELP,
    "scan": scans.HELP,
    "completion": """\
examples:
  eval "$(lmzip completion bash)"             in ~/.bashrc; for zsh the same
  lmzip completion fish > ~/.config/fish/completions/lmzip.fish
""",
}


def size(text: str) -> int:
    """A number of bytes: 65536, 64K, 1M, 2G."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in [*"KMGT"] else (text, "")
    try:
        value = int(float(number) * UNITS[unit])
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write 65536, 64K or 1M") from None
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def duration(text: str) -> float:
    """Seconds: 90, 60s, 5m, 2h."""
    number, unit = (text[:-1], text[-1].lower()) if text[-1:].lower() in [*"smh"] else (text, "s")
    try:
        value = float(number) * {"s": 1, "m": 60, "h": 3600}[unit]
    except (ValueError, KeyError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write 90, 60s, 5m or 2h")
    return value


def natural(text: str) -> int:
    """An integer from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)


def interval(text: str) -> float:
    """A duration, or 0."""
    return 0.0 if text == "0" else duration(text)


def _output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("-o", "--output", metavar="OUT", help="write to this file; - is standard output")
    group.add_argument("-c", "--stdout", "--to-stdout", action="store_true", help="write to standard output")
    group.add_argument("-f", "--force", action="store_true", help="overwrite an existing output")
    group.add_argument("-k", "--keep", action="store_true", help="keep the input, which lmzip always does")
    group.add_argument("--resume", action="store_true", help="go on where an interrupted run left off")
    text = "time between checkpoints, as 90, 60s, 5m (default 240; 0: none)"
    group.add_argument("--checkpoint", type=interval, metavar="TIME", default=240.0, help=text)
    _threads_option(group)


def _threads_option(group: Any) -> None:
    text = "threads, or processes for independent frames (default 1; 0: one for each processor); same bytes"
    group.add_argument("-T", "--threads", type=natural, default=1, metavar="N", help=text)
    text = "where the model's matrix products are computed (default cpu); same bytes"
    group.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help=text)


def _encode_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("encoding")
    text = "fast: experts only; default: a language model as well; max: larger tables and a larger model; "
    text += "auto: the smallest archive that --time allows"
    group.add_argument("--preset", choices=("fast", "default", "max", "auto"), help=text)
    for level in range(10):
        help_ = "-0 … -3: preset fast; -4 … -6: default; -7 … -9: max" if level == 0 else argparse.SUPPRESS
        group.add_argument(f"-{level}", dest="level", action="store_const", const=level, help=help_)
    text = "for each file, as 90, 60s, 5m, 2h (default with --preset auto: 60s); implies --preset auto"
    group.add_argument("--time", type=duration, metavar="TIME", help=text)
    text = "which experts; none: the pure language model (default: the preset's)"
    group.add_argument("--experts", choices=("none", "fast", "max"), help=text)
    group.add_argument("--seed", type=natural, metavar="N", help="of the model's first weights (default 0)")
    text = "extra training steps per segment on the past (default: the preset's)"
    group.add_argument("--replay", type=natural, metavar="K", help=text)
    group.add_argument("--no-code", action="store_true", help="leave the decoder out of the archive")
    text = "bytes of original per frame, the unit of integrity (default 1M)"
    group.add_argument("--frame-size", type=size, default=1 << 20, metavar="SIZE", help=text)
    text = "a prior to build on: its name, digest or file, or auto: the best of those found, if any helps; or the "
    text += "directory of a language model of transformers"
    group.add_argument("--prior", metavar="PRIOR", help=text)
    text = "of such a model: the precision of its weights, 8, 12 or 16 bits (default 8)"
    group.add_argument("--prior-bits", type=int, choices=(8, 12, 16), metavar="BITS", help=text)
    text = "of such a model: head lets the biases of its output learn the file (default none)"
    group.add_argument("--adapt", choices=("none", "head"), help=text)
    text = "reset the model in each frame: random access, parallel work with -T, some ratio lost"
    group.add_argument("--independent-frames", action="store_true", help=text)
    group.add_argument("--verify", action="store_true", help="decode the archive before it gets its name")


def _decode_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("decoding")
    priors.path_option(group)
    group.add_argument("--keep-going", action="store_true", help="save what a damaged archive still holds")
    group.add_argument("--run-embedded", metavar="SHA256", help="run the archive's own code, if this is its digest")
    _limit_options(group)


def _limit_options(group: Any) -> None:
    group.add_argument("--max-memory", type=size, metavar="SIZE", help="refuse what takes more memory (default 4G)")
    group.add_argument("--max-output", type=size, metavar="SIZE", help="refuse what is longer when decoded")
    group.add_argument("--max-work", type=size, metavar="N", help="refuse what takes more arithmetic operations")


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command; "" is the one without a command."""

    def new(name: str, text: str, usage: str | None = None) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=f"lmzip {name}".strip(),
            usage=usage,
            description=text,
            epilog=HELP[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        parser.add_argument("-q", "--quiet", action="count", default=0, help="say nothing but errors")
        parser.add_argument("-v", "--verbose", action="count", default=0, help="say more; a traceback with every error")
        result[name] = parser
        return parser

    result: dict[str, argparse.ArgumentParser] = {}
    text = "Lossless compression by a language model learnt online, in exact arithmetic."
    plain = new("", text, "lmzip COMMAND [OPTION …] [FILE …]\n       lmzip [OPTION …] [FILE …]")
    plain.add_argument("-V", "--version", action="version", version=f"lmzip {__version__}", help="show it and stop")
    plain.add_argument("files", nargs="*", metavar="FILE", help="none or -: standard input")
    group = plain.add_argument_group("what to do, without a command")
    action = group.add_mutually_exclusive_group()
    action.add_argument(
        "-z", "--compress", dest="action", action="store_const", const="encode", default="encode", help="as encode does"
    )
    decode_names = ("-d", "--decompress", "--uncompress")
    action.add_argument(*decode_names, dest="action", action="store_const", const="decode", help="as decode does")
    action.add_argument("-t", "--test", dest="action", action="store_const", const="verify", help="as verify does")
    action.add_argument("-l", "--list", dest="action", action="store_const", const="list", help="as list does")
    _output_options(plain)
    _encode_options(plain)
    _decode_options(plain)

    encode = new("encode", "Make an archive of a file, or of standard input.")
    encode.add_argument("files", nargs="*", metavar="FILE", help="none or -: standard input")
    _output_options(encode)
    _encode_options(encode)
    priors.path_option(encode)

    decode = new("decode", "Rebuild the original of an archive.")
    decode.add_argument("files", nargs="*", metavar="FILE", help="none or -: standard input")
    _output_options(decode)
    _decode_options(decode)

    verify = new("verify", "Decode an archive, check every digest, and compare with the original if it is given.")
    verify.add_argument("file", metavar="FILE", help="an archive; -: standard input")
    verify.add_argument("original", nargs="?", metavar="ORIGINAL", help="what it should decode to")
    priors.path_option(verify)
    _threads_option(verify)
    _limit_options(verify)

    info = new("info", "Show an archive's ledger and settings, without decoding.")
    info.add_argument("file", nargs="?", metavar="FILE", help="an archive; -: standard input")
    info.add_argument("--backend", action="store_true", help="show what computes on this machine instead")
    info.add_argument("--json", action="store_true", help="for programs, frame by frame")
    info.add_argument("--compare", metavar="ORIGINAL", help="compare the digests; show gzip, bzip2 and xz beside")

    priors.path_option(info)

    listing = new("list", "Show one line for each archive: frames, sizes, bits per byte.")
    listing.add_argument("files", nargs="+", metavar="FILE", help="archives")
    priors.path_option(listing)

    planned = new("plan", "Estimate what each preset would take, from a sample of the file; writes nothing.")
    planned.add_argument("file", metavar="FILE", help="what is to be encoded")
    planned.add_argument("--json", action="store_true", help="for programs")
    planned.add_argument("--no-code", action="store_true", help="as of archives without the decoder")

    prior = new("prior", "Learn other data beforehand, which both ends then share.", "lmzip prior COMMAND [OPTION …]")
    priors.add_parsers(prior, _output_options, _limit_options)
    lab.add_parsers(new, sys.modules[__name__])

    scan = new("scan", "Fit scaling laws over data, model size and compute, from runs of the coding loop.")
    scans.add_options(scan, size, natural)

    completion = new("completion", "Print a shell's completion of this command.")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")
    return result


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for errors, 2 for usage."""
    arguments = sys.argv[1:] if argv is None else argv
    _open_what_is_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names and signs that the terminal's encoding lacks
    table = parsers()
    command = arguments[0] if arguments and arguments[0] in table else ""
    parser = table[command]
    if not command and not arguments and sys.stdin.isatty():
        parser.print_help()
        return 2
    args = parser.parse_args(arguments[1:] if command else arguments)
    args.words = arguments
    engine.set_prior_path(getattr(args, "prior_path", ""))
    run = {"encode": encode, "decode": decode, "verify": verify, "info": info, "list": listing, "": like_xz}
    run |= {"completion": completion, "plan": planning, "prior": priors.run, "scan": scans.run}
    run |= {name: functools.partial(lab.run, name) for name in lab.HELP}
    with _failures(args) as status:
        try:
            status.append(run[command](args) or 0)
        finally:
            _flush()
    return max(status)


def _open_what_is_closed() -> None:
    """Standard streams that whoever started us has closed: the next file to be opened would take their place.

    The null device instead, the wrong way round for input and output: using what isn't there is an error.
    """
    streams = (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
    for number, (name, mode, flags) in enumerate(streams):
        if getattr(sys, name) is None:
            if (opened := os.open(os.devnull, flags)) != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, mode, errors="backslashreplace"))  # noqa: SIM115


@contextlib.contextmanager
def _failures(args: argparse.Namespace, name: str = "") -> Iterator[list[int]]:
    """One line for every error; a traceback with -v. The list collects exit statuses."""
    status: list[int] = [0]
    args.kept = ""  # set by whoever leaves something to resume from: how to go on
    args.stopped = False  # shall the remaining files be left alone?
    prefix = f"lmzip: {name}: " if name else "lmzip: "
    try:
        yield status
        return
    except BrokenPipeError:
        _leave_output()  # whoever read it has seen enough
        status.append(1)
        args.stopped = True
        return
    except UsageError as error:
        status.append(2)
        text = str(error)
    except LmzipError as error:
        status.append(130 if isinstance(error, Interrupted) else 1)
        text = str(error)
    except KeyboardInterrupt:
        status.append(130)
        text = "interrupted"
    except OSError as error:
        status.append(1)
        text = str(system_error(error, str(error.filename or "input or output")))
    except MemoryError:
        status.append(1)
        text = "there is not enough memory; choose a smaller preset, or free some"
    except Exception as error:
        status.append(1)
        text = f"internal error, please report it with what -v says: {type(error).__name__}: {error}"
    if args.verbose:
        traceback.print_exc()
    args.stopped |= 130 in status
    print(shown(prefix + "; ".join(filter(None, (" ".join(text.split()), args.kept)))), file=sys.stderr)


def shown(text: str) -> str:
    """Text with a name in it, without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _flush() -> None:
    """Errors of standard output show now, not at exit."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _leave_output()
        raise system_error(error, "can't write to standard output") from error


def _leave_output() -> None:
    """Standard output takes no more: Python must not try again, and complain, at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(args: argparse.Namespace, text: str) -> None:
    if not args.quiet:
        print(text, file=sys.stderr)


def like_xz(args: argparse.Namespace) -> int:
    """No command: xz's options. Silent but for errors, unless -v is given."""
    args.quiet += not args.verbose
    if args.action == "list":
        return listing(args)
    if args.action == "verify":
        return _each(args, _test)
    return decode(args) if args.action == "decode" else encode(args)


def _test(args: argparse.Namespace, name: str) -> None:
    args.file, args.original = name, None
    verify(args)


def _each(args: argparse.Namespace, do: Any) -> int:
    """`do` for every file; an error doesn't stop the rest, an interruption does. Returns the highest status."""
    worst = 0
    for name in args.files or ["-"]:
        with _failures(args, "" if name == "-" else name) as status:
            do(args, name)
        worst = max(worst, *status)
        if args.stopped:
            break
    return worst


def _threads(args: argparse.Namespace) -> int:
    count = args.threads or os.cpu_count() or 1
    engine.set_threads(count)
    engine.set_device(args.device)
    return count


@contextlib.contextmanager
def reading(name: str) -> Iterator[Any]:
    """The input of this name; - is standard input."""
    if name == "-":
        yield Input(sys.stdin.buffer, standard=True)
        return
    if os.path.isdir(name):
        new = Path(name).name or "NAME"
        raise FileError(f"it is a directory; pack it first: tar -I lmzip -cf {new}.tar.lmz {name}")
    try:
        file = open(name, "rb")  # noqa: SIM115
    except OSError as error:
        raise system_error(error, "can't read it") from error
    with file:
        yield Input(file)


@contextlib.contextmanager
def writing(args: argparse.Namespace, source: Any, target: str) -> Iterator[tuple[BinaryIO, Path | None, Any]]:
    """The output: its file, where checkpoints go, the Output. It gets its name if all goes well."""
    from .progress import signals

    if target == "-":
        if args.resume:
            raise UsageError("standard output can't be resumed; name a file with -o")
        if sys.stdout.isatty() and not args.force and args.writes_archive:
            raise UsageError("an archive is not for a terminal; redirect it, name a file with -o, or insist with -f")
        try:
            with signals():
                yield sys.stdout.buffer, None, None
            _flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            _leave_output()
            raise system_error(error, "can't write to standard output") from error
        return
    status = source.status()
    if status and source.size() is not None and os.path.exists(target) and os.path.samestat(os.stat(target), status):
        raise UsageError(f"{target} is the input; name another output with -o")
    output = Output(Path(target), force=args.force, resume=args.resume)
    try:
        with signals():
            yield output.file, None if output.direct else output.snapshot, output
            output.publish(None if source.standard else status)
    except ArchiveError:  # there is no going on with this archive
        output.discard()
        raise
    except BaseException as error:
        if output.keep() and not isinstance(error, ResumeError):
            args.kept = f"the same command with --resume goes on ({output.part} is kept)"
        if isinstance(error, OSError):
            raise system_error(error, f"can't write {error.filename or target}") from error
        raise


def _bar(args: argparse.Namespace, name: str) -> Any:
    from .progress import Bar

    return Bar(Path(name).name, show=not args.quiet and sys.stderr.isatty(), every=args.checkpoint)


def _one_output(args: argparse.Namespace) -> None:
    if args.output == "/dev/stdout":  # a link, which no file may replace
        args.output = "-"
    if args.output and len(args.files) > 1:
        raise UsageError("-o is for a single input; leave it out, and each output is named after its input")
    if args.output not in (None, "-") and args.stdout:
        raise UsageError("-o names one output and -c another; leave one of them out")


def encode(args: argparse.Namespace) -> int:
    _one_output(args)
    if len(args.files) > 1 and args.stdout:
        raise UsageError("archives don't go one behind the other; encode one at a time with -c, or tar them first")
    args.writes_archive = True
    return _each(args, encode_one)


def encode_one(args: argparse.Namespace, name: str) -> None:
    from . import limits, pack, presets
    from .prior.fingerprint import Overlap, Tap
    from .sender import Sender

    target = "-" if args.stdout or (name == "-" and not args.output) else args.output or name + SUFFIX
    if args.level is not None and args.preset is None and args.prior:
        args.preset = presets.LEVELS[args.level]
    prior = priors.choose(args, name, reading)
    if prior is not None:
        header = priors.header(prior, args)
    else:
        preset = args.preset or ("default" if args.level is None else presets.LEVELS[args.level])
        header = presets.header(
            _best_preset(args, name, target) or preset,
            experts=args.experts,
            seed=args.seed or 0,
            replay=args.replay,
            frame_size=args.frame_size,
            independent_frames=args.independent_frames,
        )
    if args.verify and target == "-":
        raise UsageError("--verify needs a file to read again; name one with -o")
    threads = _threads(args)
    with reading(name) as file, writing(args, file, target) as (sink, snapshot, output):
        total = file.size()
        source, overlap = file, None
        if isinstance(prior, priors.store.Prior):
            overlap = Overlap(prior.fingerprint())
            source = Tap(file, overlap)
        _announce(args, header, total, threads)
        bar = _bar(args, name)
        bar.begin(total)
        try:
            sender = Sender(sink, header, b"" if args.no_code else pack.code(header), bar, snapshot)
            if header.independent_frames and threads > 1:
                ledger = sender.run_parallel(source, threads, args.resume)
            else:
                ledger = sender.run(source, args.resume)
        finally:
            bar.close()
        del sender  # and with it a predictor
        if args.verify:
            with reading(str(output.part)) as file:
                _decode_to(args, file, _Nowhere(), limits.Limits(1 << 60, 1 << 60, 1 << 80), threads)
    if not args.quiet:
        say(args, ledger.table())
        if advice := ledger.advice():
            say(args, advice)
        if overlap is not None:
            say(args, str(overlap))


def _best_preset(args: argparse.Namespace, name: str, target: str) -> str | None:
    """What `auto` comes to; None when it is not asked for."""
    if args.preset != "auto" and args.time is None:
        return None
    if args.preset not in (None, "auto") or args.level is not None:
        raise UsageError("--time chooses the preset; leave the other choice out")
    if args.experts or args.replay is not None:
        raise UsageError("--preset auto decides on --experts and --replay; leave them out, or name a preset")
    from . import limits, plan, presets

    budget = args.time or plan.BUDGET
    options = {name: getattr(args, name) for name in ("frame_size", "independent_frames")} | {"seed": args.seed or 0}
    headers = {preset: presets.header(preset, **options) for preset in presets.PRESETS}
    if args.resume and (begun := Output.begun(Path(target))):
        for preset, header in headers.items():
            if begun.startswith(header.pack()):
                return preset
    with reading(name) as source:
        if (length := source.size()) is None:
            say(args, "auto: nobody knows how much a pipe will bring, so the preset is fast")
            return "fast"
        found = plan.sample(source, length)
    threads = _threads(args)
    estimates = [plan.estimate(preset, headers[preset], found, not args.no_code, threads) for preset in headers]
    best = plan.best(estimates, budget)
    text = f"preset {best.preset}, about {best.archive:,} bytes in about {limits.readable_time(best.seconds)}"
    text += "" if best.seconds <= budget else ": longer than --time allows, but no preset is faster"
    say(args, "auto: " + text)
    return best.preset


def planning(args: argparse.Namespace) -> int:
    from . import plan, presets

    with reading(args.file) as source:
        if (length := source.size()) is None:
            raise UsageError("plan needs a file whose size is known; save the pipe's data first")
        found = plan.sample(source, length)
    estimates = [plan.estimate(preset, presets.header(preset), found, not args.no_code) for preset in presets.PRESETS]
    if args.json:
        print(json.dumps(plan.as_dict(found, estimates), indent=2))
    else:
        print(plan.table(shown(args.file), found, estimates))
    return 0


def _announce(args: argparse.Namespace, header: Any, total: int | None, threads: int) -> None:
    """Before long work: how long, how much."""
    from . import limits

    processes = threads if header.independent_frames else 1
    memory = f"{processes * limits.memory(header, total) / limits.MB:,.0f} MB of memory"
    if total is None:
        say(args, f"this takes up to {memory}, and about {limits.seconds(header, 10**6):.0f} s per MB")
    elif (time := limits.seconds(header, total) / processes) > LONG or args.verbose:
        say(args, f"this takes about {limits.readable_time(time)} and up to {memory}")


class _Nowhere(io.RawIOBase):
    """Takes everything, keeps nothing; or compares it with an original."""

    def __init__(self, original: BinaryIO | None = None) -> None:
        self.original, self.done = original, 0

    def write(self, data: Any) -> int:
        count = len(data)
        if self.original and self.original.read(count) != bytes(data):
            raise ArchiveError(f"the original differs from byte {self.done:,} on, or in the {count:,} bytes after it")
        self.done += count
        return count

    def writable(self) -> bool:
        return True


def _limits(args: argparse.Namespace) -> Any:
    from .limits import Limits

    return Limits(args.max_memory or Limits.memory, args.max_output, args.max_work)


def _decode_to(
    args: argparse.Namespace, source: Any, sink: Any, limits: Any, threads: int, snapshot: Path | None = None
) -> Any:
    from .limits import memory
    from .receiver import Receiver

    bar = _bar(args, "decode") if hasattr(args, "checkpoint") else None
    from .progress import Watch

    receiver = Receiver(source, sink, limits, bar or Watch(), snapshot)
    header = receiver.header()
    total, coded, frames = _survey(source)
    threads = max(1, min(threads, limits.memory // memory(header))) if header.independent_frames else threads
    if total is not None:
        limits.check_length(header, total, coded, frames, source.size() or 0)
    if total is not None or source.size() is None:  # a file without a total is damaged: soon there will be more to say
        _announce(args, header, None if total is None else coded, threads)
    if bar:
        bar.begin(total)
    try:
        resume = getattr(args, "resume", False)
        if header.independent_frames and threads > 1:
            return receiver.run_parallel(threads, resume)
        return receiver.run(resume)
    finally:
        if bar:
            bar.close()


def _survey(source: Any) -> tuple[int | None, int, int]:
    """Length of the original, how much of it is coded in how many frames, if the source is a whole file."""
    from .receiver import Survey

    if source.size() is None:
        return None, 0, 0
    place = source.tell()
    try:
        source.seek(0)
        survey = Survey(source, keep=False)
        return survey.footer.length, survey.coded, survey.coded_frames
    except ArchiveError:  # decoding will tell
        return None, 0, 0
    finally:
        source.seek(place)


def decode(args: argparse.Namespace) -> int:
    _one_output(args)
    args.writes_archive = False
    return _each(args, decode_one)


def decode_one(args: argparse.Namespace, name: str) -> None:
    if args.stdout or args.output == "-" or (name == "-" and not args.output):
        target = "-"
    elif args.output:
        target = args.output
    elif name.endswith(".tlmz"):
        target = name[: -len(".tlmz")] + ".tar"
    elif name.endswith(SUFFIX) and Path(name).name != SUFFIX:
        target = name[: -len(SUFFIX)]
    else:
        raise UsageError(f"its name doesn't end in {SUFFIX}; name the output with -o or -c")
    if args.run_embedded:
        if args.resume:
            raise UsageError("what the archive's own code has begun can't be resumed; leave --resume out")
        return run_embedded(args, name, target)
    threads = _threads(args)
    with reading(name) as source:
        try:
            with writing(args, source, target) as (sink, snapshot, _):
                _decode_to(args, source, sink, _limits(args), threads, snapshot)
        except (DamageError, ArithmeticDiffers) as error:
            if not args.keep_going:
                raise
            raise type(error)(f"{str(error).partition(';')[0]}; {_salvage(args, source, target)}") from error
    return None


def _salvage(args: argparse.Namespace, source: Any, target: str) -> str:
    """Save what can be saved to TARGET.partial; says what was lost."""
    from .receiver import salvage

    if target == "-" or source.size() is None:
        return "--keep-going works from file to file: nothing more was saved"
    path = Path(target + ".partial")
    if os.path.lexists(path) and not args.force:
        return f"{path} exists, so nothing was saved; add -f to overwrite it"
    with create(path, force=args.force) as sink:
        try:
            frames, count, lost = salvage(source, sink, _limits(args))
        except OSError as error:
            raise system_error(error, f"can't write all of {path}") from error
    ranges = ", ".join(f"{start:,} to {'the end' if stop is None else f'{stop:,}'}" for start, stop in lost)
    return f"{count:,} bytes in {frames} frames saved to {path}; lost: bytes {ranges or 'none'}"


def run_embedded(args: argparse.Namespace, name: str, target: str) -> None:
    """Let the archive's own code decode it, in a process of its own, if the user named its digest."""
    from .receiver import Survey

    with tempfile.TemporaryDirectory() as folder, reading(name) as source:
        archive, result = Path(folder, "archive.lmz"), Path(folder, "result")
        with open(archive, "w+b") as copy:  # what is run is what was looked at, whatever becomes of the file meanwhile
            shutil.copyfileobj(source, copy)
            copy.seek(0)
            code = Survey(copy, keep=False).code
        if not code:
            raise UsageError("the archive carries no code; decode it without --run-embedded")
        if (found := hashlib.sha256(code).hexdigest()) != args.run_embedded.lower():
            raise UsageError(f"the archive's code has SHA-256 {found}, not the one given; run it only if you trust it")
        with writing(args, source, target) as (sink, _, _):
            run = subprocess.run([sys.executable, "-I", str(archive), str(result)], check=False)
            if run.returncode:
                raise ArchiveError(f"the archive's code gave up, status {run.returncode}; try lmzip decode without it")
            with open(result, "rb") as file:
                shutil.copyfileobj(file, sink)


def verify(args: argparse.Namespace) -> int:
    threads = _threads(args)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(reading(args.file))
        original = stack.enter_context(reading(args.original)) if args.original else None
        ledger = _decode_to(args, source, _Nowhere(original), _limits(args), threads)
        if original and original.read(1):
            raise ArchiveError(f"the original is longer than the archive's {ledger.original:,} bytes")
    if not args.quiet:
        what = f"the archive of {shown(args.original)}" if args.original else "whole"
        print(f"{shown(args.file)}: {what}, {ledger.original:,} bytes from {ledger.archive:,}")
    return 0


def _surveyed(name: str, keep: bool) -> Any:
    from .receiver import Survey

    with reading(name) as source:
        return Survey(source, keep=keep)


def info(args: argparse.Namespace) -> int:
    import dataclasses

    from . import pack
    from .ledger import peers

    if args.backend:
        print("\n".join(f"{name:<16} {value}" for name, value in engine.facts().items()))
        return 0
    if args.file is None:
        raise UsageError("which archive? Name it, or - for standard input")
    survey = _surveyed(args.file, keep=bool(args.json or args.compare))
    ledger, header = survey.ledger(), survey.header
    others = None
    against = None
    if args.compare:
        with reading(args.compare) as original:
            _compare(survey, original)
            original.seek(0)
            others = peers(original)
            if header.prior is not None:
                from .prior.worth import measure

                if survey.frames and not engine.is_pretrained(engine.find_prior(header.prior)):
                    say(args, "coding up to 1 MiB without the prior, to compare")
                    against = measure(header, survey.frames, original)
    settings = dataclasses.asdict(header)
    settings["prior"] = header.prior and header.prior.hex()
    code = {
        "bytes": len(survey.code),
        "sha256": hashlib.sha256(survey.code).hexdigest() if survey.code else None,
        "release": pack.release(survey.code) if survey.code else None,
    }
    if args.json:
        kinds = {1: "coded", 2: "stored", 3: "filled"}
        frames = [
            {"kind": kinds[f.kind], "original": f.length, "payload": f.size, "nll_bits": f.nll / (1 << 20)}
            for f in survey.frames
        ]
        whole = survey.footer.whole.hex()
        result = {"header": settings, "ledger": ledger.as_dict(), "code": code, "digest": whole, "frames": frames}
        result |= {"others": others} if others else {}
        print(json.dumps(result | ({"prior": against.as_dict()} if against else {}), indent=2))
        return 0
    print(ledger.table(others))
    flat = {k: v for k, v in settings.items() if v is not None and not isinstance(v, dict)}
    print("settings: " + ", ".join(f"{k} {v}" for k, v in flat.items()))
    for name in ("model", "experts"):
        if settings[name]:
            print(f"{name}: " + ", ".join(f"{k} {v}" for k, v in settings[name].items()))
    if survey.code:
        print(f"code: {code['release'] or 'UNKNOWN, not a release of this lmzip'}; SHA-256 {code['sha256']}")
    if args.compare:
        print(f"{shown(args.compare)} has the digests of the archive's original")
    if against:
        print(against)
    return 0


def _compare(survey: Any, original: BinaryIO) -> None:
    from . import released
    from .sender import read_block

    leaves, message = b"", released.part(survey.header.format_version, "message")
    for frame in survey.frames:
        leaves += message.leaf(read_block(original, frame.length))
        if leaves[-32:][:8] != frame.data_digest:
            raise ArchiveError(f"the original differs in frame {frame.number}; give the file that was encoded")
    if original.read(1) or message.whole_digest(leaves) != survey.footer.whole:
        raise ArchiveError("the original is longer than the archive's; give the file that was encoded")


def listing(args: argparse.Namespace) -> int:
    def one(args: argparse.Namespace, name: str) -> None:
        survey = _surveyed(name, keep=False)
        ledger = survey.ledger()
        bpb = f"{8 * ledger.archive / ledger.original:.3f}" if ledger.original else "-"
        print(f"{ledger.frames:>6} {ledger.archive:>15,} {ledger.original:>15,} {bpb:>8}  {shown(name)}")

    print(f"{'frames':>6} {'archive':>15} {'original':>15} {'bpb':>8}  name")
    return _each(args, one)


def completion(args: argparse.Namespace) -> int:
    from .completion import script

    print(script(args.shell, parsers()))
    return 0
