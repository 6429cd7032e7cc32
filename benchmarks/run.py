"""Measure lmzip and its peers on files: sizes, speed each way, memory, and whether the bytes come back.

    python -m benchmarks.run FILES… [--preset 'default --experts none'] [--peer 'NAME=enc {in} {out} :: dec {in} {out}']

Every compressor runs as a child process, one at a time, interleaved over the repeats; CPU seconds and peak memory
are the kernel's account of that child. The Markdown table goes to standard output, the raw figures to
benchmarks/results/NAME.json with the command, commit, versions and machine they belong to.
"""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from lmzip.lab import provenance

from . import peers, report
from .peers import Compressor

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
COMMAND = f"{shlex.quote(sys.executable)} -m lmzip"
START_BYTES = 10_000


class Failure(Exception):
    """A command that ended with an error or ran out of time; the text is one line for the table."""


def measure(command: str, folder: Path, timeout: float, env: dict[str, str] | None = None) -> dict:
    """Run a shell command in `folder`: CPU seconds (user + system), wall seconds, peak memory in bytes, its `messages`.

    The kernel counts the shell's children into the shell, so this is the command's own use, whatever it forks. A
    child's peak begins at what this process holds when it forks: the `floor` of the results, below which nothing shows.
    """
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        child = subprocess.Popen(
            ["timeout", str(timeout), "sh", "-c", command],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        messages = errors.read().decode(errors="replace").strip()
        if child.returncode:
            lines = messages.splitlines()
            why = "out of time" if child.returncode == 124 else (lines[-1] if lines else "no message")
            raise Failure(f"failed ({child.returncode}): {why}"[:200].replace("|", "/"))
    unit = 1 if sys.platform == "darwin" else 1024
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "peak": usage.ru_maxrss * unit, "messages": messages}


def round_trip(compressor: Compressor, original: Path, timeout: float) -> dict:
    """Encode and decode one file in a scratch folder; sizes, both measurements, and whether the bytes came back."""
    with tempfile.TemporaryDirectory(prefix="lmzip-benchmark-") as name:
        folder = Path(name)
        shutil.copyfile(original, folder / "original")
        run: dict = {"encode": measure(_fill(compressor.encode, "original", "archive"), folder, timeout)}
        messages = run["encode"].pop("messages")
        archive = next(folder.glob("archive*"), None)  # some programs add their own suffix
        if archive is None:
            raise Failure("wrote no archive")
        run["bytes"] = archive.stat().st_size
        run["sha256"] = _sha256(archive)
        run["equal"] = False
        if compressor.program:
            run["decoder"] = os.path.getsize(compressor.program)
        if compressor.is_lmzip:
            place = ["--prior-path", compressor.prior] if compressor.prior else []
            run["ledger"] = _json("info", "--json", str(archive), *place)["ledger"]
            if run["ledger"]["archive"] != run["bytes"]:
                raise Failure("the ledger's archive row is not the file's size")
            run["alone"] = _alone(messages)
        if compressor.prior:
            seen = _json("prior", "info", compressor.prior, "--json", "--compare", str(original))
            run["seen"] = seen["share"]
        if compressor.decode:
            run["decode"] = measure(_fill(compressor.decode, archive.name, "restored"), folder, timeout)
            run["decode"].pop("messages")
            restored = folder / "restored"
            if not restored.exists() or not filecmp.cmp(original, restored, shallow=False):
                raise Failure("decoded bytes differ from the original")
            run["equal"] = True
        return run


def _json(*arguments: str) -> dict:
    """What lmzip prints for programs."""
    command = [sys.executable, "-m", "lmzip", *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def first_calls(preset: Compressor, original: Path, timeout: float) -> list[dict]:
    """Wall seconds of short calls with an empty and with a warm kernel cache: what a fresh machine feels."""
    with tempfile.TemporaryDirectory(prefix="lmzip-benchmark-") as name:
        folder = Path(name)
        _beginning(original, folder / "original")
        assert preset.decode is not None
        commands = {
            f"{preset.name}, encode": _fill(preset.encode, "original", "archive"),
            f"{preset.name}, decode": _fill(preset.decode, "archive", "restored"),
            f"{preset.name}, python FILE.lmz": f"rm -f alone; {shlex.quote(sys.executable)} archive alone",
        }
        rows = []
        for number, (what, command) in enumerate(commands.items()):
            if number == 2 and "--no-code" in preset.encode:
                continue
            cache = str(folder / f"cache{number}")
            env = {**os.environ, "XDG_CACHE_HOME": cache}
            cold, warm = (measure(command, folder, timeout, env)["wall"] for _ in range(2))
            rows.append({"what": what, "cold": cold, "warm": warm})
        return rows


def versions(compressors: list[Compressor]) -> dict:
    """Versions of Python and packages, those of the peers' modules among them; programs by the digest of their file."""
    result = provenance.versions()
    for compressor in compressors:
        library = peers.LIBRARIES.get(compressor.name)
        if library:
            result |= peers.version(library)
        if compressor.program:
            result[compressor.name] = "sha256:" + _sha256(Path(compressor.program))
    return result


def about(words: list[str], module: str = "benchmarks.run") -> dict:
    """Where raw figures come from."""
    return provenance.about(["python", "-m", module, *words])


def _beginning(original: Path, target: Path) -> None:
    with open(original, "rb") as file:
        target.write_bytes(file.read(START_BYTES))


def _fill(command: str, source: str, target: str) -> str:
    return command.replace("{in}", source).replace("{out}", target)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _alone(ledger: str) -> dict[str, int]:
    """Code lengths in bytes of the predictor's parts by themselves, from the ledger that `encode` shows."""
    parts = re.findall(r"^ +(\w+) alone +([\d,]+) B", ledger, re.MULTILINE)
    return {part: int(size.replace(",", "")) for part, size in parts}


def _lmzip(preset: str, decode: bool = True) -> Compressor:
    words = shlex.split(preset)
    options = words if words[:1] and words[0].startswith("-") else ["--preset", *words]
    name, back, prior = f"lmzip {preset}", f"{COMMAND} decode {{in}} -o {{out}} -f", None
    if "--prior" in options:
        at = options.index("--prior") + 1
        options[at] = prior = os.path.abspath(options[at])  # commands run in a scratch folder
        name, back = f"{provenance.short(name)} (conditional)", f"{back} --prior-path {shlex.quote(prior)}"
    encode = f"{COMMAND} encode {{in}} -o {{out}} -f {shlex.join(options)}"
    return Compressor(name, encode, back if decode else None, is_lmzip=True, prior=prior)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--preset", action="append", help="preset and options of one lmzip row; may be repeated (default: default)"
    )
    parser.add_argument("--encode-only", action="store_true", help="lmzip does not decode: the table says so")
    parser.add_argument("--peers-encode-only", action="store_true", help="peers do not decode: the table says so")
    parser.add_argument("--no-lmzip", action="store_true", help="peers only")
    parser.add_argument("--peer", action="append", default=[], help="NAME=encode {in} {out} [:: decode {in} {out}]")
    parser.add_argument(
        "--peers", default="all", help="all: every peer found but the slowest; none; or names, comma between"
    )
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="runs of each, interleaved (default 1)")
    parser.add_argument("--limit", type=int, metavar="BYTES", help="take the beginning of each file only")
    parser.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="of one command (default 3600)")
    parser.add_argument("--cold", action="store_true", help="also time first calls with an empty kernel cache")
    parser.add_argument("--no-plots", action="store_true", help="table and raw figures only")
    parser.add_argument("--ablate", action="store_true", help="instead: what each context and the model are worth")
    text = "lengths to ablate at (default 100000,1000000,10000000)"
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], help=text)
    parser.add_argument("--name", help="of the result files (default: date and commit)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the result files")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 when any compressor failed or any round trip did not give the bytes back."""
    arguments = _arguments(argv)
    words = sys.argv[1:] if argv is None else argv
    origin = about(words)
    stem = arguments.results / (arguments.name or origin["date"][:10] + "-" + origin["commit"][:10])
    if arguments.ablate:
        from . import ablate  # loads numpy, and what this process holds is the floor of every measurement

        ablate.run(arguments.files, arguments.sizes or ablate.SIZES, stem, origin)
        return 0
    present, missing = peers.available()
    if arguments.peers == "all":
        chosen = [peer for peer in present if peer.name not in peers.SLOW]
        if missing:
            print("not on this machine: " + ", ".join(missing), file=sys.stderr)
    else:
        names = [] if arguments.peers == "none" else [name.strip() for name in arguments.peers.split(",")]
        chosen = [peer for peer in present if peer.name in names]
        if len(chosen) < len(names):
            print(f"no such peer here: {set(names) - {peer.name for peer in chosen}}", file=sys.stderr)
            return 2
    try:
        chosen += [peers.parse(text) for text in arguments.peer]
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.peers_encode_only:
        chosen = [replace(peer, decode=None) for peer in chosen]
    chosen_presets = [] if arguments.no_lmzip else arguments.preset or ["default"]
    presets = [_lmzip(preset, decode=not arguments.encode_only) for preset in chosen_presets]
    compressors = presets + chosen

    result: dict = {
        **origin,
        "versions": versions(compressors),
        "floor": measure("true", ROOT, 10)["peak"],
        "files": {},
        "runs": [],
        "start": [],
    }
    stem.parent.mkdir(parents=True, exist_ok=True)
    figures = stem.with_name(stem.name + ".json")
    with tempfile.TemporaryDirectory(prefix="lmzip-benchmark-") as folder:
        originals = {}
        for file in arguments.files:
            copy = Path(folder) / f"{len(originals)}"
            shutil.copyfile(file, copy)  # not through this process' memory: that would raise the floor
            if arguments.limit is not None and arguments.limit < copy.stat().st_size:
                os.truncate(copy, arguments.limit)
            name = file.name if copy.stat().st_size == file.stat().st_size else f"{file.name}[:{arguments.limit}]"
            originals[name] = copy
            result["files"][name] = {"bytes": copy.stat().st_size, "sha256": _sha256(copy)}
        for preset in presets:
            original = next(iter(originals.values()))
            if arguments.cold and preset.decode:
                result["start"] += first_calls(preset, original, arguments.timeout)
            _warm_up(preset, original, arguments.timeout)
        for name, original in originals.items():
            for repeat in range(arguments.repeat):
                for compressor in compressors:
                    run: dict = {"file": name, "compressor": compressor.name, "repeat": repeat}
                    try:
                        run |= round_trip(compressor, original, arguments.timeout)
                    except Failure as failure:
                        run["error"] = str(failure)
                    result["runs"].append(run)
                    _progress(run)
                    figures.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")  # what there is so far

    table = report.markdown(result)
    stem.with_name(stem.name + ".md").write_text(f"`{result['command']}`\n\n{table}")
    print(table)
    for path in [] if arguments.no_plots else report.plots(result, stem):
        print(f"plot: {path.name}", file=sys.stderr)
    return int(any(run.get("error") for run in result["runs"]))


def _warm_up(preset: Compressor, original: Path, timeout: float) -> None:
    """Fill the kernel cache, so that compiling is not counted into the first run; --cold shows what it costs."""
    with tempfile.TemporaryDirectory(prefix="lmzip-benchmark-") as name:
        small = Path(name) / "small"
        _beginning(original, small)
        try:
            round_trip(preset, small, timeout)
        except Failure as failure:
            print(f"{preset.name}: {failure}", file=sys.stderr)


def _progress(run: dict) -> None:
    text = run.get("error") or f"{run['bytes']:,} bytes, encode {run['encode']['cpu']:.1f} CPU s"
    print(f"{run['file']}  {run['compressor']}  #{run['repeat'] + 1}: {text}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
