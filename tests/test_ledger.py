"""The ledger adds up, to the byte."""

from __future__ import annotations

import io
import json
import random
import zipfile

import pytest

import lmzip
from lmzip import pack
from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings
from lmzip.ledger import Ledger, peers
from lmzip.progress import Watch
from lmzip.sender import Sender
from lmzip.session import Session
from lmzip.survey import Survey

KEYS = {"original", "transcript", "nll_bits", "code", "container", "archive", "prior"}
KEYS |= {"code_left_out", "description_length"}
MODEL = ModelSettings(layers=1, width=32, heads=1, hidden=32, window=16, table_bits=10)
EXPERTS = ExpertSettings(slots=16, contexts=0b1111)


def ledger_of(archive: bytes) -> Ledger:
    return Survey(io.BytesIO(archive), session=Session()).ledger()


@pytest.mark.parametrize("code", [True, False])
@pytest.mark.parametrize("independent", [True, False])
def test_it_adds_up(toy_predictor, text, code, independent):
    data = text[:5000] + random.Random(0).randbytes(5000) + bytes(3000)
    archive = lmzip.compress(data, code=code, frame_size=1024, independent_frames=independent)
    ledger = ledger_of(archive)
    assert ledger.original == len(data)
    assert ledger.archive == len(archive) == ledger.transcript + ledger.code + ledger.container
    assert ledger.code + ledger.code_left_out == len(pack.committed("whole"))
    assert ledger.description_length == len(archive) + ledger.code_left_out
    assert ledger.frames == 13


@pytest.mark.parametrize("parts", [{"model": MODEL}, {"experts": EXPERTS}, {"model": MODEL, "experts": EXPERTS}])
def test_the_coder_adds_next_to_nothing(text, parts):
    sink = io.BytesIO()
    header = Header(segment=16, frame_size=4096, **parts)
    sent = Sender(sink, header, b"", Watch(), session=Session()).run(io.BytesIO(text[:10_000]))
    ledger = ledger_of(sink.getvalue())
    assert abs(ledger.transcript - ledger.nll_bits / 8) <= 1e-4 * ledger.transcript + 64 * ledger.frames
    assert (sent.archive, sent.nll, sent.transcript) == (ledger.archive, ledger.nll, ledger.transcript)


def test_the_code_row_does_not_depend_on_the_model():
    sizes = set()
    for layers in (1, 100):
        sink = io.BytesIO()
        header = Header(model=ModelSettings(layers=layers))
        Sender(sink, header, pack.code(header), Watch(), session=Session()).run(io.BytesIO(b""))
        sizes.add(ledger_of(sink.getvalue()).code)
    assert sizes == {len(pack.committed("model"))}


def test_info_shows_what_encode_showed(toy_predictor, run, text, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(text[:2000])
    encoded = run("encode", path, "--frame-size", "512")
    shown = run("info", f"{path}.lmz")
    assert encoded.stderr.splitlines()[:9] == shown.stdout.decode().splitlines()[:9]
    found = json.loads(run("info", f"{path}.lmz", "--json").stdout)
    assert set(found["ledger"]) >= KEYS
    assert found["ledger"]["archive"] == (tmp_path / "x.lmz").stat().st_size
    assert found["code"]["release"] is not None
    assert sum(frame["nll_bits"] for frame in found["frames"]) == found["ledger"]["nll_bits"]
    assert sum(frame["payload"] for frame in found["frames"]) == found["ledger"]["transcript"]
    assert sum(frame["original"] for frame in found["frames"]) == 2000


def test_advice_when_the_code_weighs_much(toy_predictor, run, text, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(text[:2000])
    assert f"--no-code saves its {len(pack.committed('whole')):,} bytes" in run("encode", path).stderr
    assert "--no-code" not in run("encode", path, "--no-code", "-f").stderr


def test_comparison_with_other_compressors(toy_predictor, run, text, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(text[:2000])
    run("encode", path)
    assert set(peers(io.BytesIO(text))) == {"gzip -9", "bzip2 -9", "xz -9e"}
    shown = run("info", f"{path}.lmz", "--compare", path)
    assert shown.status == 0
    assert b"xz -9e" in shown.stdout
    path.write_bytes(text[:1999] + b"!")
    assert run("info", f"{path}.lmz", "--compare", path).status == 1


@pytest.mark.parametrize("kind", pack.LEFT_OUT)
def test_the_packed_code_is_that_of_the_folder(kind):
    assert pack.is_current(kind), "run: python -m lmzip.pack"


def test_archives_carry_the_code_they_need():
    parts = {"model": Header(model=MODEL), "experts": Header(experts=EXPERTS)}
    parts["whole"] = Header(model=MODEL, experts=EXPERTS)
    assert {kind: pack.kind_of(header) for kind, header in parts.items()} == {kind: kind for kind in pack.LEFT_OUT}


@pytest.mark.parametrize(("kind", "most"), [("model", 20_000), ("experts", 20_000), ("whole", 28_000)])
def test_packed_code_is_small_and_plain(kind, most):
    assert len(pack.committed(kind)) <= most
    with zipfile.ZipFile(io.BytesIO(pack.committed(kind))) as file:
        assert [info.filename for info in file.infolist()] == ["__main__.py", "codec.bz2"]
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_stripping_removes_comments_only():
    source = '"""Doc."""\nimport os  # why\n\ndef f():\n    """Only this."""\n\nclass A:\n    """More."""\n'
    source += '    x = "# no"\n'
    assert pack.strip(source) == 'import os\ndef f():\n    pass\nclass A:\n    x = "# no"\n'
