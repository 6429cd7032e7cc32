"""Code files and show, on one page, what was paid for what."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...codec.message import Header
from ...errors import UsageError
from ...options import EncodeOptions
from ...prior import store
from ...session import Session
from ...text import printable
from .. import arguments
from ..console import Console
from ..inputs import reading
from ..transfer import check_inputs, writing_together

ORDER = 80
OVERVIEW = "a page: what was paid for what    lmzip report book.txt             → report.html"
EXAMPLES = """\
examples:
  lmzip report book.txt                       → report.html: what was paid for what, on one page
  lmzip report book.txt logs.json -o r.html --json r.json --plot r.png
  lmzip report book.txt --preset fast --peer 'zpaq=zpaq add {out} {in} -m5'

Every file is coded once, with notes taken, which takes little longer than encode; then up to 32 KB of it (--sample)
twice for each context of the experts, which takes most of the time of short files: --sample 0 leaves it out. The page
needs no network and runs no script; all that it draws is in the JSON.
Plots need matplotlib, pages jinja2: pip install jinja2 matplotlib scipy.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="what is to be coded")
    parser.add_argument("-o", "--output", default="report.html", metavar="PAGE", help="the page (default report.html)")
    parser.add_argument("--json", metavar="OUT", help="also write every figure there")
    text = "also draw the learning curves there, as the name says: .png, .pdf, .svg"
    parser.add_argument("--plot", metavar="OUT", help=text)
    parser.add_argument("-f", "--force", action="store_true", help="overwrite existing outputs")
    text = "another compressor, as 'NAME=command {in} {out}'; may be repeated"
    parser.add_argument("--peer", action="append", default=[], metavar="PEER", help=text)
    text = "bytes on which single contexts are judged (default 32K; 0: they are not)"
    parser.add_argument("--sample", type=arguments.size_or_none, default=1 << 15, metavar="SIZE", help=text)
    parser.add_argument("--no-code", action="store_true", help="as of archives without the decoder")
    arguments.add_model(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """The page. Raises UsageError and FileError before anything is coded."""
    try:
        from ...lab.report import page, peers, plots  # extra: lab
        from ...lab.report.measure import dump  # extra: lab
    except ImportError as error:
        remedy = "pip install jinja2 matplotlib scipy"
        raise UsageError(f"a report needs what isn't installed: {error}; {remedy}") from error
    commands = [peers.parse(text) for text in args.peer]
    kind = plots.plot_kind(args.plot) if args.plot else ""
    outputs = [name for name in (args.output, args.json, args.plot) if name]
    session, options = arguments.session(args, console), arguments.encode_options(args)
    header = options.header(session)
    if not isinstance(session.knowledge(header), store.Prior | None):
        raise UsageError("a report takes notes inside lmzip's own predictor; name a prior that prior train wrote")
    check_inputs(args.files)
    with writing_together(outputs, args.force) as written:
        report = _report(args, console, session, options, header, commands)
        written[args.output].file.write(page.render(report).encode("utf-8", "backslashreplace"))
        if args.json:
            written[args.json].file.write(dump(report).encode())
        if args.plot:
            plots.save(report["files"], written[args.plot].file, kind)
    console.say("written: " + ", ".join(map(printable, outputs)))


def _report(
    args: argparse.Namespace,
    console: Console,
    session: Session,
    options: EncodeOptions,
    header: Header,
    commands: list[tuple[str, str]],
) -> dict[str, Any]:
    """What the page shows of every file."""
    from ...lab import provenance  # extra: lab
    from ...lab.report.measure import measure  # extra: lab

    report: dict[str, Any] = provenance.about(["lmzip", *console.words]) | {"files": []}
    for name in args.files:
        with reading(name) as file:
            data = file.read()
        bar = console.bar(name)
        bar.begin(len(data))

        def look(what: str, name: str = name, bar: Any = bar) -> None:
            if what != "coding":
                bar.close()
            console.say(f"{printable(name)}: {what}")

        try:
            figures_ = measure(
                Path(name), data, header, session,
                sample=args.sample, commands=commands, code=options.code, watch=bar, look=look,
            )  # fmt: skip
        finally:
            bar.close()
        report["files"].append(figures_)
    return report
