#!/usr/bin/env bash
# Kinds of data beside prose: `fast` anew against the peers' sizes in results/: bash benchmarks/kinds.sh CORPUS [--encode-only]
set -euo pipefail
corpus=$(cd "${1:?usage: bash benchmarks/kinds.sh CORPUS}" && pwd)
cd "$(dirname "$0")/.."
python=${LMZIP_VENV:-.venv}/bin/python
results=benchmarks/results
names=(E.coli.1M kennedy.xls kodim23.ppm pcm.wav libc.so.6 nginxplus_json_logs UnicodeData-15.txt
    debian-handbook.ru-RU.html python-stdlib.3M silesia-xml.zip)
"$python" -m benchmarks.run "${names[@]/#/$corpus/}" --preset fast --peers none --no-plots --name kinds "${@:2}"
"$python" -m benchmarks.report --sizes $results/{kinds,peers,peers-zpaq,peers-ppmd}.json | tee $results/kinds.md
