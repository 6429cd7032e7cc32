#!/usr/bin/env bash
# The one recipe behind the figures in the README: bash benchmarks/best.sh CORPUS
# CORPUS is a folder with the files that corpus.tsv names (its `source` column says where they come from).
# Takes an hour or two on two cores; nothing else should run meanwhile.
set -euo pipefail
corpus=$(cd "${1:?usage: bash benchmarks/best.sh CORPUS}" && pwd)
cd "$(dirname "$0")/.."
venv=${LMZIP_VENV:-.venv}
bash scripts/setup.sh "$venv" bench

tail -n +2 benchmarks/corpus.tsv | (cd "$corpus" && while IFS=$'\t' read -r name _ digest _; do
    echo "$digest  $name"
done | sha256sum --quiet -c -)

# Ratio and speed: three texts, medians of three runs, one thread.
"$venv/bin/python" -m benchmarks.run "$corpus"/{enwik6,alice29.txt,book1} \
    --preset default --preset 'default --experts none' --preset 'default --experts none --replay 0' \
    --repeat 3 --cold --name best

# Every kind of data, once: the first 250,000 bytes of each file.
mapfile -t names < <(tail -n +2 benchmarks/corpus.tsv | cut -f1)
"$venv/bin/python" -m benchmarks.run "${names[@]/#/$corpus/}" --limit 250000 --preset default --no-plots --name best-kinds
