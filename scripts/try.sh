#!/usr/bin/env bash
# Encode and decode a real file and show the ledger: bash scripts/try.sh [FILE] [OPTION of lmzip encode …]
set -euo pipefail
file=$(realpath "${1:-$(dirname "$0")/../samples/tom-sawyer.txt}")
cd "$(dirname "$0")/.."
venv=${LMZIP_VENV:-.venv}
bash scripts/setup.sh "$venv"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lmzip() { "$venv/bin/python" -m lmzip "$@"; }

echo "encoding $(basename "$file"); the first run also compiles the kernels, which takes a minute or so"
lmzip encode "$file" -o "$work/sample.lmz" "${@:2}"
lmzip decode "$work/sample.lmz" -o "$work/decoded"
cmp "$file" "$work/decoded"
lmzip info "$work/sample.lmz" --compare "$file"
echo "decoded file and original are equal, byte for byte"
