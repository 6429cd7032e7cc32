"""`lmzip report`, `estimate`, `score` and `sample`: what the lab has for the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import FileError, UsageError

HELP = {
    "report": """\
examples:
  lmzip report book.txt                       → report.html: what was paid for what, on one page
  lmzip report book.txt logs.json -o r.html --json r.json --plot r.png
  lmzip report book.txt --preset fast --peer 'zpaq=zpaq add {out} {in} -m5'

Every file is coded once, with notes taken, which takes little longer than encode; then up to 32 KB of it (--sample)
twice for each context of the experts. The page needs no network and runs no script; all that it draws is in the JSON.
Plots need matplotlib, pages jinja2: pip install jinja2 matplotlib scipy.
""",
    "estimate": """\
examples:
  lmzip estimate curve.csv --tokens 1.4T --bytes-per-token 4 --code 1M
  lmzip estimate small.csv large.csv --bytes-per-token 4 --code 1M      which message is shorter, and from when on

A curve is a CSV of two columns: tokens seen so far, and the training loss there in nats per token. K, M, G and T are
10^3, 10^6, 10^9 and 10^12 here.
""",
    "score": """\
examples:
  lmzip score texts.jsonl > scored.jsonl                       bits, bytes and bpb of each object's "text"
  zcat web.jsonl.gz | lmzip score --field content --preset fast
  lmzip score pool.jsonl --prior wanted.prior --against general.prior > scored.jsonl

Each text is coded alone, from the same state: what coding it takes, without archive or decoder.
High bpb: noise, or another language; low bpb: repetition. With --against, `difference` is bpb under --prior less bpb
under the other: Moore-Lewis selection takes the texts where it is lowest.
""",
    "sample": """\
examples:
  lmzip sample book.txt.lmz                   500 bytes that might follow
  lmzip sample book.txt.lmz --bytes 2000 --seed 7 --temperature 0.7 > more.txt

Decodes the file, then decodes random bits: bytes come as probable as the predictor finds them. The same seed gives the
same bytes on every machine. A temperature below 1 makes every binary decision surer, 0 takes the likelier bit.
""",
}
SUFFIXES = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def amount(text: str) -> float:
    """A number, with K, M, G or T for thousands of thousands."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].upper() in SUFFIXES else (text, "")
    try:
        value = float(number) * SUFFIXES.get(unit, 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount; write 1400000, 1.4e12 or 1.4T")
    return value


def temperature(text: str) -> float:
    """0 to 10, in hundredths."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 10:
        raise argparse.ArgumentTypeError(f"{text!r} is not a temperature from 0 to 10")
    return round(value, 2)


def add_parsers(new: Callable[[str, str], argparse.ArgumentParser], cli: Any) -> None:
    """The commands' parsers; `cli` has what several commands share."""
    report = new("report", "Code files and show, on one page, what was paid for what.")
    report.add_argument("files", nargs="+", metavar="FILE", help="what is to be coded")
    report.add_argument("-o", "--output", default="report.html", metavar="PAGE", help="the page (default report.html)")
    report.add_argument("--json", metavar="OUT", help="also write every figure there")
    text = "also draw the learning curves there, as the name says: .png, .pdf, .svg"
    report.add_argument("--plot", metavar="OUT", help=text)
    report.add_argument("-f", "--force", action="store_true", help="overwrite existing outputs")
    text = "another compressor, as 'NAME=command {in} {out}'; may be repeated"
    report.add_argument("--peer", action="append", default=[], metavar="PEER", help=text)
    text = "bytes on which single contexts are judged (default 32K; 0: they are not)"
    report.add_argument("--sample", type=lambda text: 0 if text == "0" else cli.size(text), default=1 << 15,
                        metavar="SIZE", help=text)  # fmt: skip
    report.add_argument("--no-code", action="store_true", help="as of archives without the decoder")
    _model_options(report, cli)

    estimate = new(
        "estimate", "Tell from its training curve what size a data set has as its own training compresses it."
    )
    estimate.add_argument("curves", nargs="+", metavar="CURVE", help="CSV of tokens and nats per token")
    estimate.add_argument(
        "--tokens", type=amount, metavar="N", help="of the data (default: where the shortest curve ends)"
    )
    text = "bytes of data per token, on average"
    estimate.add_argument("--bytes-per-token", type=amount, required=True, metavar="B", help=text)
    text = "bytes of the code that trains; once, or once for each curve (default 0)"
    estimate.add_argument("--code", type=amount, action="append", metavar="BYTES", help=text)
    estimate.add_argument("--json", action="store_true", help="for programs")

    score = new("score", "Bits per byte of many texts, each alone under the same model: JSON lines in, JSON lines out.")
    score.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="one JSON object a line; none or -: standard input"
    )
    score.add_argument("--field", default="text", metavar="NAME", help="of the text in each object (default text)")
    score.add_argument("--against", metavar="PRIOR", help="another prior: adds its bpb and the difference")
    _model_options(score, cli)

    sample = new("sample", "Go on from where a file ends, as its model might.")
    sample.add_argument("file", metavar="FILE", help="an archive; -: standard input")
    sample.add_argument("--bytes", type=cli.size, default=500, metavar="N", help="how many (default 500)")
    sample.add_argument("--seed", type=cli.natural, default=0, metavar="S", help="of the random bits (default 0)")
    text = "in hundredths, 0 to 10 (default 1: as probable as the model finds it)"
    sample.add_argument("--temperature", type=temperature, default=1.0, metavar="T", help=text)
    cli.priors.path_option(sample)
    cli._limit_options(sample)


def _model_options(parser: argparse.ArgumentParser, cli: Any) -> None:
    group = parser.add_argument_group("model, as of encode")
    group.add_argument("--preset", choices=("fast", "default", "max"), help="settings (default: default)")
    group.add_argument(
        "--experts", choices=("none", "fast", "max"), help="which experts; none: the pure language model"
    )
    group.add_argument("--seed", type=cli.natural, metavar="N", help="of the model's first weights (default 0)")
    group.add_argument("--replay", type=cli.natural, metavar="K", help="extra training steps per segment on the past")
    group.add_argument("--prior", metavar="PRIOR", help="a prior to build on: its name, digest or file")
    cli.priors.path_option(group)


def _header(args: argparse.Namespace, prior: str | None) -> Any:
    from .. import presets
    from ..prior.store import archive_header

    return archive_header(
        preset=args.preset,
        experts=args.experts,
        seed=args.seed,
        replay=args.replay,
        frame_size=presets.FRAME_SIZE,
        independent_frames=False,
        prior=prior,
        prior_path=args.prior_path,
    )


def report(args: argparse.Namespace) -> None:
    from .. import cli
    from ..files import create
    from . import peers, provenance
    from .report import dump, measure

    commands = [peers.parse(text) for text in args.peer]
    outputs = [name for name in (args.output, args.json, args.plot) if name]
    _check_outputs(outputs, args.force)
    try:
        from . import figures, page
    except ImportError as error:
        remedy = "pip install jinja2 matplotlib scipy"
        raise UsageError(f"a report needs what isn't installed: {error}; {remedy}") from error
    header = _header(args, args.prior)
    told: dict[str, Any] = provenance.about(["lmzip", *args.words])
    told["files"] = []
    args.checkpoint = 0.0  # the bar need not ask for any
    for name in args.files:
        with cli.reading(name) as file:
            data = file.read()
        bar = cli._bar(args, name)
        bar.begin(len(data))

        def look(what: str, name: str = name, bar: Any = bar) -> None:
            if what != "coding":
                bar.close()
            cli.say(args, f"{cli.shown(name)}: {what}")

        try:
            made = measure(
                Path(name), data, header,
                sample=args.sample, commands=commands, code=not args.no_code, watch=bar, look=look,
            )  # fmt: skip
        finally:
            bar.close()
        told["files"].append(made)
    written = {args.output: page.render(told).encode("utf-8", "backslashreplace")}
    if args.json:
        written[args.json] = dump(told).encode()
    for path, content in written.items():
        with create(Path(path), force=args.force) as sink:
            sink.write(content)
    if args.plot:
        try:
            figures.save(told["files"], args.plot)
        except (OSError, ValueError) as error:
            raise FileError(f"can't write {args.plot}: {error}; name a .png, .pdf or .svg with --plot") from error
    cli.say(args, "written: " + ", ".join(map(cli.shown, outputs)))


def _check_outputs(names: list[str], force: bool) -> None:
    """Before long work: do outputs stand in the way of anything?"""
    if len({Path(name).resolve() for name in names}) < len(names):
        raise UsageError("two outputs have the same name; give each its own")
    for name in names:
        if Path(name).is_dir():
            raise FileError(f"{name} is a directory; name a file")
        if Path(name).exists() and not force:
            raise FileError(f"{name} exists; add -f to overwrite it, or name another")
        if not Path(name).resolve().parent.is_dir():
            raise FileError(f"can't write {name}: there is no such folder; check the path")


def estimate(args: argparse.Namespace) -> None:
    from .estimate import Curve, as_dict, messages, table

    curves = [Curve.read(Path(name)) for name in args.curves]
    if not args.bytes_per_token or args.tokens == 0:
        raise UsageError("tokens and bytes per token must be above 0")
    made = messages(curves, args.tokens, args.bytes_per_token, args.code or [0.0])
    print(json.dumps(as_dict(made), indent=2) if args.json else table(made))


def score(args: argparse.Namespace) -> None:
    from .. import cli
    from .score import Scorer, score

    scorer = Scorer(_header(args, args.prior))
    against = Scorer(_header(args, args.against)) if args.against else None
    with cli.reading(args.file) as file:
        for row in score(iter(file.readline, b""), args.field, scorer, against):
            text = json.dumps(row, ensure_ascii=False) + "\n"
            sys.stdout.buffer.write(
                text.encode("utf-8", "backslashreplace")
            )  # halves of surrogate pairs, as JSON has them
            sys.stdout.buffer.flush()


def sample(args: argparse.Namespace) -> None:
    from .. import cli
    from ..progress import Watch
    from ..receiver import Receiver
    from .sample import sample

    with cli.reading(args.file) as source:
        receiver = Receiver(source, cli._Nowhere(), cli._limits(args), Watch())  # type: ignore[arg-type]
        receiver.run()
    said = sample(receiver.state, args.bytes, args.seed, args.temperature)
    if sys.stdout.isatty():
        print("\n".join(map(cli.shown, said.decode(errors="backslashreplace").split("\n"))))
    else:
        sys.stdout.buffer.write(said)
        sys.stdout.buffer.flush()


def run(command: str, args: argparse.Namespace) -> int:
    {"report": report, "estimate": estimate, "score": score, "sample": sample}[command](args)
    return 0
