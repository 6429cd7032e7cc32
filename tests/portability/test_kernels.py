"""What numba made of the kernels: no fast-math, fused or library operations, no signed hashes, few doubles."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from guard import kernel_violations
from numba.core.caching import NullCache

from lmzip.codec.lockstep import Lockstep
from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings

MODULES = ("coder", "exact", "experts", "learner", "lockstep", "mixed", "mixer", "model", "numeric", "symbols")
SMALL = ExpertSettings(slots=1)
GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="module")
def compiled():
    """Every kernel, compiled afresh (cached ones can't be read) by coding and decoding a little."""
    modules = [importlib.import_module(f"lmzip.codec.{name}") for name in MODULES]
    kernels = {name: k for module in modules for name, k in vars(module).items() if hasattr(k, "inspect_llvm")}
    for function in kernels.values():
        function._cache = NullCache()
    header = Header(segment=8, frame_size=4096, replay=1, model=ModelSettings(1, 32, 2, 32, 8, 8), experts=SMALL)
    text = b"the cat sat on the mat and the dog sat on the cat"
    for data in (text, (GOLDEN / "colours").read_bytes()):  # an image: some kernels are compiled when samples are met
        encoding = Lockstep(header).encode(np.frombuffer(data, np.uint8))
        while not encoding.done:
            encoding.advance()
        transcript = np.frombuffer(encoding.finish(), np.uint8)
        decoding = Lockstep(header).decode(transcript, len(data))
        while not decoding.done:
            decoding.advance()
        assert decoding.finish().tobytes() == data
    return {name: function for name, function in kernels.items() if function.signatures}


@pytest.mark.portability
def test_kernels_keep_the_contract(compiled):
    assert len(compiled) >= 20
    assert {"learn_sample", "fit"} <= set(compiled)
    assert {name: lines[:2] for name, function in compiled.items() if (lines := kernel_violations(function))} == {}


@pytest.mark.portability
def test_hashes_wrap_unsigned(compiled):
    """A signed sum or product that overflows is undefined, and did change bits: hashes are uint64.

    Types are looked at, not LLVM's code: its `nsw` marks vanish where (h + 1) * K became h * K + K.
    """
    for name in ("hash_contexts", "_fold"):
        annotations = [result.type_annotation for result in compiled[name].overloads.values()]
        types = {str(t) for a in annotations for variable, t in a.typemap.items() if variable.split(".")[0] == "h"}
        assert types == {"uint64"}, name
