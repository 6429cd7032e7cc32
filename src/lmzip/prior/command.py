"""`lmzip prior train|build|export|list|info|verify`, and what `--prior` means to the other commands."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import engine, presets
from ..codec.message import Header
from ..errors import FileError, PriorError, UsageError
from . import store

if TYPE_CHECKING:
    from ..pretrained.model import Pretrained

HELP = {
    "": """\
examples:
  lmzip prior train old/*.log -o nginx.prior   learns the logs → nginx.prior; nginx.lmz, from which it can be rebuilt
  lmzip encode --prior nginx.prior new.log     → new.log.lmz, smaller by what the prior knows
  lmzip decode --prior-path . new.log.lmz      looks for the prior in this folder
  lmzip prior build nginx.lmz -o nginx.prior   the same prior, bit for bit, from the compressed logs alone
  lmzip prior list                             what can be found

An archive made with a prior opens only where that prior is: it is named in the archive by its digest. Priors are looked
for in --prior-path, $LMZIP_PRIOR_PATH, the package and ~/.cache/lmzip/priors. A prior is data, never code; but it
holds its corpus' text. An archive's size without its prior is conditional: `lmzip info` shows what it costs with it.
""",
    "train": """\
examples:
  lmzip prior train book*.txt -o books.prior                      with the default preset, about 15 KB a second
  lmzip prior train access.log -o nginx.prior --preset fast       for archives made with the same preset
  lmzip prior train corpus.txt -o c.prior --licence CC-BY-SA-4.0 --source https://example.org/corpus
""",
    "build": """\
examples:
  lmzip prior build books.lmz -o books.prior
  lmzip prior build books.lmz -o books.prior --same-as 3f7a…      that digest, or that file's, must come out
""",
    "export": """\
example:
  lmzip prior export books.prior -o books      a directory of transformers, of model type lmzip; encode takes it too
""",
    "list": """\
example:
  lmzip prior list --prior-path priors
""",
    "info": """\
examples:
  lmzip prior info books.prior
  lmzip prior info books --compare new.txt     and how much of new.txt its corpus holds already
""",
    "verify": """\
example:
  lmzip prior verify books.prior               reads all of it, compares its digest, and begins a predictor from it
""",
}


def path_option(group: Any) -> None:
    text = "where priors are looked for first: folders or files, as in $PATH"
    group.add_argument("--prior-path", default="", metavar="PATH", help=text)


def add_parsers(parser: argparse.ArgumentParser, output_options: Any, limit_options: Any) -> None:
    """The commands behind `lmzip prior`."""
    commands = parser.add_subparsers(
        dest="task", metavar="train|build|export|list|info|verify", required=True, help="each with a --help of its own"
    )

    def new(name: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=text[0].lower() + text[1:-1],
            description=text,
            epilog=HELP[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for option, help_ in (("quiet", "say nothing but errors"), ("verbose", "say more; a traceback with errors")):
            made.add_argument(f"-{option[0]}", f"--{option}", action="count", default=0, help=help_)
        return made

    def notes(made: argparse.ArgumentParser) -> None:
        made.add_argument("--licence", default="", metavar="TEXT", help="of the corpus; kept in the prior")
        made.add_argument("--source", default="", metavar="TEXT", help="where the corpus is from; kept in the prior")

    train = new("train", "Learn a corpus, and save what was learnt.")
    train.add_argument("files", nargs="+", metavar="CORPUS", help="text to learn, one file behind the other")
    train.add_argument("--preset", choices=("fast", "default", "max"), default="default", help="as of encode")
    train.add_argument("--experts", choices=("none", "fast", "max"), help="as of encode")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="as of encode")
    train.add_argument("--replay", type=int, metavar="K", help="as of encode")
    train.add_argument("--no-code", action="store_true", help="leave the decoder out of the corpus's archive")
    notes(train)
    output_options(train)
    build = new("build", "Make a prior again from the archive of its corpus.")
    build.add_argument("file", metavar="ARCHIVE", help="what prior train wrote beside the prior")
    build.add_argument("--same-as", metavar="PRIOR", help="the digest that it must have, or a file of the same prior")
    notes(build)
    output_options(build)
    limit_options(build)
    export = new("export", "Write a prior's language model as a directory of transformers.")
    export.add_argument("prior", metavar="PRIOR", help="a name, a digest or a file")
    export.add_argument("-o", "--output", metavar="DIR", required=True, help="the directory, which must not exist")
    path_option(export)
    listing = new("list", "Show the priors that can be found.")
    path_option(listing)
    info = new("info", "Show what a prior is, what it was learnt from, and what it costs.")
    info.add_argument("prior", metavar="PRIOR", help="a name, a digest or a file, or a directory of transformers")
    info.add_argument("--json", action="store_true", help="for programs")
    info.add_argument("--compare", metavar="FILE", help="show what part of this file its corpus holds")
    path_option(info)
    verify = new("verify", "Read all of a prior, compare its digest, and begin a predictor from it.")
    verify.add_argument("prior", metavar="PRIOR", help="a name, a digest or a file")
    path_option(verify)


def run(args: argparse.Namespace) -> int:
    tasks = {"train": _train, "build": _build, "export": _export, "list": _list, "info": _info, "verify": _verify}
    return tasks[args.task](args) or 0


def _named(args: argparse.Namespace, suffix: str) -> str:
    """The output, beside which the archive of the corpus gets the same name."""
    if not args.output or args.output == "-" or args.stdout:
        raise UsageError("name the prior with -o; it goes to a file")
    name = args.output.removesuffix(store.SUFFIX)
    if name == args.output:
        raise UsageError(f"a prior's name ends in {store.SUFFIX}, for it is found by that")
    return name + suffix


def _train(args: argparse.Namespace) -> None:
    from .. import cli, pack, presets
    from ..sender import Sender
    from .train import Corpus, train

    header = presets.header(args.preset, experts=args.experts, seed=args.seed, replay=args.replay)
    target, archive = _named(args, store.SUFFIX), _named(args, cli.SUFFIX)
    paths = [Path(name) for name in args.files]
    total = 0
    for path in paths:
        with cli.reading(str(path)) as file:  # what can't be read is known before work begins
            total += file.size() or 0
    threads = cli._threads(args)
    args.writes_archive = True
    with _saved(args, target) as save:
        source = cli.Input(Corpus(paths), standard=True)  # type: ignore[arg-type]
        with cli.writing(args, source, archive) as (sink, snapshot, _):
            cli._announce(args, header, total, threads)
            bar = cli._bar(args, target)
            bar.begin(total)
            try:
                sender = Sender(sink, header, b"" if args.no_code else pack.code(header), bar, snapshot)
                ledger, made = train(sender, source, args.resume, args.licence, args.source)
            finally:
                bar.close()
        save(made)
    cli.say(args, f"{archive}: the corpus, {ledger.original:,} bytes in {ledger.archive:,}")


def _build(args: argparse.Namespace) -> None:
    from .. import cli
    from ..receiver import Receiver
    from .train import Fingerprinted, build

    target = _named(args, store.SUFFIX)
    cli._threads(args)
    wanted = args.same_as and _digest_of(args.same_as)
    with _saved(args, target) as save, cli.reading(args.file) as source:
        bar = cli._bar(args, target)
        receiver = Receiver(source, Fingerprinted(), cli._limits(args), bar)  # type: ignore[arg-type]
        cli._announce(args, receiver.header(), cli._survey(source)[0], 1)
        bar.begin(cli._survey(source)[0])
        try:
            _, made = build(receiver, args.licence, args.source)
        finally:
            bar.close()
        if wanted and not made[0].state.startswith(wanted):
            raise PriorError(f"this archive's prior is {made[0].state}, not {wanted}")
        save(made)


def _digest_of(text: str) -> str:
    if len(text) >= 16 and all(c in "0123456789abcdef" for c in text.lower()):
        return text.lower()
    return store.read(Path(text)).manifest.state


@contextlib.contextmanager
def _saved(args: argparse.Namespace, target: str) -> Iterator[Any]:
    """A prior's file in the making; what is yielded writes it."""
    from .. import cli

    if Path(target).exists() and not (args.force or args.resume):
        raise FileError(f"{target} exists; add -f to overwrite it, or name another with -o")

    def save(made: Any) -> None:
        output = cli.Output(Path(target), force=args.force or args.resume)
        try:
            store.write(output.part, *made)
            output.publish()
        except BaseException:
            output.discard()
            raise
        prior = store.read(Path(target))
        cli.say(args, f"{target}: {prior.size:,} bytes, digest {prior.manifest.state}")

    yield save


def _export(args: argparse.Namespace) -> None:
    from .. import cli
    from ..pretrained.export import export

    prior, folder = store.named(args.prior, args.prior_path), Path(args.output)
    if folder.exists():
        raise FileError(f"{folder} exists; name another with -o")
    export(prior, folder)
    cli.say(args, f"{folder}: prior {prior.manifest.state[:16]}; lmzip encode --prior {folder} builds on it as before")


def _list(args: argparse.Namespace) -> None:
    print(f"{'digest':<16} {'stored':>15} {'rebuilt':>13} {'corpus':>13}  name")
    for prior in store.known(args.prior_path):
        said = prior.manifest
        print(
            f"{said.state[:16]} {prior.size:>15,} {said.rebuilt:>13,} {said.length:>13,}  {prior.name} ({prior.path})"
        )


def _info(args: argparse.Namespace) -> None:
    from .. import cli
    from ..codec.cache import source_digest
    from .worth import overlap

    if Path(args.prior).is_dir() and not store.is_exported(Path(args.prior)):
        return _pretrained_info(args)
    prior = store.named(args.prior, args.prior_path)
    said = prior.manifest
    seen = None
    if args.compare:
        with cli.reading(args.compare) as file:
            seen = overlap(prior, file)
    if args.json:
        header = {
            k: v for k, v in asdict(prior.header).items() if k not in ("prior", "independent_frames", "frame_size")
        }
        found = {"path": str(prior.path), "stored": prior.size, "header": header} | asdict(said)
        print(json.dumps(found | ({"share": seen.share, "strings": seen.asked} if seen else {}), indent=2))
        return
    ours = "this lmzip's" if said.codec == source_digest() else "another codec's: archives tell at once if it matters"
    rows = {
        "digest": said.state,
        "stored": f"{prior.size:,} bytes",
        "rebuilt": f"{said.rebuilt:,} bytes, the archive of its corpus without code; {said.transcript:,} of transcript",
        "corpus": f"{said.length:,} bytes, digest {said.corpus}",
        "licence": said.licence or "not said",
        "source": said.source or "not said",
        "made by": f"lmzip {said.version}, codec {said.codec}, {ours}",
        "settings": ", ".join(f"{name} {getattr(prior.header, name)}" for name in ("seed", "segment", "replay")),
    }
    for part in ("model", "experts"):
        if (value := getattr(prior.header, part)) is not None:
            rows[part] = ", ".join(f"{k} {v}" for k, v in asdict(value).items())
    print("\n".join(f"{name:<10}{value}" for name, value in rows.items()))
    if seen:
        print(seen)


def _pretrained_info(args: argparse.Namespace) -> None:
    """What a directory of transformers holds, loaded and checked: what is not supported is refused."""
    from ..pretrained.model import open_model

    found = open_model(Path(args.prior))
    found.network()
    sizes, table = found.architecture, found.table
    rows = {
        "digest": f"{found.digest.hex()}, with 8 bits and no adaptation",
        "stored": f"{found.size:,} bytes",
        "model": f"{sizes.family}, {found.parameters:,} parameters in {sizes.layers} layers, {sizes.width} wide",
        "window": f"{sizes.context:,} tokens of the model's {sizes.positions:,}",
        "tokens": f"{len(table.tokens):,} of {sizes.vocabulary:,} ids, {table.kind}"
        + ("" if table.complete else "; bytes that are no tokens are escaped"),
    }
    if args.json:
        print(json.dumps({"path": str(found.path), "stored": found.size, "digest": found.digest.hex()} | asdict(sizes)))
        return
    print("\n".join(f"{name:<10}{value}" for name, value in rows.items()))


def _verify(args: argparse.Namespace) -> None:
    prior = store.named(args.prior, args.prior_path)
    known = prior.fingerprint()
    engine.set_prior_path(str(prior.path))
    engine.lockstep(store.header(prior, 1 << 20, False))
    if not args.quiet:
        print(f"{prior.path}: whole, digest {prior.manifest.state}; {len(known):,} strings in its fingerprint")


# `encode --prior`


def choose(args: argparse.Namespace, name: str, open_: Any) -> store.Prior | Pretrained | None:
    """The prior that `--prior` means, its place known to the engine; None: none was asked for, or none helps."""
    engine.set_prior_path(args.prior_path)
    if args.prior is None:
        return None
    if args.preset == "auto" or args.time is not None:
        raise UsageError("--prior brings its own settings, so there is nothing for --time or --preset auto to choose")
    if Path(args.prior).is_dir() and not store.is_exported(Path(args.prior)):
        return _pretrained(args)
    if args.prior_bits is not None or args.adapt is not None:
        raise UsageError("--prior-bits and --adapt are for models of transformers: --prior DIR")
    if args.prior == "auto":
        return _best(args, name, open_)
    prior = store.named(args.prior, args.prior_path)
    store.check_options(prior, args.preset, args.experts, args.seed, args.replay)
    store.remember(prior, args.prior_path)
    return prior


def _pretrained(args: argparse.Namespace) -> Pretrained:
    """The model of transformers in the directory --prior, its place known to the engine."""
    from ..pretrained.model import open_model

    if args.seed is not None or args.replay is not None:
        raise UsageError("a model of transformers has no --seed and is not trained by --replay; leave them out")
    found = open_model(Path(args.prior), args.prior_bits or 8, args.adapt or "none")
    engine.set_prior_path(f"{found.path}{os.pathsep}{args.prior_path}")
    return found


def header(prior: store.Prior | Pretrained, args: argparse.Namespace) -> Header:
    """The header of an archive with these options that builds on a prior."""
    if isinstance(prior, store.Prior):
        return store.header(prior, args.frame_size, args.independent_frames)
    experts = presets.PRESETS[args.preset or "fast"][1] if args.experts is None else args.experts
    return prior.header(presets.EXPERTS[experts], args.frame_size, args.independent_frames)


SAMPLE = 1 << 14  # bytes of each of the two pieces that decide


def _best(args: argparse.Namespace, name: str, open_: Any) -> store.Prior | None:
    """The prior with which the file's beginning and middle take least, or none."""
    from .. import cli, presets
    from .worth import bits

    with open_(name) as source:
        if (size := source.size()) is None:
            raise UsageError("--prior auto looks at the file first, which a pipe does not allow; name a prior")
        pieces = [source.read(SAMPLE)] if size else []
        if size > 2 * SAMPLE:
            source.seek(size // 2)
            pieces.append(source.read(SAMPLE))
    plain = presets.header(args.preset or "default", experts=args.experts, seed=args.seed or 0, replay=args.replay)
    best, least = None, bits(plain, pieces)
    length = max(1, sum(map(len, pieces)))
    cli.say(args, f"auto: {least / length:.3f} bpb of a sample without a prior")
    for prior in store.known(args.prior_path):
        try:
            store.check_options(prior, args.preset, args.experts, args.seed, args.replay)
            store.remember(prior, args.prior_path)
            amount = bits(store.header(prior, 1 << 20, False), pieces)
        except (UsageError, PriorError):
            continue
        gc.collect()  # predictors refer to themselves, and two would take twice the memory
        cli.say(args, f"auto: {amount / length:.3f} with {prior.name}")
        if amount < least:
            best, least = prior, amount
    engine.set_prior_path(args.prior_path)
    if best is not None:
        store.remember(best, args.prior_path)
    return best
