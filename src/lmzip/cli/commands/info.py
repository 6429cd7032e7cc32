"""Show an archive's ledger and settings, without decoding."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from typing import Any

from ... import machine, pack, released
from ...codec.message import NLL_BITS
from ...errors import ArchiveError, UsageError
from ...frames import read_block
from ...ledger import Ledger, peers
from ...survey import Survey
from ...text import printable
from .. import arguments
from ..console import Console
from ..inputs import reading

ORDER = 40
OVERVIEW = "the ledger and the settings       lmzip info book.txt.lmz"
EXAMPLES = """\
examples:
  lmzip info book.txt.lmz                     what each part of it costs, its settings, whose code it carries
  lmzip info book.txt.lmz --compare book.txt  beside gzip, bzip2 and xz
  lmzip info book.txt.lmz --json              with every frame's kind, sizes and code length
  lmzip info --backend                        how this machine computes; it changes the time, never the bytes
"""
KINDS = {1: "coded", 2: "stored", 3: "filled"}  # of frames


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("file", nargs="?", metavar="FILE", help="an archive; -: standard input")
    parser.add_argument("--backend", action="store_true", help="show what computes on this machine instead")
    parser.add_argument("--json", action="store_true", help="for programs, frame by frame")
    parser.add_argument("--compare", metavar="ORIGINAL", help="compare the digests; show gzip, bzip2 and xz beside")
    arguments.add_prior_path(parser)


def run(args: argparse.Namespace, console: Console) -> None:
    """One archive, or this machine. Raises UsageError, ArchiveError."""
    if args.backend:
        console.show("\n".join(f"{name:<16} {value}" for name, value in machine.facts().items()))
        return
    if args.file is None:
        raise UsageError("which archive? Name it, or - for standard input")
    session = arguments.session(args, console)
    with reading(args.file) as source:
        survey = Survey(source, keep=bool(args.json or args.compare), session=session)
    others = worth = None
    if args.compare:
        with reading(args.compare) as original:
            compare(survey, original)
            original.seek(0)
            others = peers(original)
            if survey.header.prior is not None:
                from ...prior.worth import measure  # start-up: only archives with a prior need it

                look = "coding up to 1 MiB without the prior, to compare"
                worth = measure(survey.header, survey.frames, original, session, lambda: console.say(look))
    ledger, settings, code = survey.ledger(), _settings(survey), _code(survey)
    if args.json:
        _show_json(console, survey, ledger, others, worth)
        return
    console.show(ledger.table(others))
    flat = {name: value for name, value in settings.items() if value is not None and not isinstance(value, dict)}
    console.show("settings: " + ", ".join(f"{name} {value}" for name, value in flat.items()))
    for name in ("model", "experts"):
        if settings[name]:
            console.show(f"{name}: " + ", ".join(f"{key} {value}" for key, value in settings[name].items()))
    if survey.code:
        console.show(f"code: {code['release'] or 'UNKNOWN, not a release of this lmzip'}; SHA-256 {code['sha256']}")
    if args.compare:
        console.show(f"{printable(args.compare)} has the digests of the archive's original")
    if worth:
        console.show(str(worth))


def _settings(survey: Survey) -> dict[str, Any]:
    header = survey.header
    return dataclasses.asdict(header) | {"prior": header.prior and header.prior.hex()}


def _code(survey: Survey) -> dict[str, Any]:
    return {
        "bytes": len(survey.code),
        "sha256": hashlib.sha256(survey.code).hexdigest() if survey.code else None,
        "release": pack.release(survey.code) if survey.code else None,
    }


def _show_json(console: Console, survey: Survey, ledger: Ledger, others: dict[str, int] | None, worth: Any) -> None:
    frames = [
        {"kind": KINDS[f.kind], "original": f.length, "payload": f.size, "nll_bits": f.nll / (1 << NLL_BITS)}
        for f in survey.frames
    ]
    result: dict[str, Any] = {"header": _settings(survey), "ledger": ledger.as_dict(), "code": _code(survey)}
    result |= {"digest": survey.footer.whole.hex(), "frames": frames}
    result |= {"others": others} if others else {}
    console.show(json.dumps(result | ({"prior": worth.as_dict()} if worth else {}), indent=2))


def compare(survey: Survey, original: Any) -> None:
    """Compare an archive's digests with a file. Raises ArchiveError where it differs."""
    leaves, message = b"", released.part(survey.header.format_version, "message")
    for frame in survey.frames:
        leaves += message.leaf(read_block(original, frame.length))
        if leaves[-32:][:8] != frame.data_digest:
            raise ArchiveError(f"the original differs in frame {frame.number}; give the file that was encoded")
    if original.read(1) or message.whole_digest(leaves) != survey.footer.whole:
        raise ArchiveError("the original is longer than the archive's; give the file that was encoded")
