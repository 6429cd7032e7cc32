#!/usr/bin/env bash
# tokenizers 0.23.3 (PyPI): a byte-level BPE whose vocabulary lacks a byte drops that byte from the text, silently.
#
# Surprising: byte-level vocabularies are taken to be complete, so no unknown token is set; then encode gives no token, no
# error and no warning for a byte that has none, and offsets jump over it. SmolLM2's published vocabulary (49,152 tokens)
# lacks 21 of the 256 bytes, six of them control characters that do stand in files: decode(encode(text)) is shorter.
# Why it matters: who builds a lossless tool on such a tokenizer, or counts bits per byte with it, loses data without
# notice; and the lost bytes cost nothing, so that the figures look better.
#
# Exits 0 while the behaviour is as told, 1 when the byte comes back or is refused.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check tokenizers==0.23.3
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

print("tokenizers", importlib.metadata.version("tokenizers"))
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
missing = "Ą"  # the letter of byte 4
tokenizer = Tokenizer(models.BPE({letter: n for n, letter in enumerate(letters) if letter != missing}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
text = "one\x04two"
coded = tokenizer.encode(text)
back = tokenizer.decode(coded.ids)
print(f"{text!r} becomes {coded.tokens} at {coded.offsets}, and that {back!r}")
print("as told" if back == "onetwo" else "CHANGED: the byte is not dropped")
sys.exit(back != "onetwo")
PYTHON
