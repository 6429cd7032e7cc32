#!/usr/bin/env bash
# zpaq 0.3.7 (PyPI): the same bytes compress to different sizes on different machines.
#
# Surprising: zpaq.compress(data) cuts its input into as many independent blocks as there are processors (down to
# 64 KB each). The package's documentation puts the cost at "0.5-3 percentage points" of the input; of the archive,
# this text of 600,000 bytes becomes 10 % larger with 2 threads, 26 % with 4 and 47 % with 8.
# Why it matters: two machines write different archives of the same input, so digests of archives, caches keyed by
# them and tests of exact sizes break; and a benchmark that calls the binding by its defaults understates zpaq, the more
# the more processors it runs on. Who wants one answer passes threads=1.
#
# Exits 0 while the behaviour is as told, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check zpaq==0.3.7
"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import importlib.metadata
import os
import sys

import zpaq


def text(length: int) -> bytes:
    """Words by Zipf's law, each half chosen by the word before: the same bytes on every machine."""
    stream = iter(hashlib.shake_128(b"zpaq").digest(4 * length))
    letters = b"etaoinshrdlucmfwypvbgk"
    words = [bytes(letters[next(stream) * next(stream) // 3000] for _ in range(2 + next(stream) % 8)) for _ in range(4096)]
    out, last = bytearray(), 0
    while len(out) < length:
        rank = (next(stream) * next(stream) * next(stream)) >> 12
        last = (last * 31 + rank % 8) % 4096 if next(stream) < 160 else rank % 4096
        out += words[last] + b" "
    return bytes(out[:length])


data = text(600_000)
print("zpaq", importlib.metadata.version("zpaq"), "on", len(os.sched_getaffinity(0)), "processors")
print("input:", len(data), "bytes, sha256", hashlib.sha256(data).hexdigest()[:16])
sizes = {threads: len(zpaq.compress(data, threads=threads)) for threads in (1, 2, 4, 8)}
for threads, size in sizes.items():
    print(f"threads={threads}: {size:,} bytes ({100 * size / sizes[1] - 100:+.1f} %)")
plain = zpaq.compress(data)
print(f"by default: {len(plain):,} bytes")
assert zpaq.decompress(plain) == data
blocks = min(len(os.sched_getaffinity(0)), len(data) // 65536)
same = sizes[1] < sizes[2] < sizes[4] < sizes[8] and sizes[8] > 1.05 * sizes[1]
same = same and len(plain) == len(zpaq.compress(data, threads=blocks))
print("as told" if same else "CHANGED: sizes no longer depend on the number of threads as told")
sys.exit(not same)
PYTHON
