"""The numeric matrix: the same archive and state, whatever library, processor or thread count computes them.

Every cell is a process of its own with other settings; all must print the digests in golden.json, which also pins them
over time. When a change alters bits on purpose: `python tests/portability/test_matrix.py`, and say so in the log.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GOLDEN = HERE / "golden.json"

QUICK = {
    "threads 1": ({}, ["1"]),
    "threads 2": ({}, ["2"]),
    "threads 4": ({}, ["4"]),
    "ATen without vectors": ({"ATEN_CPU_CAPABILITY": "default"}, ["1"]),
    "ATen AVX2": ({"ATEN_CPU_CAPABILITY": "avx2"}, ["2"]),
    "oneDNN AVX2": ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, ["1"]),
    "oneDNN AVX-512": ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, ["1"]),
    "MKL compatible": ({"MKL_CBWR": "COMPATIBLE"}, ["2"]),
    "products float32": ({"LMZIP_PRODUCTS": "float32"}, ["1"]),
    "products int8": ({"LMZIP_PRODUCTS": "int8"}, ["2"]),
    "products int64": ({"LMZIP_PRODUCTS": "int64"}, ["1"]),
    "flush to zero": ({}, ["1", "flush"]),
    "numba, little optimised": ({"NUMBA_OPT": "1"}, ["1"]),
    "numba, any processor": ({"NUMBA_CPU_NAME": "generic"}, ["1"]),
}
SLOW = {
    "threads 8": ({}, ["8"]),
    "oneDNN SSE4.1": ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, ["1"]),
    "oneDNN AVX": ({"ONEDNN_MAX_CPU_ISA": "AVX"}, ["1"]),
    "oneDNN SSE4.1, int8": ({"ONEDNN_MAX_CPU_ISA": "SSE41", "LMZIP_PRODUCTS": "int8"}, ["1"]),
    "oneDNN AVX2, int8": ({"ONEDNN_MAX_CPU_ISA": "AVX2", "LMZIP_PRODUCTS": "int8"}, ["1"]),
    "MKL AVX2": ({"MKL_CBWR": "AVX2"}, ["2"]),
    "numba bounds checks": ({"NUMBA_BOUNDSCHECK": "1"}, ["1"]),
    "numba without SVML": ({"NUMBA_DISABLE_INTEL_SVML": "1"}, ["1"]),
    "numba, unoptimised": ({"NUMBA_OPT": "0"}, ["1"]),
}


def digests(environment, arguments, folder):
    """What a cell prints. Kernels compiled under other settings must not be shared, so these have a cache each."""
    inherited = dict(os.environ)
    if any(name.startswith("NUMBA_") for name in environment):
        inherited |= {"XDG_CACHE_HOME": str(folder)}
    environment = inherited | environment
    done = subprocess.run(
        [sys.executable, str(HERE / "cell.py"), *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.portability
@pytest.mark.parametrize(("environment", "arguments"), QUICK.values(), ids=QUICK)
def test_every_setting_gives_the_same_bits(environment, arguments, tmp_path):
    assert digests(environment, arguments, tmp_path) == json.loads(GOLDEN.read_text())


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "arguments"), SLOW.values(), ids=SLOW)
def test_rarer_settings_give_the_same_bits(environment, arguments, tmp_path):
    assert digests(environment, arguments, tmp_path) == json.loads(GOLDEN.read_text())


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(digests({}, ["1"], "unused"), indent=1) + "\n")
