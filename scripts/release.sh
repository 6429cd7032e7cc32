#!/usr/bin/env bash
# Let archives of the present format version open for ever: bash scripts/release.sh
# Keeps the packed codec in src/lmzip/released and copies of the golden archives in tests/golden/format-VERSION; commit both.
# Afterwards a change that alters bits must raise VERSION in src/lmzip/codec/message.py; docs/format.md, section 9, has the steps.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${LMZIP_PYTHON:-${LMZIP_VENV:-.venv}/bin/python}

"$python" -m lmzip.pack --release
folder=tests/golden/format-$("$python" -c 'from lmzip.codec.message import VERSION; print(VERSION)')
mkdir -p "$folder"
for archive in tests/golden/*.lmz; do
    original=${archive%%.*}
    cp "$archive" "$original" "$folder"
done
git status --short
