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

export OMP_NUM_THREADS=1
# Ratio and speed beside the peers: medians of three runs, one thread; first calls with an empty kernel cache.
"$venv/bin/python" -m benchmarks.run "$corpus"/enwik6 --preset fast --preset default --preset 'default --experts none' \
    --preset 'default --experts none --replay 1' --preset max --repeat 3 --cold --name best

# A second thread, or process.
"$venv/bin/python" -m benchmarks.run "$corpus"/enwik8.4M --preset default --preset 'default -T 2' --peers none \
    --no-plots --name threads
"$venv/bin/python" -m benchmarks.run "$corpus"/dickens --preset 'fast --independent-frames' \
    --preset 'fast --independent-frames -T 2' --peers none --no-plots --name processes

# What a training step costs by width, depth, context and segment; what a byte costs from the first megabyte on.
"$venv/bin/python" -m benchmarks.throughput
texts=("$corpus"/{dickens,enwik8.4M,book1,debian-handbook.ru-RU.html,python-stdlib.3M})
for preset in fast default; do
    "$venv/bin/python" -m benchmarks.scale "${texts[@]}" "${texts[0]}" --preset $preset
done

# Every kind of data, once: the first 250,000 bytes of each file.
mapfile -t names < <(tail -n +2 benchmarks/corpus.tsv | cut -f1)
"$venv/bin/python" -m benchmarks.run "${names[@]/#/$corpus/}" --limit 250000 --preset default --no-plots --name best-kinds
