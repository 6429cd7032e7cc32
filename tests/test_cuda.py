"""`--device cuda` without a GPU: its own code, on the CPU, behind an `_int_mm` as demanding as the GPU's."""

from __future__ import annotations

import numpy as np
import pretrained_models as made
import pytest
import torch

from lmzip import session
from lmzip.accel import cuda, panels
from lmzip.codec.lockstep import Lockstep
from lmzip.codec.message import Header
from lmzip.codec.product import BACKENDS, self_test
from lmzip.codec.settings import ModelSettings
from lmzip.pretrained import model

TINY = ModelSettings(layers=1, width=32, heads=2, hidden=48, window=16, table_bits=8)
TEXT = np.frombuffer(b"The cat sat on the mat; the dog sat on the cat. " * 9, np.uint8)


@pytest.fixture
def demanding(monkeypatch):
    """What torch documents and cuBLASLt asks of int8 products on a GPU; shapes that were multiplied."""
    real, seen = torch._int_mm, []

    def checked(a, b):
        assert a.dtype == b.dtype == torch.int8
        assert a.shape[0] > 16
        assert a.shape[1] == b.shape[0]
        assert a.shape[1] % 8 == b.shape[1] % 8 == 0
        assert a.is_contiguous() and b.t().is_contiguous()
        seen.append((*a.shape, b.shape[1]))
        return real(a, b)

    monkeypatch.setattr(torch, "_int_mm", checked)
    yield seen
    BACKENDS.pop(cuda.NAME, None)
    session._products.cache_clear()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 9), (16, 8, 8), (17, 128, 384), (32, 513, 256), (100, 33, 1)])
def test_padding_changes_no_product(demanding, shape):
    (m, k, n), random = shape, np.random.default_rng(sum(shape))
    a, b = random.integers(-127, 128, (m, k)), random.integers(-64, 65, (k, n))
    for kind, result in ((np.int8, np.int32), (np.float32, np.float32)):
        out = torch.zeros(m, n, dtype=torch.from_numpy(np.zeros(0, result)).dtype)
        cuda.Multiply("cpu")(torch.from_numpy(a.astype(kind)), torch.from_numpy(b.astype(kind)), out)
        assert np.array_equal(out.numpy(), a @ b)
    assert demanding


def test_the_same_transcript_and_state(demanding):
    header = Header(segment=16, frame_size=512, replay=1, model=TINY)
    results, backend = [], cuda.backend("cpu")
    demanding.clear()
    for products in (backend, "int64"):
        state = Lockstep(header, products=products)
        encoding = state.encode(TEXT[:200])
        while not encoding.done:
            encoding.advance()
        results.append((encoding.finish(), state.digest()))
    assert results[0] == results[1]
    products = ((16, 32, 96), (16, 32, 48), (16, 48, 32), (16, 96, 32))  # forward and backward, rows to be filled up
    assert {(24, k, n) for _, k, n in products} <= set(demanding)


def test_what_computes_wrongly_is_not_used(demanding, monkeypatch, capsys):
    monkeypatch.setattr(cuda.Multiply, "__call__", lambda self, a, b, out: out.copy_((a.double() @ b.double()) + 1))
    assert cuda.backend("cpu") is None
    assert cuda.NAME not in BACKENDS
    assert "not exact" in capsys.readouterr().err


def test_it_says_why_a_device_can_not_be_used(monkeypatch, capsys):
    def lost(self, a, b, out):
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check …")

    monkeypatch.setattr(cuda.Multiply, "__call__", lost)
    assert cuda.backend() is None
    assert capsys.readouterr().err.count("(Found no NVIDIA driver on your system.)") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_goes_on(monkeypatch, run, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(TEXT.tobytes())
    monkeypatch.setattr("lmzip.presets.MODELS", {"none": None, "default": TINY, "max": TINY})
    results = []
    for device in ("cuda", "cpu"):
        done = run("encode", path, "-f", "--experts", "none", "--no-code", "--device", device)
        assert done.status == 0
        assert ("no CUDA here" in done.stderr) == (device == "cuda")
        results.append((tmp_path / "x.lmz").read_bytes())
    assert results[0] == results[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_computes_exactly():
    assert cuda.backend() == cuda.NAME
    assert self_test(cuda.NAME) < float("inf")


def test_a_pretrained_model_gives_the_same_bits(demanding, tmp_path, monkeypatch):
    folder = made.save(tmp_path / "model", "llama")
    on_device = panels.products_of("cpu")
    assert on_device is not None
    monkeypatch.setattr(panels, "products_of", lambda device: on_device)
    pretrained, tokens = model.open_model(folder, 12), np.arange(40, dtype=np.int32)
    results = []
    for device in ("cpu", "cuda"):
        network = pretrained.network(device)
        results.append(network.logits([(network.window(), tokens, 0)])[0])
    assert np.array_equal(*results) and demanding


def test_products_that_differ_are_not_used(demanding, monkeypatch, capsys):
    right = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: right(a, b) + 1)
    assert panels.products_of("cpu") is None
    assert "not exact" in capsys.readouterr().err
