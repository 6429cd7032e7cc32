"""The command line: `lmzip encode|decode|info|list|verify|…`, and the manners of xz (`tar -I lmzip`).

A command is a file in commands/, a group of commands a folder in it; they are found by listing. A file has
- a docstring, whose first line is what --help says the command does,
- ORDER, its place in the overview, and OVERVIEW, its line there: an example; both may be missing,
- EXAMPLES, the end of its --help,
- add(parser), which adds its options, and run(args, console), which does it.
Only the file of the command that is asked for is imported: of the others --help reads the source.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import io
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..about import VERSION
from .console import Console, flush_output, open_what_is_closed

COMMANDS = Path(__file__).parent / "commands"
LAST = 1000  # the place in the overview of commands that name none


@dataclass(frozen=True)
class Command:
    """A command, as its source describes it; of a group, `members` are its commands."""

    name: str
    module: str
    path: Path
    about: str
    overview: str
    examples: str
    order: int
    members: Mapping[str, Command] = field(default_factory=dict)

    def load(self) -> Any:
        """The module, imported."""
        if self.path.is_relative_to(COMMANDS):
            return importlib.import_module(self.module)
        spec = importlib.util.spec_from_file_location(self.module, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def parser(self, prefix: str = "lmzip", complete: bool = False) -> argparse.ArgumentParser:
        """The command's parser. complete: of a group, with all its commands' options, for which they are imported."""
        title = f"{prefix} {self.name}".strip()
        if not self.members:
            parser = _new(title, self.about, self.examples)
            self.load().add(parser)
            return parser
        parser = _new(title, self.about, self.examples, f"{title} COMMAND [OPTION …]")
        names = "|".join(self.members)
        commands = parser.add_subparsers(metavar=names, required=True, help="each with a --help of its own")
        for member in self.members.values():
            text = member.about[0].lower() + member.about[1:-1]
            inner = commands.add_parser(member.name, help=text, description=member.about, allow_abbrev=False)
            if complete:
                member.load().add(inner)
        return parser


def list_commands(folder: Path = COMMANDS, package: str = f"{__name__}.commands") -> dict[str, Command]:
    """The commands in a folder, in the order of the overview; `package`: under whose name they are imported."""
    members = []
    for path in sorted(folder.iterdir()):
        module = f"{package}.{path.stem}"
        if path.suffix == ".py" and path.stem != "__init__":
            members.append(_described(path.stem, module, path))
        elif path.is_dir() and (path / "__init__.py").exists():
            members.append(_described(path.name, module, path / "__init__.py", list_commands(path, module)))
    return {one.name: one for one in sorted(members, key=lambda one: (one.order, one.name))}


def _described(name: str, module: str, path: Path, members: Mapping[str, Command] | None = None) -> Command:
    """A command by its source, which is read, not run."""
    tree = ast.parse(path.read_text("utf-8"))
    constants: dict[str, Any] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=constant)], value=ast.Constant(value=value)):
                constants[constant] = value
    about = (ast.get_docstring(tree) or "").partition("\n")[0]
    overview, examples = constants.get("OVERVIEW", ""), constants.get("EXAMPLES", "")
    return Command(name, module, path, about, overview, examples, constants.get("ORDER", LAST), members or {})


def _new(name: str, about: str, examples: str, usage: str | None = None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        usage=usage,
        description=about,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-q", "--quiet", action="count", default=0, help="say nothing but errors")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more; a traceback with every error")
    return parser


HELP = """\
commands, each with a --help of its own:
{overview}

without a command lmzip takes the options of xz, and says as little:
  lmzip book.txt                              → book.txt.lmz, and unlike xz keeps book.txt
  lmzip -d book.txt.lmz                       back
  tar -I lmzip -cf src.tar.lmz src            a directory; back: tar -I lmzip -xf src.tar.lmz
  zcat log.gz | lmzip -3 > log.lmz            through pipes

Inputs are never deleted, outputs never overwritten without -f. An output appears under its name when it is whole;
until then it is called OUT.lmzip-part, and OUT.lmzip-state is its last checkpoint.

exit status: 0 all went well; 1 an error; 2 wrong usage; 130 interrupted by Ctrl-C, SIGTERM or a closed terminal;
141 whoever read the output closed it early. Of several files all are tried, and the highest status counts.

environment:
  XDG_CACHE_HOME    compiled code is kept in its folder lmzip (default ~/.cache); the first run fills it, a minute or
                    so, or lmzip warm, with all there is; so are weights of pretrained models, see lmzip cache --help
  LMZIP_PRIOR_PATH  where priors are looked for, after --prior-path; then the package, and priors in that folder lmzip
  LMZIP_HASH        always: hash models anew at every start, even if their files' sizes, times and inodes are the same
  TMPDIR            where that goes if the cache can't be written

`python FILE.lmz [OUT]` rebuilds the original (without OUT: to standard output) where only Python, torch, numpy and
numba are installed: that runs the program inside the archive, so do it only with files from people you trust. `lmzip
decode` runs no such code.
"""


def plain_parser(table: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser without a command: xz's options."""
    from .xz import add  # start-up: `lmzip COMMAND` doesn't need it

    overview = "\n".join(f"  {name:<9} {one.overview}".rstrip() for name, one in table.items())
    about = "Lossless compression by a language model learnt online, in exact arithmetic."
    usage = "lmzip COMMAND [OPTION …] [FILE …]\n       lmzip [OPTION …] [FILE …]"
    parser = _new("lmzip", about, HELP.format(overview=overview), usage)
    parser.add_argument("-V", "--version", action="version", version=f"lmzip {VERSION}", help="show it and stop")
    add(parser)
    return parser


def parsers(folder: Path = COMMANDS) -> dict[str, argparse.ArgumentParser]:
    """The parser of every command; "" is the one without a command."""
    table = list_commands(folder)
    return {"": plain_parser(table)} | {name: one.parser(complete=True) for name, one in table.items()}


def main(argv: list[str] | None = None, folder: Path = COMMANDS) -> int:
    """Run the command line; returns the exit status, see HELP. `folder`: of the commands."""
    words = sys.argv[1:] if argv is None else argv
    if words in (["-V"], ["--version"]):
        print(f"lmzip {VERSION}")
        return 0
    open_what_is_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names and signs that the terminal's encoding lacks
    run: Any = None  # of a group, for which argparse shows its commands, and ends
    table, prefix, rest, chosen = list_commands(folder), "lmzip", words, None
    while rest and (one := (chosen.members if chosen else table).get(rest[0])):
        prefix, rest, chosen = f"{prefix} {chosen.name}" if chosen else prefix, rest[1:], one
    if chosen is None:
        from . import xz  # start-up: `lmzip COMMAND` doesn't need it

        parser, run = plain_parser(table), xz.run
        if not words and sys.stdin.isatty():
            parser.print_help()
            return 2
    else:
        parser = chosen.parser(prefix)
        run = None if chosen.members else chosen.load().run
    args = parser.parse_args(rest)
    console = Console(args.quiet, args.verbose, words)
    with console.failures():
        try:
            run(args, console)
        finally:
            flush_output()
    return console.status
