#!/usr/bin/env bash
# Does a GPU compute the CPU's bits, and how fast? bash benchmarks/gpu.sh [--name NAME]
#   NAME: of benchmarks/results/gpu-NAME.{md,json}; default: the card's, or cpu where there is none
# Takes less than eight minutes, in which it is ended; what it has measured by then is written. $LMZIP_PYTHON, if it is
# set, is taken as it is; else scripts/setup.sh makes the environment.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${LMZIP_PYTHON:-}" ]; then
    venv=${LMZIP_VENV:-.venv}
    bash scripts/setup.sh "$venv"
    LMZIP_PYTHON=$venv/bin/python
fi
export OMP_NUM_THREADS=1
timeout 470 "$LMZIP_PYTHON" -m benchmarks.gpu "$@"
