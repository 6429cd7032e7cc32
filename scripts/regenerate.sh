#!/usr/bin/env bash
# Write everything anew that pins the codec's bits, after a change that is meant to alter them: bash scripts/regenerate.sh
set -euo pipefail
cd "$(dirname "$0")/.."
python=${LMZIP_PYTHON:-${LMZIP_VENV:-.venv}/bin/python}

"$python" -m lmzip.pack              # the codec that archives carry
"$python" tests/attacks/make.py      # hostile archives
"$python" tests/golden/make.py       # golden archives
"$python" tests/portability/test_matrix.py # digests of the numeric matrix
"$python" tests/portability/test_pretrained_models.py # digests of archives by a GGUF file
git status --short
