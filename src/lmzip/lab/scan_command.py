"""`lmzip scan`: the options, the runs with their expected time, and what is written of them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from .. import engine, limits
from ..errors import FileError, UsageError
from ..progress import Bar, signals

HELP = """\
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


def add_options(parser: argparse.ArgumentParser, size: Any, natural: Any) -> None:
    """The options, on the command line's parser; `size` and `natural` parse its kinds of numbers."""
    parser.add_argument("data", nargs="+", metavar="DATA", help="files of any kind")
    text = "the folder of runs, figures and plots (default scan)"
    parser.add_argument("-o", "--output", default="scan", metavar="OUT", help=text)
    text = f"model sizes as LAYERSxWIDTH, comma between (default {SIZES})"
    parser.add_argument("--sizes", default=SIZES, metavar="LIST", help=text)
    text = "how much of each file, from its beginning (default: all, 2M at most)"
    parser.add_argument("--bytes", type=size, metavar="SIZE", help=text)
    text = "attention windows, comma between; the first is that of every size (default 64)"
    parser.add_argument("--windows", default="64", metavar="LIST", help=text)
    text = "n-gram tables have 2^BITS rows (default 17); 8 leaves next to nothing of them"
    parser.add_argument("--table-bits", type=natural, default=17, metavar="BITS", help=text)
    text = "seeds of the smallest and the largest size (default 1)"
    parser.add_argument("--seeds", type=natural, default=1, metavar="N", help=text)
    parser.add_argument(
        "--experts", action="store_true", help="the smallest and the largest size mixed with experts, too"
    )
    text = "the file's end that is never learnt and coded on the side at D, D/2, D/4, … (default 64K or an eighth)"
    parser.add_argument("--held-out", type=size, metavar="SIZE", help=text)
    text = "cut the file into pieces of this size and shuffle them, so that it is the same everywhere"
    parser.add_argument("--shuffle", type=size, default=0, metavar="SIZE", help=text)
    text = "where the fits over data begin (default 32K: the first steps follow no law yet)"
    parser.add_argument("--fit-from", type=size, default=1 << 15, metavar="SIZE", help=text)
    parser.add_argument("--tasks", action="store_true", help="also put in-context tasks to the model at D, D/2, D/4, …")
    parser.add_argument("--no-plots", action="store_true", help="figures only")


def run(args: argparse.Namespace) -> int:
    """Run what is not yet run, then fit and plot; the table goes to standard output."""
    try:
        import scipy  # noqa: F401
    except ImportError:
        raise UsageError("fits need scipy, of the extra `lab`: bash scripts/setup.sh .venv lab") from None
    from . import charts, laws, provenance, scan

    folder = Path(args.output)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder} is not a folder; name another with -o")
    try:
        windows = [int(window) for window in args.windows.split(",")]
    except ValueError:
        raise UsageError(f"--windows takes numbers with commas between, not {args.windows!r}") from None
    settings = scan.plan(args.sizes.split(","), windows, max(1, args.seeds), args.experts, args.table_bits)
    sources = [scan.Data.read(Path(name), args.bytes, args.held_out, args.shuffle) for name in args.data]
    if len({data.name for data in sources}) < len(sources):
        raise UsageError("two files have the same name, which names what is written of them; rename one")
    jobs = [(data, setting) for data in sources for setting in settings]

    pending = [
        (data, setting) for data, setting in jobs if not scan.path(data, setting, folder / "runs", args.tasks).exists()
    ]
    with signals():
        if not args.quiet:
            print(_expected(pending, len(jobs)), file=sys.stderr)
        runs = []
        for data, setting in jobs:
            bar = Bar(f"{data.name} {setting.name}", show=not args.quiet and sys.stderr.isatty())
            if (data, setting) in pending:
                bar.begin(len(data.scanned))
            try:
                record = scan.run(data, setting, folder / "runs", args.tasks, bar.step)
            finally:
                bar.close()
            runs.append(laws.Run(record))

    analyses = {base: laws.analyse(members, args.fit_from) for base, members in laws.series(runs).items()}
    folder.mkdir(parents=True, exist_ok=True)
    laws.write_csv(runs, folder / "points.csv")
    result = {
        "about": provenance.about(["lmzip", *args.words]),
        "series": list(analyses.values()),
        "seeds": laws.corners(runs),
        "contexts": laws.contexts(runs),
        "experts": laws.beside_experts(runs),
        "tasks": [
            {"data": one.name, "setting": one.setting.name, "scores": one.tasks()} for one in runs if one.tasks()
        ],
    }
    (folder / "laws.json").write_text(json.dumps(laws.plain(result), indent=1, allow_nan=False) + "\n")
    if not args.no_plots:
        for base, members in laws.series(runs).items():
            name = base[0]
            charts.over_data(members, analyses[base], folder / f"{name}-data")
            charts.over_size(analyses[base], folder / f"{name}-size")
            charts.over_compute(members, analyses[base], folder / f"{name}-compute")
            charts.checked(analyses[base], folder / f"{name}-forecasts")
            if args.tasks:
                charts.capability(members, analyses[base]["compute"]["loss"], folder / f"{name}-tasks")
        if len(sources) > 1:
            charts.exponents(list(analyses.values()), "marginal", folder / "kinds")
    print("\n\n".join(laws.table(analysis) for analysis in analyses.values()))
    if not args.quiet:
        print(f"points.csv, laws.json{'' if args.no_plots else ' and plots'} are in {folder}", file=sys.stderr)
    return 0


def _expected(pending: list, count: int) -> str:
    """How long the runs that are left will take, after a short calibration with the cheapest and the dearest."""
    import numpy as np

    if not pending:
        return f"all {count} runs are there already"
    total = sum(len(data.scanned) for data, _ in pending)
    text = f"{len(pending)} of {count} runs to go, {total:,} bytes in all"
    if total < 1 << 20:
        return text
    dearest = max(pending, key=lambda job: limits.work(job[1].header()))
    cheapest = min(pending, key=lambda job: limits.work(job[1].header()))
    paces = {limits.work(setting.header()): _pace(data, setting) for data, setting in (cheapest, dearest)}
    known, seconds = zip(*sorted(paces.items()))
    expected = sum(
        len(data.scanned) * float(np.interp(limits.work(setting.header()), known, seconds)) for data, setting in pending
    )
    memory = max(limits.memory(setting.header(), len(data.scanned)) for data, setting in pending)
    return f"{text}: about {limits.readable_time(1.2 * expected)}, up to {memory // limits.MB:,} MB of memory"


def _pace(data: Any, setting: Any) -> float:
    """Seconds a byte, now, on this machine."""
    encoding = engine.lockstep(setting.header()).encode(data.scanned[:CALIBRATION])
    encoding.advance(2)  # loads the kernels
    start, begun = encoding.position, time.perf_counter()
    engine.completed(encoding)
    return (time.perf_counter() - begun) / (encoding.length - start)
