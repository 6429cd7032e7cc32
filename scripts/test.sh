#!/usr/bin/env bash
# Install everything the tests need and run them: bash scripts/test.sh [OPTION of pytest …]
# Some five minutes of one core, twice that the first time, when the kernels are compiled. `-n auto` takes all cores and
# fewer minutes, but more of their time in all: every worker loads torch and the kernels for itself.
# Other tiers: -m "slow and not long", -m slow, -m portability.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${LMZIP_VENV:-.venv}
bash scripts/setup.sh "$venv" test,lab
"$venv/bin/python" -m pytest "$@"
