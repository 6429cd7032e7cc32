#!/usr/bin/env bash
# Decode the golden archives with the oldest and the newest supported versions: bash scripts/versions.sh [FOLDER]
#   FOLDER  where the virtual environments go; default build/versions; kept for the next run
# Every row whose Python and packages can be had is tried; rows without torch decode the archives of experts alone.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/versions}
mkdir -p "$folder"

rows=(
    "3.10 numpy==1.26.0 numba==0.59.0"
    "3.10 numpy==1.26.0 numba==0.59.0 torch==2.4.1+cpu"
    "3.11 numpy==2.0.0 numba==0.60.0 torch==2.4.1+cpu"
    "3.11 numpy numba torch==2.13.0+cpu"
    "3.12 numpy==2.0.0 numba==0.60.0"
    "3.13 numpy numba"
)
cpu_index=https://download.pytorch.org/whl/cpu
passed=0
for row in "${rows[@]}"; do
    read -ra words <<<"$row"
    version=${words[0]} packages=("${words[@]:1}")
    base=$(command -v "python$version" || compgen -G "$HOME/.pyenv/versions/$version.*/bin/python" || true)
    if [ -z "$base" ]; then
        echo "== $row: no such Python here"
        continue
    fi
    echo "== $row"
    venv=$folder/${row//[ =.]/-}
    "${base%%$'\n'*}" -m venv "$venv"
    if ! "$venv/bin/pip" install -q --extra-index-url "$cpu_index" --prefer-binary "${packages[@]}"; then
        echo "== $row: can't be installed here"
        continue
    fi
    patterns=('*')
    [[ $row == *torch* ]] || patterns=('*.fast' '*.independent' '*.continued')
    PYTHONPATH=src XDG_CACHE_HOME=$folder/cache "$venv/bin/python" tests/golden/check.py "${patterns[@]}" | tail -1
    passed=$((passed + 1))
done
echo "== $passed of ${#rows[@]} rows decoded the golden archives"
