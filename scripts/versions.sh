#!/usr/bin/env bash
# Decode the golden archives with the oldest and the newest supported versions: bash scripts/versions.sh [FOLDER] [PATTERN …]
#   FOLDER   where the virtual environments go; default build/versions; kept for the next run
#   PATTERN  which archives, as 'short.*'; default all
# A row whose torch can't be had decodes the archives of experts alone; one whose Python isn't here is left out. Both are
# said. Without the CPU index torch comes with CUDA's libraries, 3 to 5 GB a row.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-build/versions}")
patterns=("${@:2}")
mkdir -p "$folder"

rows=(
    "3.10 numpy==1.26.0 numba==0.59.0 torch==2.4.1" # the oldest of each
    "3.11 numpy numba torch==2.13.0"
    "3.12 numpy==2.0.0 numba==0.60.0 torch==2.6.0"
    "3.13 numpy numba torch" # the newest of each
)
cpu_index=https://download.pytorch.org/whl/cpu
index=()
if curl -sfo /dev/null --max-time 20 "$cpu_index/torch/"; then index=(--index-url "$cpu_index"); fi

find_python() {
    for candidate in "$(command -v "python$1")" "$HOME/.pyenv/versions/$1".*/bin/python; do
        if "$candidate" -c 'import venv' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

passed=0
for row in "${rows[@]}"; do
    read -ra words <<<"$row"
    python=$(find_python "${words[0]}")
    if [ -z "$python" ]; then
        echo "== $row: no such Python here"
        continue
    fi
    echo "== $row"
    venv=$folder/${row//[ =.]/-}
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    install=("$venv/bin/python" -m pip install -q --disable-pip-version-check --prefer-binary)
    "$venv/bin/python" -c 'import numba' 2>/dev/null || "${install[@]}" "${words[@]:1:2}"
    chosen=("${patterns[@]}")
    if ! "$venv/bin/python" -c 'import torch' 2>/dev/null && ! "${install[@]}" "${words[3]}" "${index[@]}"; then
        echo "== $row: no torch to be had, so only the archives of experts alone"
        chosen=('*.fast' '*.independent' '*.continued')
    fi
    PYTHONPATH=src XDG_CACHE_HOME=$folder/cache "$venv/bin/python" tests/golden/check.py "${chosen[@]}" >"$venv/log"
    tail -1 "$venv/log"
    passed=$((passed + 1))
done
echo "== $passed of ${#rows[@]} rows decoded the golden archives"
