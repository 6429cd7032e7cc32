"""The suite notices what it is there for: each mutation breaks the contract in one place, in a copy of the sources.

Every test first states what must fail and how. They compile the whole codec anew, hence the slow marker.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lmzip

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden.json").read_text())

SATURATES = """
import torch
a = torch.full((32, 64), 127, dtype=torch.int8)
print(int(torch._int_mm(a, a.t())[0, 0]) != 127 * 127 * 64)
"""


@pytest.fixture
def mutated(tmp_path):
    """Changes a copy of the package; runs commands with it, which share a cache of kernels."""
    shutil.copytree(Path(lmzip.__file__).parent, tmp_path / "lmzip", ignore=shutil.ignore_patterns("__pycache__"))

    def change(name, old, new):
        path = tmp_path / "lmzip" / "codec" / name
        source = path.read_text("utf-8")
        assert source.count(old) == 1, f"the line to change is not there, or not alone: {old}"
        path.write_text(source.replace(old, new), "utf-8")

    def run(*arguments, **environment):
        inherited = os.environ | {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [sys.executable, *map(str, arguments)]
        return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)

    run.change = change
    return run


def cell(run, *cases, **environment):
    done = run(HERE / "cell.py", "1", "ieee", *cases, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def kernels(run, test):
    """The outcome of a test of the kernels on the changed sources."""
    options = ("-q", "-p", "no:cacheprovider", "-m", "portability", "-k", test)
    return run("-m", "pytest", *options, HERE / "test_kernels.py")


@pytest.mark.slow
def test_second_operands_of_full_range_fail_the_self_test_and_the_matrix(mutated):
    capped = {"ONEDNN_MAX_CPU_ISA": "AVX2", "LMZIP_PRODUCTS": "int8"}
    if mutated("-c", SATURATES, **capped).stdout.strip() != "True":
        pytest.skip("int8 products do not saturate here, whatever oneDNN is allowed")
    mutated.change("exact.py", "FIRST, SECOND = f4(127), f4(64)", "FIRST, SECOND = f4(127), f4(127)")
    refused = mutated(HERE / "cell.py", "1", "ieee", "streams", **capped)
    assert "no exact matrix product" in refused.stderr
    mutated.change("product.py", "{name: self_test(name) for name in", "{name: 0.0 for name in")
    done = mutated(HERE / "cell.py", "1", "ieee", "streams", **capped)
    assert "the two ends differ" in done.stderr


@pytest.mark.slow
def test_a_library_softmax_in_a_kernel_is_found(mutated):
    mutated.change(
        "exact.py",
        "e[n] = table[np.uint32(steps & _INDEX)] >> (steps >> _12)",
        "e[n] = i4(np.exp(x[n] - most) * f4(16777216))",
    )
    done = kernels(mutated, "test_kernels_keep_the_contract")
    assert done.returncode == 1
    assert "llvm.exp" in done.stdout or "expf" in done.stdout


@pytest.mark.slow
def test_one_fused_multiply_add_is_found_in_the_kernel_and_changes_the_pinned_bits(mutated):
    mutated.change(
        "model.py",
        "y[k] = here[k] + mix[k] * before[k]",
        "y[k] = fused(mix[k], before[k], here[k])",
    )
    mutated.change(
        "exact.py",
        "@inline\ndef round_even(x):",
        """@intrinsic
def fused(typing, x, y, z):
    def generate(_, builder, __, args):
        return builder.fma(*args)

    return types.float32(types.float32, types.float32, types.float32), generate


@inline
def round_even(x):""",
    )
    mutated.change("model.py", "    exponentials,\n", "    exponentials,\n    fused,\n")
    assert cell(mutated, "model")["model"] != GOLDEN["model"]
    done = kernels(mutated, "test_kernels_keep_the_contract")
    assert done.returncode == 1
    assert "llvm.fma" in done.stdout


@pytest.mark.slow
def test_one_fused_multiply_add_in_double_precision_is_found_too(mutated):
    mutated.change(
        "numeric.py",
        "system[i, j] = system[i, j] * decay + (xi * x[j] + 0.0625)",
        "system[i, j] = fused(system[i, j], decay, xi * x[j] + 0.0625)",
    )
    mutated.change(
        "numeric.py",
        "@heapless\ndef fit(",
        """@intrinsic
def fused(typing, x, y, z):
    def generate(_, builder, __, args):
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), generate


@heapless
def fit(""",
    )
    imports = "import numpy as np\nfrom numba import types\nfrom numba.extending import intrinsic\n"
    mutated.change("numeric.py", "import numpy as np\n", imports)
    assert cell(mutated, "samples")["samples"] != GOLDEN["samples"]
    done = kernels(mutated, "test_kernels_keep_the_contract")
    assert done.returncode == 1
    assert "llvm.fma" in done.stdout


@pytest.mark.slow
def test_a_signed_hash_that_overflows_is_found(mutated):
    mutated.change("model.py", "h = np.uint64(0)\n", "h = np.int64(0)\n")
    mutated.change(
        "model.py",
        "h = (h + np.uint64(byte) + _ONE64) * _HASH",
        "h = (h + np.int64(byte) + np.int64(1)) * np.int64(_HASH)",
    )
    mutated.change("model.py", "i4((h * _INDEX_HASH) >> shift)", "i4((np.uint64(h) * _INDEX_HASH) >> shift)")
    done = kernels(mutated, "test_hashes_wrap_unsigned")
    assert done.returncode == 1
    assert "{'int64'}" in done.stdout
