"""The tables of the benchmarks say what the raw figures do."""

from __future__ import annotations

import pytest

from benchmarks import ablate, report, run


def test_every_context_has_a_name():
    from lmzip.codec.experts import CONTEXTS

    assert len(ablate.NAMES) == len(set(ablate.NAMES)) == CONTEXTS


def test_worth_is_what_the_code_length_gains(monkeypatch):
    from lmzip import presets

    fast = presets.header("fast").experts.contexts

    def lengths(header, data):
        if header.model:
            return {"mix": 880, "experts": 990, "model": 1200}
        missing, more = fast & ~header.experts.contexts, header.experts.contexts & ~fast
        return {"mix": 1000 + 10 * missing.bit_count() - 2 * more.bit_count()}

    monkeypatch.setattr(ablate, "code_lengths", lengths)
    result = ablate.ablate(b"x" * 5000, lambda line: None)
    assert {one["worth"] for one in result["contexts"].values() if one["used"]} == {10}
    assert {one["worth"] for one in result["contexts"].values() if not one["used"]} <= {2}
    text = ablate.table([result])
    assert "| 0 order 1 | yes | +1.000 % |" in text
    assert "| what the model saves | | 12.00 % |" in text


def test_the_parts_of_a_predictor_are_read_from_the_ledger():
    from lmzip.ledger import Ledger

    shares = {"mix": 7200 << 20, "experts": 8000 << 20, "model": 9608 << 20}
    ledger = Ledger(5000, 900, 7200 << 20, 0, 77, shares=shares)
    assert run._alone(ledger.table()) == {"experts": 1000, "model": 1201}
    assert run._alone(Ledger(5000, 900, 7200 << 20, 0, 77).table()) == {}


def result(digest: str, **sizes: int) -> dict:
    runs = [{"file": "a", "compressor": name, "bytes": size} for name, size in sizes.items()]
    for one in runs:
        if one["compressor"].startswith("lmzip"):
            one["ledger"] = {"transcript": one["bytes"] - 20}
    return {"files": {"a": {"sha256": digest}}, "runs": runs}


def test_sizes_of_several_results_are_one_table():
    text = report.sizes([result("d", lmzip=920), result("d", xz=1200, zpaq=1000), result("d", bzip2=1100)])
    assert text.splitlines()[0] == "| file | lmzip | xz | zpaq | bzip2 | below the best peer |"
    assert text.splitlines()[2] == "| a | 900 | 1,200 | 1,000 | 1,100 | 10.0 % |"
    with pytest.raises(ValueError, match="not the same file"):
        report.sizes([result("d", xz=1), result("e", xz=1)])
