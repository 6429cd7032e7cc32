"""The tables of the benchmarks say what the raw figures do."""

from __future__ import annotations

import lzma
import sys
import types

import pytest

from benchmarks import ablate, peers, report, run


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


def test_of_several_settings_each_file_has_its_best():
    def sized(name: str, **runs: int) -> dict:
        runs = [{"file": name, "compressor": compressor, "bytes": size} for compressor, size in runs.items()]
        return {"files": {name: {"sha256": name}}, "runs": runs}

    one = sized("a", **{"xz -9e": 1200, "xz -9e pb=0": 1100, "zpaq -m5": 1000})
    two = sized("b", **{"xz -9e": 700, "xz -9e pb=0": 710, "xz -9e x86": 701})
    three = sized("c", **{"xz -9e": 9, "xz -9e pb=0": 9})
    lines = report.sizes([one, two, three]).splitlines()
    assert lines[0] == "| file | xz | zpaq -m5 |"
    assert lines[2:5] == ["| a | 1,100 | 1,000 |", "| b | 700 | – |", "| c | 9 | – |"]
    assert lines[6] == "xz: `xz -9e`; `xz -9e pb=0` on a; nowhere best: `xz -9e x86`."


def test_the_settings_named_are_those_that_run(monkeypatch):
    """A library is called with what its setting says and a program with what stands in its name."""
    calls: dict[str, tuple] = {}

    def record(name):
        return lambda *arguments, **options: calls.update({name: (arguments[1:], options)}) or b""

    class Parameters:
        @staticmethod
        def from_level(level, **options):
            calls["zstandard"] = (level, options)

    fakes = {
        "gzip": {"compress": record("gzip")},
        "bz2": {"compress": record("bz2")},
        "brotli": {"compress": record("brotli")},
        "zpaq": {"compress": record("zpaq")},
        "zstandard": {
            "ZstdCompressionParameters": Parameters,
            "ZstdCompressor": lambda **options: types.SimpleNamespace(compress=lambda data: b""),
        },
    }
    for module, content in fakes.items():
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**content))
    monkeypatch.setattr(lzma, "compress", record("lzma"))

    def call(name: str) -> tuple:
        peers.call_library(name, "encode", b"bytes")
        return calls[peers.LIBRARIES[name].module]

    best = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
    expected = {
        "gzip -9": ((9,), {"mtime": 0}),
        "bzip2 -9": ((9,), {}),
        "xz -9e": ((), {"filters": [best]}),
        "xz -9e pb=0": ((), {"filters": [{**best, "pb": 0}]}),
        "xz -9e lc=4 pb=0": ((), {"filters": [{**best, "lc": 4, "pb": 0}]}),
        "xz -9e lp=1 pb=1": ((), {"filters": [{**best, "lp": 1, "pb": 1}]}),
        "xz -9e x86": ((), {"filters": [{"id": lzma.FILTER_X86}, best]}),
        "zstd -22 --ultra --long": (22, {"window_log": 27, "source_size": 5, "enable_ldm": True}),
        "brotli -q 11 -w 24": ((), {"quality": 11, "lgwin": 24}),
        "zpaq -m5 binding": ((), {"threads": 1, "method": "56,0,0"}),
        "zpaq -m5 binding text": ((), {"threads": 1, "method": "56,0,1"}),
        "zpaq -m5 binding exe": ((), {"threads": 1, "method": "56,0,2"}),
    }
    assert {name: call(name) for name in peers.LIBRARIES} == expected
    for name, (encode, _) in peers.PROGRAMS.items():
        if "PPMd" in name:
            order, memory, *zipped = name.split()[2:]
            kind = "-tzip -mm=PPMd" if zipped else "-t7z -m0=PPMd"
            assert f" {kind}:o={order[2:]}:mem={memory[2:]}m -mmt=1 " in encode
        elif "-" in name.partition(" ")[2]:
            words = name.split()[1:]
            assert all(word in encode or word in encode.replace("-b100", "-b 100") for word in words)


def test_zpaq_runs_on_one_thread():
    """The binding's size depends on the number of threads, and both would take several by themselves."""
    for encode, decode in (peers.PROGRAMS["zpaq -m5"],):
        assert "-t1" in encode.split() and "-t1" in decode.split()
    zpaq = pytest.importorskip("zpaq")
    data = b"".join(b"%d bottles of beer on the wall\n" % number for number in range(9000))
    for name in ("zpaq -m5 binding", "zpaq -m5 binding text"):
        archive = peers.call_library(name, "encode", data)
        assert archive == zpaq.compress(data, threads=1, method=peers.LIBRARIES[name].options["method"])
        assert archive.count(b"7kSt\xa0\x31\x83\xd3\x8c\xb2\x28\xb0\xd3") == 1  # the tag before each block
        assert peers.call_library(name, "decode", archive) == data


def test_a_library_is_a_child_process_named_by_its_setting(tmp_path):
    original = tmp_path / "a file"
    original.write_bytes(b"of some bytes " * 100)
    found, missing = peers.available()
    one = next(peer for peer in found if peer.name == "xz -9e lp=1 pb=1")
    result = run.round_trip(one, original, 60)
    assert result["equal"] and result["bytes"] < 200
    assert {peer.name for peer in found} | set(missing) == {*peers.LIBRARIES, *peers.PROGRAMS}


def test_peers_need_not_decode(tmp_path, capsys):
    original = tmp_path / "original"
    original.write_bytes(b"of some bytes " * 100)
    words = [str(original), "--no-lmzip", "--no-plots", "--peers", "gzip -9", "--peers-encode-only"]
    assert run.main([*words, "--results", str(tmp_path), "--name", "sizes"]) == 0
    assert "gzip -9 (round trip not run)" in capsys.readouterr().out
