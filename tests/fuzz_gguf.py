"""Throw damaged GGUF files at what reads them: `python tests/fuzz_gguf.py 20000 [SEED]`.

Each case takes one of several small sound files and changes it once or a few times: bits, whole numbers, lengths,
pieces cut out, doubled or taken from another file. It must be read, or refused with PriorError.
"""

from __future__ import annotations

import random
import struct
import sys
import tempfile
import tracemalloc
from collections import Counter
from pathlib import Path

import gguf_models
import pretrained_models as made

from lmzip.errors import PriorError
from lmzip.pretrained import gguf

MEMORY = 1 << 23  # bytes that reading a file of 200 kB may take
KINDS = (
    ("llama", "Q4_1", "byte level"), ("llama", "F16", "sentencepiece"), ("gpt2", "Q8_0", "byte level"),
    ("gemma3_text", "Q5_0", "sentencepiece"), ("qwen3", "BF16", "byte level"), ("gpt_neox", "Q5_1", "byte level"),
    ("phi3", "Q4_0", "byte level"), ("olmo2", "F32", "byte level"),
)  # fmt: skip
EXTREMES = (
    0,
    1,
    2,
    31,
    255,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)


def sound_files(folder: Path) -> list[tuple[bytes, int]]:
    """Small sound files, and where their data begins."""
    files = []
    for number, (family, kind, tokenizer) in enumerate(KINDS):
        options = {"num_hidden_layers": 1}
        path = gguf_models.save(folder / f"{number}.gguf", made.model(family, **options), kind, tokenizer)
        gguf_models.everything(path)
        files.append((path.read_bytes(), min(tensor.start for tensor in gguf.read(path).tensors.values())))
    return files


def mutated(choose: random.Random, files: list[tuple[bytes, int]]) -> bytes:
    """One of the files, changed, mostly in its header."""
    content, header = choose.choice(files)
    result = bytearray(content)
    for _ in range(choose.choice((1, 1, 1, 2, 5))):
        end = header if choose.random() < 0.9 else len(result)
        at = choose.randrange(min(end, 2000 if choose.random() < 0.5 else end, len(result) or 1))
        kind = choose.randrange(8)
        if kind == 0 and result:
            result[at % len(result)] ^= 1 << choose.randrange(8)
        elif kind == 1:
            result[at : at + 1] = choose.randbytes(1)
        elif kind == 2:
            result[at : at + 8] = struct.pack("<Q", choose.choice(EXTREMES))
        elif kind == 3:
            result[at : at + 4] = struct.pack("<I", choose.choice(EXTREMES) & 0xFFFFFFFF)
        elif kind == 4:
            del result[at : at + choose.choice((1, 4, 8, 100))]
        elif kind == 5:
            result[at:at] = result[at : at + choose.choice((1, 4, 8, 100))]
        elif kind == 6:
            other, _ = choose.choice(files)
            length = choose.choice((4, 8, 64, 1000))
            result[at : at + length] = other[at : at + length]
        else:
            del result[len(result) - choose.randrange(len(result) // 2 + 1) :]
    return bytes(result)


def campaign(folder: Path, count: int, first: int = 0) -> Counter[str]:
    """How many files were read and refused, and the most bytes that one took."""
    files, outcomes, path = sound_files(folder), Counter[str](), folder / "mutated.gguf"
    tracemalloc.start()
    try:
        for seed in range(first, first + count):
            path.write_bytes(mutated(random.Random(seed), files))
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                gguf_models.everything(path)
                outcomes["read"] += 1
            except PriorError:
                outcomes["refused"] += 1
            except BaseException:
                print(f"seed {seed}", file=sys.stderr)
                raise
            outcomes["most bytes"] = max(outcomes["most bytes"], tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    return outcomes


def main() -> None:
    """The campaign that the command line asks for."""
    with tempfile.TemporaryDirectory() as folder:
        print(dict(campaign(Path(folder), int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))


if __name__ == "__main__":
    main()
