"""Without a command: the options of xz. Silent but for errors, unless -v is given."""

from __future__ import annotations

import argparse

from . import arguments
from .commands import decode, encode, verify
from .commands import list as listing
from .console import Console


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    arguments.add_files(parser)
    group = parser.add_argument_group("what to do, without a command")
    action = group.add_mutually_exclusive_group()
    names = {
        "encode": (("-z", "--compress"), "as encode does"),
        "decode": (("-d", "--decompress", "--uncompress"), "as decode does"),
        "verify": (("-t", "--test"), "as verify does"),
        "list": (("-l", "--list"), "as list does"),
    }
    for name, (options, text) in names.items():
        action.add_argument(*options, dest="action", action="store_const", const=name, default="encode", help=text)
    arguments.add_output(parser)
    arguments.add_encoding(parser)
    arguments.add_decoding(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """As the command that was asked for does."""
    console.quiet += not console.verbose
    if args.action == "list":
        listing.run(args, console)
    elif args.action == "verify":
        session = arguments.session(args, console)
        console.each(args.files, lambda name: verify.verify(args, console, session, name, None))
    else:
        (decode if args.action == "decode" else encode).run(args, console)
