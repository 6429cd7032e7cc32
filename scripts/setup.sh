#!/usr/bin/env bash
# Make a virtual environment that can run lmzip: bash scripts/setup.sh [VENV] [EXTRAS]
#   VENV    folder, default .venv in the repository (an existing one is kept and completed)
#   EXTRAS  optional dependencies, for instance test or test,bench
# Without an NVIDIA driver torch comes as its CPU build (some 200 MB to download), not the CUDA one (gigabytes).
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
extras=${2:-}
cpu_index=https://download.pytorch.org/whl/cpu
torch_range='torch>=2.4.1,<3' # as in pyproject.toml

if [ ! -x "$venv/bin/python" ]; then
    echo "creating $venv"
    "${PYTHON:-python3}" -m venv "$venv"
fi
python=$venv/bin/python
install=("$python" -m pip install --quiet --quiet --no-input --disable-pip-version-check)

reachable() {
    "$python" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=10)' "$1" >/dev/null 2>&1
}

if "$python" -c 'import torch' >/dev/null 2>&1; then
    : # whatever torch is there is kept, if it is in the range
elif nvidia-smi >/dev/null 2>&1; then
    echo "installing torch with CUDA"
    "${install[@]}" "$torch_range"
elif reachable "$cpu_index/torch/"; then
    echo "installing torch, CPU build"
    "${install[@]}" --index-url "$cpu_index" "$torch_range"
else
    # A mirror or a folder of wheels may still hold a CPU build; one fixed release keeps the choice small.
    echo "$cpu_index cannot be reached; installing torch 2.13.0 from where pip looks"
    "${install[@]}" torch==2.13.0
fi

echo "installing lmzip${extras:+ with extras $extras}"
"${install[@]}" -e ".${extras:+[$extras]}"
"$python" -c 'import torch; print(f"ready: torch {torch.__version__}")'
