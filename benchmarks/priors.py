"""What priors gain: python -m benchmarks.priors CORPUS [--case wiki|dickens|logs …] [--folder FOLDER] [--name NAME]

Trains a prior on one part of the corpus (or takes FOLDER/CASE.prior, if it is there), encodes other files with it and
without, decodes, compares. Sizes are conditional: transcripts, the prior not counted; CPU seconds, user and system, are
those of whole commands. Logs stand beside zstd -19 with a dictionary of the same half. The table goes to standard
output, the raw figures to benchmarks/results/NAME.json.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from .run import COMMAND, RESULTS, _json, about, measure

PIECE = 100_000  # bytes of logs


class Case(NamedTuple):
    """Bytes [start, stop) of a file are learnt, by a preset; the files are coded."""

    corpus: str
    start: int
    stop: int
    preset: str
    files: tuple[str, ...]


CASES = {
    "wiki": Case("enwik8.4M", 1_000_000, 4_000_000, "default", ("enwik6",)),
    "dickens": Case("dickens", 0, 1 << 60, "default", ("book1", "alice29.txt")),
    "logs": Case("nginxplus_json_logs", 0, 1_392_380, "fast", ()),
}


def run_case(name: str, corpus: Path, folder: Path) -> list[dict]:
    """One row a file."""
    case, prior = CASES[name], folder / f"{name}.prior"
    whole = (corpus / case.corpus).read_bytes()
    learnt = folder / f"{name}.corpus"
    learnt.write_bytes(whole[case.start : case.stop])
    trained = None
    if not prior.exists():
        trained = cost(f"{COMMAND} prior train {learnt} -o {prior} -f --preset {case.preset}", folder)
    said = _json("prior", "info", str(prior), "--json")
    files = [corpus / file for file in case.files]
    if not files:  # pieces of the second half
        for number in range((len(whole) - case.stop) // PIECE):
            files.append(folder / f"{name}.{number:02}")
            at = case.stop + number * PIECE
            files[-1].write_bytes(whole[at : at + PIECE])
    sizes = zstd(learnt.read_bytes(), files) if name == "logs" else [None] * len(files)
    rows = []
    for file, peer in zip(files, sizes, strict=True):
        row = {"prior": name, "file": file.name, "original": file.stat().st_size, "zstd": peer, "trained": trained}
        row |= {"stored": said["stored"], "rebuilt": said["rebuilt"], "digest": said["state"]}
        row["share"] = _json("prior", "info", str(prior), "--json", "--compare", str(file))["share"]
        for how, options in (("without", f"--preset {case.preset}"), ("with", f"--prior {prior}")):
            archive = folder / f"{file.name}.{how}"
            encode = f"{COMMAND} encode {shlex.quote(str(file))} -o {archive} -f -q --checkpoint 0 {options}"
            row[how] = {"encode": cost(encode, folder)}
            ledger = _json("info", "--json", str(archive), "--prior-path", str(prior))["ledger"]
            row[how] |= {"transcript": ledger["transcript"], "archive": ledger["archive"]}
        decode = f"{COMMAND} decode {archive} -o {folder / 'back'} -f --checkpoint 0 --prior-path {prior}"
        row["with"]["decode"] = cost(decode, folder)
        if not filecmp.cmp(folder / "back", file, shallow=False):
            raise SystemExit(f"{file} did not come back")
        rows.append(row)
        print(f"{name} {file.name}: {row['without']['transcript']:,} → {row['with']['transcript']:,}", file=sys.stderr)
    return rows


def cost(command: str, folder: Path) -> dict:
    """CPU and wall seconds and peak memory of a command."""
    return {name: value for name, value in measure(command, folder, 1 << 16).items() if name != "messages"}


def zstd(corpus: bytes, files: list[Path]) -> list[int]:
    """Bytes of zstd -19 -D: with the dictionary that `zstd --train` makes, and with the corpus as such; the smaller."""
    import zstandard

    samples = [corpus[at : at + 10_000] for at in range(0, len(corpus), 10_000)]
    trained = zstandard.train_dictionary(112_640, samples)
    raw = zstandard.ZstdCompressionDict(corpus, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    both = [zstandard.ZstdCompressor(level=19, dict_data=dictionary) for dictionary in (trained, raw)]
    return [min(len(one.compress(file.read_bytes())) for one in both) for file in files]


def table(rows: list[dict]) -> str:
    """Conditional sizes and what they cost."""
    lines = [
        "| prior | stored | rebuilt | file | without | with, conditional | smaller by | zstd -19 -D "
        "| CPU s, encode, without | with | times | decode | seen |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        before, after = row["without"], row["with"]
        seconds = [how["encode"]["cpu"] for how in (before, after)]
        lines.append(
            f"| {row['prior']} | {row['stored']:,} | {row['rebuilt']:,} | {row['file']} | {before['transcript']:,} "
            f"| {after['transcript']:,} | {100 * (1 - after['transcript'] / before['transcript']):.1f} % "
            f"| {format(row['zstd'], ',') if row['zstd'] else ''} "
            f"| {seconds[0]:.1f} | {seconds[1]:.1f} | {seconds[1] / seconds[0]:.2f} "
            f"| {after['decode']['cpu']:.1f} | {100 * row['share']:.2f} % |"
        )
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.priors", description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path, help="folder of the test files")
    parser.add_argument("--case", action="append", choices=CASES, help="may be repeated (default: all)")
    parser.add_argument("--folder", type=Path, help="where priors and archives are left (default: nowhere)")
    parser.add_argument("--name", default="priors", help="of the result file (default: priors)")
    arguments = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory(prefix="lmzip-priors-") as scratch:
        folder = (arguments.folder or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([*shlex.split(COMMAND), "--version"], check=True, stdout=subprocess.DEVNULL)
        for name in arguments.case or CASES:
            rows += run_case(name, arguments.corpus.absolute(), folder)
    result = about(sys.argv[1:] if argv is None else argv, "benchmarks.priors") | {"rows": rows}
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / f"{arguments.name}.json").write_text(text)
    print(table(rows))


if __name__ == "__main__":
    main()
