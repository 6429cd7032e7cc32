"""The numeric matrix: the same archive and state, whatever library, processor or thread count computes them.

Every cell is a process of its own with other settings; all must print the digests in golden.json, which also pins them
over time. When a change alters bits on purpose: `bash scripts/regenerate.sh`, and say so in the log.
"""

import hashlib
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GOLDEN = HERE / "golden.json"

# Settings of libraries that stand in for other processors; "-" leaves one as it is. Products through float32 go to MKL,
# through int8 to oneDNN, through int64 to ATen; "cuda" is the code for a GPU, run on the processor.
# Threads are torch's, as 2, or 2+1 with the sender's second one, which codes with the experts.
THREADS = (1, 2, 4, 8)
PRODUCTS = ("int8", "float32", "int64")
ATEN = ("default", "avx2", "avx512")
ONEDNN = ("SSE41", "AVX", "AVX2", "AVX512_CORE", "AVX512_CORE_VNNI")
MKL = ("COMPATIBLE", "AVX2", "AVX512")
NUMBA = {
    "unoptimised": {"NUMBA_OPT": "0"},
    "little optimised": {"NUMBA_OPT": "1"},
    "any processor": {"NUMBA_CPU_NAME": "generic"},
    "AVX2 processor": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"},
    "no SVML": {"NUMBA_DISABLE_INTEL_SVML": "1"},
    "bounds checks": {"NUMBA_BOUNDSCHECK": "1"},
    "no vectors": {"NUMBA_LOOP_VECTORIZE": "0", "NUMBA_SLP_VECTORIZE": "0"},
}


def cell(threads=1, products="-", aten="-", onednn="-", mkl="-", flush="ieee", numba="-"):
    """Name, environment and arguments of one cell."""
    libraries = {
        "LMZIP_PRODUCTS": products,
        "ATEN_CPU_CAPABILITY": aten,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "MKL_CBWR": mkl,
    }
    environment = {name: value for name, value in libraries.items() if value != "-"} | NUMBA.get(numba, {})
    words = [f"threads {threads}", *(f"{name} {value}" for name, value in environment.items())]
    return ", ".join(words + [flush] * (flush != "ieee")), environment, [str(threads), flush]


QUICK = [
    *(cell(threads) for threads in (1, 2, 4)),
    *(cell(products=products) for products in PRODUCTS),
    cell(aten="default"),
    cell(aten="avx2", threads=2),
    cell(onednn="AVX2", products="int8"),
    cell(onednn="AVX512_CORE", products="int8"),
    cell(mkl="COMPATIBLE", products="float32", threads=2),
    cell("1+1"),
    cell(flush="both"),
    cell(numba="little optimised"),
    cell(numba="any processor"),
]
SLOW = [
    cell(8),
    *(cell(threads, products) for threads, products in product((2, 4, 8), PRODUCTS)),
    *(cell(threads, aten=aten, products=products)
      for threads, aten, products in product((1, 2), ATEN, ("float32", "int64"))),
    *(cell(threads, onednn=onednn, products="int8") for threads, onednn in product((1, 2), ONEDNN)),
    *(cell(onednn=onednn) for onednn in ONEDNN),
    *(cell(threads, mkl=mkl, products="float32") for threads, mkl in product((1, 2), MKL)),
    *(cell(2, products, flush=flush) for products, flush in product(PRODUCTS, ("ftz", "daz", "both"))),
    *(cell(numba=numba) for numba in NUMBA),
    *(cell(2, numba="any processor", products=products, flush="both", aten="default", onednn="SSE41", mkl="COMPATIBLE")
      for products in PRODUCTS),
    *(cell(4, numba="little optimised", products=products, aten="avx2", onednn="AVX2", mkl="AVX2")
      for products in PRODUCTS),
    *(cell("1+1", products, flush="both") for products in (*PRODUCTS, "cuda")),
    *(cell(threads, numba="any processor") for threads in ("1+1", "2+1")),
    *(cell(threads, "cuda", flush=flush) for threads, flush in ((1, "ieee"), (2, "ieee"), (2, "both"))),
    *(cell(8, products, aten="avx512", onednn="AVX512_CORE", mkl="AVX512", flush="both") for products in PRODUCTS),
]  # fmt: skip
FEW = [  # for what is no case of cell.py
    cell(2),
    cell(4, "float32", mkl="COMPATIBLE"),
    cell(products="int64", aten="default"),
    cell(2, "int8", onednn="AVX2"),
    cell(products="float32", aten="avx2", flush="both"),
    cell(numba="any processor"),
    cell(2, numba="little optimised", products="int64", flush="ftz"),
]
QUICK = {name: settings for name, *settings in QUICK}
SLOW = {name: settings for name, *settings in SLOW if name not in QUICK}
FEW = {name: settings for name, *settings in FEW}


def digests(environment, arguments, caches, script="cell.py"):
    """What a cell prints. Kernels compiled under other settings must not be shared: each setting has a cache."""
    compiler = {name: value for name, value in environment.items() if name.startswith("NUMBA_")}
    if compiler:
        name = hashlib.sha256(repr(sorted(compiler.items())).encode()).hexdigest()[:16]
        environment = environment | {"XDG_CACHE_HOME": str(caches / name)}
    environment = environment | {"OMP_WAIT_POLICY": "PASSIVE"}  # threads beyond the processors must not spin
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def caches(tmp_path_factory):
    return tmp_path_factory.mktemp("caches")


@pytest.mark.portability
@pytest.mark.parametrize(("environment", "arguments"), QUICK.values(), ids=QUICK)
def test_every_setting_gives_the_same_bits(environment, arguments, caches):
    assert digests(environment, arguments, caches) == json.loads(GOLDEN.read_text())


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "arguments"), SLOW.values(), ids=SLOW)
def test_rarer_settings_give_the_same_bits(environment, arguments, caches):
    assert digests(environment, arguments, caches) == json.loads(GOLDEN.read_text())


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(digests({}, ["1", "ieee"], HERE), indent=1) + "\n")
