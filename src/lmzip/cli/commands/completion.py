"""Print a shell's completion of this command."""

from __future__ import annotations

import argparse

from .. import parsers
from ..completion import script
from ..console import Console

ORDER = 130
OVERVIEW = '                                 eval "$(lmzip completion bash)"'
EXAMPLES = """\
examples:
  eval "$(lmzip completion bash)"             in ~/.bashrc; for zsh the same
  lmzip completion fish > ~/.config/fish/completions/lmzip.fish
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")


def run(args: argparse.Namespace, console: Console) -> None:
    """The script."""
    console.show(script(args.shell, parsers()))
