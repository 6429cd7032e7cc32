"""The figures of docs/science.md: python -m benchmarks.science CORPUS [--runs FOLDER]

Runs what is not yet run, one after the other, the most telling first; then fits and plots what there is. Writes
benchmarks/results/science.json (laws, checks, tasks), science.md (laws), science.csv (every point) and
docs/science-*.svg. `--draw` runs nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from lmzip.lab import provenance
from lmzip.lab.scan import charts, laws
from lmzip.lab.scan.runs import Data, Setting, path, run
from lmzip.session import Session

from .run import RESULTS, ROOT

MAIN = "enwik8.4M"
KINDS = ("python-stdlib.3M", "kodim23.ppm", "pcm.wav", "nginxplus_json_logs")
SIZES = ("1x16", "1x32", "1x64", "1x128")
LENGTH, SHORT, HELD_OUT, PIECE = 1 << 21, 1 << 19, 1 << 16, 1 << 12
PLAIN = 8  # bits of the tables where the model shall have next to none


def jobs(corpus: Path) -> list[tuple[Data, Setting, bool]]:
    """Data, setting, and whether tasks are put to it."""
    ordered = Data.read(corpus / MAIN, LENGTH, HELD_OUT)
    shuffled = Data.read(corpus / MAIN, LENGTH, HELD_OUT, PIECE)
    sizes = [Setting.parse(size) for size in SIZES]
    deeper, wider = Setting.parse("2x128"), Setting.parse("1x256")
    plan = [(ordered, size, True) for size in sizes]
    plan += [(shuffled, size, True) for size in sizes]
    for name in KINDS:
        kind = Data.read(corpus / name, SHORT, HELD_OUT, PIECE)
        plan += [(kind, size, False) for size in sizes]
    plan += [(shuffled, replace(size, table_bits=PLAIN), True) for size in sizes]
    plan += [(shuffled, deeper, True)]
    plan += [(ordered, replace(size, experts=True), False) for size in (sizes[0], sizes[-1])]
    plan += [(shuffled, wider, True)]
    plan += [(shuffled, replace(sizes[0], seed=seed), False) for seed in (1, 2)]
    plan += [(shuffled, replace(sizes[-1], window=window), False) for window in (16, 256)]
    plan += [(shuffled, replace(sizes[-1], seed=seed), False) for seed in (1, 2)]
    plan += [(shuffled, replace(size, table_bits=PLAIN), True) for size in (deeper, wider)]
    return plan


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.science", description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("scan/runs"), help="where finished runs are kept")
    parser.add_argument("--draw", action="store_true", help="run nothing, draw what there is")
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="leave out the N runs that come last")
    arguments = parser.parse_args()
    plan = jobs(arguments.corpus)
    done = []
    for data, setting, tasks in plan[: len(plan) - arguments.skip]:
        if arguments.draw and not path(data, setting, arguments.runs, tasks).exists():
            continue
        done.append(laws.Run(run(data, setting, arguments.runs, Session(), tasks)))
        print(f"{data.name} {setting.name}: {done[-1].record['cpu_seconds']} CPU s", file=sys.stderr, flush=True)
    words = ["python", "-m", "benchmarks.science", "CORPUS", *(["--draw"] if arguments.draw else [])]
    write(done, provenance.about(words))


def write(runs: list[laws.Run], about: dict) -> None:
    series = {base: members for base, members in laws.series(runs).items() if len(members) > 2}
    analyses = {base: laws.analyse(members) for base, members in series.items()}
    kinds = [
        [run.cut(SHORT) for run in series[base]] for base in series if base[0].endswith("-shuffled") and base[1] == 17
    ]
    compared = [laws.analyse([run for run in members if run.setting.name.split("-")[0] in SIZES]) for members in kinds]
    runs_ = [
        {"data": one.record["data"], "setting": vars(one.setting), "cpu": one.record["cpu_seconds"]} for one in runs
    ]
    result = {
        **about,
        "runs": runs_,
        "series": [analyses[base] for base in analyses if base[0].startswith(MAIN)],
        "kinds": compared,
        "seeds": laws.corners(runs),
        "contexts": laws.contexts(runs),
        "experts": laws.beside_experts(runs),
        "tables": laws.beside_tables(runs),
        "tasks": [
            {
                "data": one.name,
                "setting": one.setting.name,
                "marginal": {at: one.loss("marginal", at) for at in one.tasks()},
                "scores": one.tasks(),
            }
            for one in runs
            if one.tasks()
        ],
    }
    (RESULTS / "science.json").write_text(json.dumps(laws.plain(result), separators=(",", ":")) + "\n")
    laws.write_csv(runs, RESULTS / "science.csv")
    docs = ROOT / "docs"
    shuffled, ordered, plain = (MAIN + "-shuffled", 17), (MAIN, 17), (MAIN + "-shuffled", PLAIN)
    if shuffled in series:
        charts.over_data(series[shuffled], analyses[shuffled], docs / "science-data", [".svg"])
        charts.over_size(analyses[shuffled], docs / "science-size", [".svg"])
        charts.over_compute(series[shuffled], analyses[shuffled], docs / "science-compute", [".svg"])
        charts.checked(analyses[shuffled], docs / "science-forecasts", [".svg"])
        charts.capability(series[shuffled], "marginal", docs / "science-tasks", [".svg"])
    if ordered in series:
        charts.over_data(series[ordered], analyses[ordered], docs / "science-ordered-data", [".svg"])
    if plain in series:
        charts.over_size(analyses[plain], docs / "science-plain-size", [".svg"])
    charts.exponents(compared, "held-out", docs / "science-kinds", [".svg"])
    if result["tables"] or result["experts"]:
        charts.structure(result["tables"], result["experts"], docs / "science-structure", [".svg"])
    text = "\n\n".join(laws.table(analysis) for analysis in [*result["series"], *compared])
    (RESULTS / "science.md").write_text(f"`{about['command']}`, commit {about['commit']}\n\n```\n{text}\n```\n")
    print(text)


if __name__ == "__main__":
    main()
