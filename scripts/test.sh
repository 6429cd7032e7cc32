#!/usr/bin/env bash
# Install everything the tests need and run them: bash scripts/test.sh [OPTION of pytest …]
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${LMZIP_VENV:-.venv}
bash scripts/setup.sh "$venv" test,lab
"$venv/bin/python" -m pytest "$@"
