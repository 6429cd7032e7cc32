"""Kinds of numbers, options that several commands share, and what they come to: sessions, options, limits."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from .. import presets
from ..errors import UsageError
from ..options import ADAPTS, BITS, WINDOWS, DecodeOptions, EncodeOptions
from ..progress import CHECKPOINT_SECONDS
from ..session import DEVICES, Session
from .console import Console

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
THOUSANDS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
SECONDS = {"S": 1, "M": 60, "H": 3600}

# Kinds of numbers


def _number(text: str, units: dict[str, int], usual: str = "") -> float:
    """A number with its unit; below 0 if it is none."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in units else (text, usual)
    try:
        value = float(number) * units[unit]
    except ValueError:
        return -1.0
    return value if 0 <= value < float("inf") else -1.0


def size(text: str) -> int:
    """A number of bytes: 65536, 64K, 1M, 2G. Raises argparse.ArgumentTypeError."""
    value = int(_number(text, UNITS))
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write 65536, 64K or 1M")
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def size_or_none(text: str) -> int:
    """A number of bytes, or 0."""
    return 0 if text == "0" else size(text)


def amount(text: str) -> float:
    """A number, with K, M, G or T for thousands of thousands. Raises argparse.ArgumentTypeError."""
    value = _number(text, THOUSANDS)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount; write 1400000, 1.4e12 or 1.4T")
    return value


def duration(text: str) -> float:
    """Seconds: 90, 60s, 5m, 2h. Raises argparse.ArgumentTypeError."""
    value = _number(text, SECONDS, "S")
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write 90, 60s, 5m or 2h")
    return value


def interval(text: str) -> float:
    """A duration, or 0."""
    return 0.0 if text == "0" else duration(text)


def natural(text: str) -> int:
    """An integer from 0 on. Raises argparse.ArgumentTypeError."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)


def temperature(text: str) -> float:
    """0 to 10, in hundredths. Raises argparse.ArgumentTypeError."""
    value = _number(text, {"": 1})
    if not 0 <= value <= 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a temperature from 0 to 10")
    return round(value, 2)


# Options that several commands share


def add_files(parser: argparse.ArgumentParser) -> None:
    """Any number of input files."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="none or -: standard input")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Where the result goes, and how the work goes on."""
    group = parser.add_argument_group("output")
    group.add_argument(
        "-o", "--output", metavar="OUT", help="write to this file, or into this folder; - is standard output"
    )
    group.add_argument("-c", "--stdout", "--to-stdout", action="store_true", help="write to standard output")
    group.add_argument("-f", "--force", action="store_true", help="overwrite an existing output")
    group.add_argument("-k", "--keep", action="store_true", help="keep the input, which lmzip always does")
    group.add_argument("--resume", action="store_true", help="go on where an interrupted run left off")
    text = "time between checkpoints, as 90, 60s, 5m (default 240; 0: none)"
    group.add_argument("--checkpoint", type=interval, metavar="TIME", default=CHECKPOINT_SECONDS, help=text)
    add_machine(group)


def add_machine(group: Any) -> None:
    """What changes the time and never the bytes."""
    text = "threads, or processes for independent frames (default 1; 0: one for each processor); same bytes"
    group.add_argument("-T", "--threads", type=natural, default=1, metavar="N", help=text)
    text = "where the model's matrix products are computed (default cpu); same bytes"
    group.add_argument("--device", choices=DEVICES, default="cpu", help=text)


def add_prior_path(group: Any) -> None:
    """Where priors are looked for."""
    text = "where priors are looked for first: folders or files, as in $PATH"
    group.add_argument("--prior-path", default="", metavar="PATH", help=text)


def add_encoding(parser: argparse.ArgumentParser) -> None:
    """What decides on the bytes of an archive."""
    group = parser.add_argument_group("encoding")
    text = "fast: experts only; default: a language model as well; max: larger tables and a larger model; "
    text += "auto: the smallest archive that --time allows"
    group.add_argument("--preset", choices=(*presets.PRESETS, "auto"), help=text)
    for level in range(10):
        help_ = "-0 … -3: preset fast; -4 … -6: default; -7 … -9: max" if level == 0 else argparse.SUPPRESS
        group.add_argument(f"-{level}", dest="level", action="store_const", const=level, help=help_)
    text = "for each file, as 90, 60s, 5m, 2h (default with --preset auto: 60s); implies --preset auto"
    group.add_argument("--time", type=duration, metavar="TIME", help=text)
    text = "which experts; none: the pure language model (default: the preset's)"
    group.add_argument("--experts", choices=tuple(presets.EXPERTS), help=text)
    group.add_argument("--seed", type=natural, metavar="N", help="of the model's first weights (default 0)")
    text = "extra training steps per segment on the past (default: the preset's)"
    group.add_argument("--replay", type=natural, metavar="K", help=text)
    group.add_argument("--no-code", action="store_true", help="leave the decoder out of the archive")
    text = "bytes of original per frame, the unit of integrity (default 1M)"
    group.add_argument("--frame-size", type=size, default=presets.FRAME_SIZE, metavar="SIZE", help=text)
    text = "a prior to build on: its name, digest or file, or auto: the best of those found, if any helps; or the "
    text += "GGUF file, or the directory of transformers, of a pretrained language model"
    group.add_argument("--prior", metavar="PRIOR", help=text)
    text = "of such a model: the precision of its weights, 8, 12 or 16 bits (default 8)"
    group.add_argument("--prior-bits", type=int, choices=BITS, metavar="BITS", help=text)
    text = "of such a model: head lets the biases of its output learn the file (default none)"
    group.add_argument("--adapt", choices=ADAPTS, help=text)
    text = "of such a model: tokens that it sees, a power of two from 256 on (default 2048)"
    group.add_argument("--window", type=int, choices=WINDOWS, metavar="TOKENS", help=text)
    text = "of such a model: parts of a frame that are coded in step: faster to decode, larger (default 1)"
    group.add_argument("--streams", type=natural, metavar="N", help=text)
    text = "reset the model in each frame: random access, parallel work with -T, some ratio lost"
    group.add_argument("--independent-frames", action="store_true", help=text)
    group.add_argument("--verify", action="store_true", help="decode the archive before it gets its name")


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """What decoding asks for and may cost."""
    group = parser.add_argument_group("decoding")
    add_prior_path(group)
    group.add_argument("--no-sparse", action="store_true", help="write runs of zeros out, leave no holes for them")
    group.add_argument("--keep-going", action="store_true", help="save what a damaged archive still holds")
    group.add_argument("--run-embedded", metavar="SHA256", help="run the archive's own code, if this is its digest")
    add_limits(group)


def add_limits(group: Any) -> None:
    """What decoding may cost."""
    group.add_argument("--max-memory", type=size, metavar="SIZE", help="refuse what takes more memory (default 4G)")
    group.add_argument("--max-output", type=size, metavar="SIZE", help="refuse what is longer when decoded")
    group.add_argument("--max-work", type=size, metavar="N", help="refuse what takes more arithmetic operations")


def add_model(parser: argparse.ArgumentParser) -> None:
    """The model of commands that code without an archive."""
    group = parser.add_argument_group("model, as of encode")
    group.add_argument("--preset", choices=tuple(presets.PRESETS), help="settings (default: default)")
    text = "which experts; none: the pure language model"
    group.add_argument("--experts", choices=tuple(presets.EXPERTS), help=text)
    group.add_argument("--seed", type=natural, metavar="N", help="of the model's first weights (default 0)")
    group.add_argument("--replay", type=natural, metavar="K", help="extra training steps per segment on the past")
    group.add_argument("--prior", metavar="PRIOR", help="a prior to build on: its name, digest or file")
    add_prior_path(group)


# What they come to


def session(args: argparse.Namespace, console: Console) -> Session:
    """Of a command's options, as far as it has them; the console tells of kernels that are compiled."""
    threads = getattr(args, "threads", 1) or os.cpu_count() or 1
    return Session(threads, getattr(args, "device", "cpu"), getattr(args, "prior_path", ""), console.say)


def encode_options(args: argparse.Namespace, **changes: Any) -> EncodeOptions:
    """Of a command's options, as far as it has them; a level -0 … -9 is a preset. Raises UsageError."""
    names = ("preset", "experts", "seed", "replay", "frame_size", "independent_frames", "prior", "prior_bits", "adapt",
             "window", "streams")  # fmt: skip
    chosen = {name: getattr(args, name) for name in names if hasattr(args, name)}
    if chosen.get("preset") is None and getattr(args, "level", None) is not None:
        chosen["preset"] = presets.LEVELS[args.level]
    return EncodeOptions(code=not getattr(args, "no_code", False), **(chosen | changes))


def decode_options(args: argparse.Namespace) -> DecodeOptions:
    """Of a command's options."""
    return DecodeOptions(args.max_memory, args.max_output, args.max_work)


def output(args: argparse.Namespace) -> str | None:
    """Where -o and -c say that the result goes, - for standard output; None: they say nothing. Raises UsageError."""
    name = "-" if args.output == "/dev/stdout" else args.output  # a link, which no file may replace
    if name and len(args.files) > 1 and not os.path.isdir(name):
        raise UsageError(
            "-o is for a single input, or names a folder; leave it out: outputs are named after their inputs"
        )
    if name not in (None, "-") and args.stdout:
        raise UsageError("-o names one output and -c another; leave one of them out")
    return "-" if args.stdout else name


def placed(output: str | None, name: str, usual: Callable[[str], str]) -> str:
    """Where the result of the input `name` goes: as `output` says; its `usual` name, in the folder that `output` is."""
    if output is None:
        return usual(name)
    if name != "-" and output != "-" and os.path.isdir(output):
        return os.path.join(output, os.path.basename(usual(name)))
    return output
