"""Fit scaling laws over data, model size and compute, from runs of the coding loop."""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FileError, UsageError, system_error
from ...files import check_folder
from ...limits import MB, Cost, readable_time
from ...predictor import completed
from ...progress import Bar, signals
from ...session import Session
from .. import arguments
from ..console import Console

ORDER = 120
OVERVIEW = "scaling laws of DATA              lmzip scan enwik8                 → scan/"
EXAMPLES = """\
examples:
  lmzip scan enwik8                           five sizes over the first 2 MiB → scan/
  lmzip scan a.txt b.c c.wav --shuffle 4K     kinds of data compared by their exponents
  lmzip scan enwik8 --sizes 1x32,1x64,2x128 --windows 64,16,256 --seeds 3 --experts --tasks

One run codes all of the data and gives the loss at D, D/2, D/4, … too. Finished runs are kept in OUT/runs: the same
command goes on after an interruption, and another with other sizes runs only what is new. OUT gets points.csv,
laws.json and, for each file, plots (SVG and PNG). Seeds beyond the first and --experts go to the smallest and the
largest size, windows beyond the first to the middle one. docs/science.md says what is fitted, and shows results.
"""
SIZES = "1x16,1x32,1x64,1x128,2x128"
CALIBRATION = 1 << 14  # bytes coded to see how fast this machine is now


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("data", nargs="+", metavar="DATA", help="files of any kind")
    text = "the folder of runs, figures and plots (default scan)"
    parser.add_argument("-o", "--output", default="scan", metavar="OUT", help=text)
    text = f"model sizes as LAYERSxWIDTH, comma between (default {SIZES})"
    parser.add_argument("--sizes", default=SIZES, metavar="LIST", help=text)
    text = "how much of each file, from its beginning (default: all, 2M at most)"
    parser.add_argument("--bytes", type=arguments.size, metavar="SIZE", help=text)
    text = "attention windows, comma between; the first is that of every size (default 64)"
    parser.add_argument("--windows", default="64", metavar="LIST", help=text)
    text = "n-gram tables have 2^BITS rows (default 17); 8 leaves next to nothing of them"
    parser.add_argument("--table-bits", type=arguments.natural, default=17, metavar="BITS", help=text)
    text = "seeds of the smallest and the largest size (default 1)"
    parser.add_argument("--seeds", type=arguments.natural, default=1, metavar="N", help=text)
    parser.add_argument(
        "--experts", action="store_true", help="the smallest and the largest size mixed with experts, too"
    )
    text = "the file's end that is never learnt and coded on the side at D, D/2, D/4, … (default 64K or an eighth)"
    parser.add_argument("--held-out", type=arguments.size, metavar="SIZE", help=text)
    text = "cut the file into pieces of this size and shuffle them, so that it is the same everywhere"
    parser.add_argument("--shuffle", type=arguments.size, default=0, metavar="SIZE", help=text)
    text = "where the fits over data begin (default 32K: the first steps follow no law yet)"
    parser.add_argument("--fit-from", type=arguments.size, default=1 << 15, metavar="SIZE", help=text)
    parser.add_argument("--tasks", action="store_true", help="also put in-context tasks to the model at D, D/2, D/4, …")
    parser.add_argument("--no-plots", action="store_true", help="figures only")


def run(args: argparse.Namespace, console: Console) -> None:
    """Run what is not yet run, then fit and plot; the table goes to standard output. Raises UsageError, FileError."""
    try:
        import scipy  # noqa: F401  # extra: lab
    except ImportError:
        raise UsageError("fits need scipy, of the extra `lab`: bash scripts/setup.sh .venv lab") from None
    from ...lab import provenance  # start-up: with what follows
    from ...lab.scan import charts, laws, runs  # start-up: loads numba

    session, folder = arguments.session(args, console), Path(args.output)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder} is not a folder; name another with -o")
    if not args.no_plots and importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "plots need matplotlib, of the extra `lab`: bash scripts/setup.sh .venv lab; or add --no-plots"
        )
    try:
        windows = [int(window) for window in args.windows.split(",")]
    except ValueError:
        raise UsageError(f"--windows takes numbers with commas between, not {args.windows!r}") from None
    settings = runs.plan(args.sizes.split(","), windows, max(1, args.seeds), args.experts, args.table_bits)
    sources = [runs.Data.read(Path(name), args.bytes, args.held_out, args.shuffle) for name in args.data]
    if len({data.name for data in sources}) < len(sources):
        raise UsageError("two files have the same name, which names what is written of them; rename one")
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise system_error(error, f"can't write to {folder}") from error
    for place in (folder / "laws.json", folder / "runs" / "record"):
        check_folder(place)
    jobs = [(data, setting) for data in sources for setting in settings]

    pending = [
        (data, setting) for data, setting in jobs if not runs.path(data, setting, folder / "runs", args.tasks).exists()
    ]
    with signals():
        console.say(_expected(pending, len(jobs), session))
        finished = []
        for data, setting in jobs:
            bar: Bar = console.bar(f"{data.name} {setting.name}")
            if (data, setting) in pending:
                bar.begin(len(data.scanned))
            try:
                record = runs.run(data, setting, folder / "runs", session, args.tasks, bar.step)
            finally:
                bar.close()
            finished.append(laws.Run(record))

    analyses = {base: laws.analyse(members, args.fit_from) for base, members in laws.series(finished).items()}
    laws.write_csv(finished, folder / "points.csv")
    result = {
        "about": provenance.about(["lmzip", *console.words]),
        "series": list(analyses.values()),
        "seeds": laws.corners(finished),
        "contexts": laws.contexts(finished),
        "experts": laws.beside_experts(finished),
        "tasks": [
            {"data": one.name, "setting": one.setting.name, "scores": one.tasks()} for one in finished if one.tasks()
        ],
    }
    (folder / "laws.json").write_text(json.dumps(laws.plain(result), indent=1, allow_nan=False) + "\n")
    if not args.no_plots:
        for base, members in laws.series(finished).items():
            name = base[0]
            charts.over_data(members, analyses[base], folder / f"{name}-data")
            charts.over_size(analyses[base], folder / f"{name}-size")
            charts.over_compute(members, analyses[base], folder / f"{name}-compute")
            charts.checked(analyses[base], folder / f"{name}-forecasts")
            if args.tasks:
                charts.capability(members, analyses[base]["compute"]["loss"], folder / f"{name}-tasks")
        if len(sources) > 1:
            charts.exponents(list(analyses.values()), "marginal", folder / "kinds")
    console.show("\n\n".join(laws.table(analysis) for analysis in analyses.values()))
    console.say(f"points.csv, laws.json{'' if args.no_plots else ' and plots'} are in {folder}")


def _expected(pending: list[tuple[Any, Any]], count: int, session: Session) -> str:
    """How long the runs that are left will take, after a short calibration with the cheapest and the dearest."""
    if not pending:
        return f"all {count} runs are there already"
    total = sum(len(data.scanned) for data, _ in pending)
    text = f"{len(pending)} of {count} runs to go, {total:,} bytes in all"
    if total < 1 << 20:
        return text
    dearest = max(pending, key=lambda job: Cost(job[1].header()).work)
    cheapest = min(pending, key=lambda job: Cost(job[1].header()).work)
    paces = {Cost(setting.header()).work: _pace(data, setting, session) for data, setting in (cheapest, dearest)}
    known, seconds = zip(*sorted(paces.items()))
    expected = sum(
        len(data.scanned) * float(np.interp(Cost(setting.header()).work, known, seconds)) for data, setting in pending
    )
    memory = max(Cost(setting.header()).memory(len(data.scanned)) for data, setting in pending)
    return f"{text}: about {readable_time(1.2 * expected)}, up to {memory // MB:,} MB of memory"


def _pace(data: Any, setting: Any, session: Session) -> float:
    """Seconds a byte, now, on this machine."""
    encoding = session.lockstep(setting.header()).encode(data.scanned[:CALIBRATION])
    encoding.advance(2)  # loads the kernels
    start, begun = encoding.position, time.perf_counter()
    completed(encoding)
    return (time.perf_counter() - begun) / (encoding.length - start)
