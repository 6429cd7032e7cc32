"""Reports: every byte's cost is the archive's, to the last unit; the page shows anything and obeys nothing."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small import HEADERS, MODEL

import lmzip
from lmzip import presets
from lmzip.codec.message import Header
from lmzip.lab import trace
from lmzip.lab.report import peers
from lmzip.lab.trace import Calibration
from lmzip.session import Session

HOSTILE = "<script>alert(1)<b> & 'x' \"y\" $x^2$ {{ 7 * 7 }}\u202e.txt"


def plain(header: Header, data: bytes) -> bytes:
    from lmzip.progress import Watch
    from lmzip.sender import Sender

    sink = io.BytesIO()
    Sender(sink, header, b"", Watch(), session=Session()).run(io.BytesIO(data))
    return sink.getvalue()


# Costs


@pytest.mark.parametrize("kind", HEADERS)
def test_notes_change_no_bit_and_add_up(kind, text):
    """Transcripts, digests of the state and ledgers: the archive is the same file. Its NLL is the sum of the costs."""
    data, sink = text[:5000] + bytes(300) + text[:900], io.BytesIO()
    traced = trace.trace(data, HEADERS[kind], Session(), probes=8, code=False, sink=sink)
    assert sink.getvalue() == plain(HEADERS[kind], data)
    assert traced.costs.shape == (len(data), 3)
    assert int(traced.costs[:, 0].sum(dtype=np.int64)) == traced.ledger.nll
    assert traced.sums(1000)[:, 0].sum() == traced.ledger.nll
    assert abs(traced.ledger.transcript - traced.ledger.nll_bits / 8) <= 0.0001 * traced.ledger.transcript + 64 * 3
    for column, part in enumerate(trace.PARTS):
        if part in traced.ledger.shares:
            assert int(traced.costs[:, column].sum(dtype=np.int64)) == traced.ledger.shares[part]
    if kind == "both":
        assert traced.probe.count > 2
        assert (traced.costs > 0).all()


def test_a_preset_in_full(text):
    """`fast`, with long matches taken 32 bytes at a time, and a sound whose samples are found on the way."""
    wave = (2000 * np.sin(np.arange(6000) / 9)).astype("<i2").tobytes()
    sound = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x44\xac\0\0\x88\x58\1\0\2\0\x10\0data\0\0\0\0" + wave
    for data in (text[:3000] * 4, sound):
        sink = io.BytesIO()
        traced = trace.trace(data, presets.header("fast"), Session(), sink=sink)
        assert sink.getvalue() == lmzip.compress(data, preset="fast")
        assert int(traced.costs[:, 0].sum(dtype=np.int64)) == traced.ledger.nll
    assert (traced.costs[:, 2] == 0).all()


def test_every_decision_is_looked_at(text):
    """Eight to a byte; as many ones as there are in the data; and about as many as were expected."""
    data = text[:6000]
    traced = trace.trace(data, HEADERS["both"], Session(), probes=0, code=False)
    ones = int(np.unpackbits(np.frombuffer(data, np.uint8)).sum())
    assert traced.coded.count.sum() == 8 * len(data)
    assert traced.coded.came.sum() == ones
    assert abs(traced.coded.expected.sum() - ones) < 0.02 * ones
    assert traced.model.count.sum() == len(data)


def test_stored_and_repeated_bytes(text):
    """Eight bits each, and eight bits for all."""
    noise = np.random.default_rng(1).bytes(4096)
    data = text[:4096] + noise + bytes(4096) + text[:100]
    traced = trace.trace(data, HEADERS["experts"], Session(), code=False)
    assert (traced.costs[4096:8192] == 8 << 20).all()
    assert (traced.costs[8192, 0], traced.costs[8193:12288].sum()) == (8 << 20, 0)
    assert int(traced.costs[:, 0].sum(dtype=np.int64)) == traced.ledger.nll
    empty = trace.trace(b"", HEADERS["experts"], Session(), code=False)
    assert empty.costs.shape == (0, 3) and empty.ledger.nll == 0


def test_calibration_of_known_events():
    """Events said to come nine times of ten that come eight times: 0.1 off, and what that costs in bits."""
    found = Calibration()
    found.add(np.full(10_000, 0.9), np.arange(10_000) < 8000)
    assert found.error() == pytest.approx(0.1)
    assert found.excess() == pytest.approx(10_000 * (0.8 * math.log2(0.8 / 0.9) + 0.2 * math.log2(0.2 / 0.1)))
    (row,) = found.rows()
    assert row["events"] == 10_000 and row["low"] < 0.8 < row["high"] < 0.81
    right = Calibration()
    right.add(np.full(100, 0.5), np.arange(100) < 50)
    assert right.error() == right.excess() == 0


def test_the_model_uses_its_context():
    """A language of pairs: with one byte of context the second of each is known."""
    data = b"".join(bytes([65 + k, 97 + k]) for k in np.random.default_rng(2).integers(0, 16, 6000))
    traced = trace.trace(data, HEADERS["model"], Session(), probes=64, code=False)
    bits = [row["bits"] for row in traced.probe.rows()]
    assert len(bits) == 2 * MODEL.window
    assert min(bits[2:]) < bits[0] - 1


# The page


class Page(html.parser.HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            assert not name.startswith("on")
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href"):
                assert value.startswith("#")

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def figures() -> dict:
    """A report's figures of a hostile file, of one that is no text, and of none at all."""
    from lmzip.lab.provenance import about
    from lmzip.lab.report.measure import measure

    nasty = ("<script>alert('hi')</script>&amp;<b onclick=x>\n{{ 7 * 7 }}\u202eevil\x1b[31m naïve 漢\n" * 30).encode()
    files = [(HOSTILE, nasty), ("k.bin", bytes(range(256)) * 5), ("empty", b"")]
    commands = [("copy <b>", "cp {in} {out}"), ("bad", "false {in} {out}"), ("no", "no-such-program {in} {out}")]
    made = [
        measure(Path(n), d, HEADERS["both"], Session(), sample=500, commands=commands, code=False) for n, d in files
    ]
    return about(["lmzip", "report", "/somewhere/book.txt"]) | {"files": made}


def test_figures_are_json_and_add_up(figures):
    again = json.loads(json.dumps(figures, allow_nan=False))
    assert again == figures
    for one in again["files"]:
        area = sum(np.diff(one["curve"]["end"], prepend=0) * np.array(one["curve"]["mix"])) if one["bytes"] else 0
        assert area == pytest.approx(one["ledger"]["nll_bits"])
        assert one["bits"]["mix"] == pytest.approx(one["ledger"]["nll_bits"])
        cells = sum(one["excerpt"]["bits"])
        assert cells <= one["bits"]["mix"] + 1
    first = again["files"][0]
    assert [row["name"] for row in first["contexts"]["contexts"]][:2] == ["order 1", "order 2"]
    assert first["contexts"]["bytes"] == 500
    costs = [row["bits"] for row in first["costly"]]
    assert costs == sorted(costs, reverse=True)
    for key in ("command", "commit", "versions", "machine", "date"):
        assert again[key]
    assert again["command"] == "lmzip report book.txt"
    by_name = {row["name"]: row for row in first["peers"]}
    assert by_name["copy <b>"]["bytes"] == first["bytes"]
    assert by_name["bad"]["bytes"] is None and "status 1" in by_name["bad"]["error"]
    assert by_name["no"]["bytes"] is None
    assert by_name["xz -9e"]["bytes"] > 0


def test_the_page_obeys_no_file(figures):
    from lmzip.lab.report.page import render

    text = render(json.loads(json.dumps(figures)))
    page = Page(text)
    assert "script" not in page.tags and "b" in page.tags
    assert len(page.ids) == len(set(page.ids))
    assert HOSTILE.replace("\u202e", "\\u202e") in page.text
    assert "{{ 7 * 7 }}" in page.text.replace("␣", " ")
    assert "\u202e" not in text and "\x1b" not in text
    assert "\\x1b" in page.text and "\\xe2\\x80\\xae" in page.text
    assert "漢" in page.text and "ï" in page.text
    assert not re.findall(r"https?://(?!www\.w3\.org/)", text)
    assert page.tags.count("svg") > 15
    assert "bad failed: status 1" in page.text


def test_the_heat_map_shows_every_byte(figures):
    from lmzip.lab.report.page import heat, level

    for one, hexadecimal in zip(figures["files"][:2], (False, True), strict=True):
        data = base64.b64decode(one["excerpt"]["base64"])
        cells, odd = heat(data, one["excerpt"]["bits"])
        assert odd is hexadecimal
        assert sum(cell["bits"] for cell in cells) == pytest.approx(sum(one["excerpt"]["bits"]))
    assert [level(bits) for bits in (0, 0.25, 1.5, 7, 40)] == [0, 1, 3, 6, 8]
    cells, _ = heat("aé\n".encode() + b"\xff" + 40 * b"x", [1.0] * 45)
    assert [cell["sign"] for cell in cells[:4]] == ["a", "é", "⏎", "\\xff"]
    assert cells[1]["bits"] == 2


def test_the_command(run, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(peers, "sizes", lambda data, commands: [{"name": "xz", "bytes": len(data)}])
    Path("book.txt").write_bytes(text[:3000])
    arguments = ("report", "book.txt", "--preset", "fast", "--sample", "0", "--json", "r.json", "--plot", "r.png")
    done = run(*arguments)
    assert done.status == 0, done.stderr
    assert "written: report.html, r.json, r.png" in done.stderr
    assert Path("report.html").read_text().startswith("<!DOCTYPE html>")
    assert Path("r.png").read_bytes()[:4] == b"\x89PNG"
    made = json.loads(Path("r.json").read_text())
    assert made["command"].startswith("lmzip report book.txt --preset fast")
    assert made["files"][0]["ledger"]["archive"] == len(lmzip.compress(text[:3000], preset="fast"))
    again = run(*arguments)
    assert again.status == 1 and "exists; add -f" in again.stderr
    assert run(*arguments, "--peer", "nothing").status == 2
    assert run("report", "missing", "-o", "x.html").status == 1
    assert run("report", "book.txt", "-o", "no/x.html").status == 1
    assert run("report", "book.txt", "-o", "x", "--json", "x").status == 2
    assert not Path("x.html").exists()


# Apart from the rest


def test_noting_kernels_are_kept_apart():
    """They have the names and the bytecode of the codec's: one in the other's place would be a disaster."""
    from lmzip.codec import cache, experts
    from lmzip.lab import notes

    noting = notes.noting_segment()
    assert noting.py_func.__code__ is experts._code_segment.py_func.__code__
    assert noting._cache.cache_path != experts._code_segment._cache.cache_path
    assert Path(cache.kernel_folder()) not in Path(noting._cache.cache_path).parents
    names = [path.name for path in Path(cache.kernel_folder()).rglob("*")]
    assert names and not [name for name in names if "noting" in name or "tempered" in name]


def test_encode_and_decode_need_nothing_of_the_lab(tmp_path):
    (tmp_path / "x").write_bytes(b"some text " * 50)
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import toy
from lmzip.cli import main
toy.install()
main(["encode", "x", "-q"])
main(["decode", "x.lmz", "-o", "y"])
extra = ("matplotlib", "jinja2", "scipy")
lab = [name for name in sys.modules if name.startswith("lmzip.lab.") and not name.endswith("command")]
sys.exit(" ".join(lab + [name for name in extra if name in sys.modules]) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "y").read_bytes() == (tmp_path / "x").read_bytes()
