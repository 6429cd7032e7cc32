"""Scores: what an archive of each text alone would be charged, whatever came before."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from small import HEADERS

from lmzip.codec.message import Header
from lmzip.frames import encode_frame
from lmzip.lab.score import Scorer, score
from lmzip.prior import store
from lmzip.prior.train import train
from lmzip.progress import Watch
from lmzip.sender import Sender
from lmzip.session import Session
from lmzip.survey import Survey

SESSION = Session()
PROSE = [
    b"The old lady pulled her spectacles down and looked over them about the room; then she put them up.",
    b"She seldom or never looked through them for so small a thing as a boy; they were her state pair.",
    b"There was a slight noise behind her and she turned just in time to seize a small boy by the slack.",
]
NOISE = [
    b"xq7#Kd09$zzPw1!vB~nR4^tL&u8Qe;J|m2Y<gH>o5=sX%aC?fW_iV{lZ}bN[kE]yM(rU)hT*pS+jD-c3G6@I/O.A'F\\:\"",
    b"0f9e8d7c",
]


def footer(header: Header, data: bytes) -> int:
    """What the footer of its archive says."""
    sink = io.BytesIO()
    Sender(sink, header, b"", Watch(), session=SESSION).run(io.BytesIO(data))
    return Survey(io.BytesIO(sink.getvalue()), keep=False, session=SESSION).footer.nll


def nll(header: Header, data: bytes) -> int:
    """Of its frames coded by a new predictor, also where an archive would store them."""
    state, size = SESSION.lockstep(header), header.frame_size
    blocks = [np.frombuffer(data[at : at + size], np.uint8) for at in range(0, len(data), size)]
    return sum(
        encode_frame(header, k, block.tobytes(), False, state, state.encode(block)).frame.nll
        for k, block in enumerate(blocks)
    )


def prior(header: Header, corpus: bytes, path) -> store.Prior:
    _, made = train(Sender(io.BytesIO(), header, b"", Watch(), session=SESSION), io.BytesIO(corpus), False, "", "")
    store.write(path, *made)
    return store.read(path)


@pytest.mark.parametrize("kind", HEADERS)
def test_a_score_is_what_an_archive_costs_and_nothing_stays(kind, text):
    """Long texts of several frames, noise, one byte repeated, nothing at all; then the first ones again."""
    noise, header = np.random.default_rng(1).bytes(1100), replace(HEADERS[kind], frame_size=1024)
    texts = [text[:2500], PROSE[0], b"", b"aaaaaaaa", noise, text[5000:5600], b"\0", text[:2500], PROSE[0]]
    scorer = Scorer(header, SESSION)
    before = scorer.state.digest()
    scores = [scorer.nll(one) for one in texts]
    assert scores == [nll(header, one) for one in texts]
    assert scores[0] == footer(header, texts[0])
    assert scorer.state.digest() == before


@pytest.mark.parametrize("kind", ["both", "experts"])
def test_with_a_prior_too(kind, text, tmp_path):
    made = prior(HEADERS[kind], text[:8000], tmp_path / "x.prior")
    SESSION.remember(made)
    header = made.archive_header(4096)
    scorer = Scorer(header, SESSION)
    before = scorer.state.digest()
    for one in (text[20_000:21_500], PROSE[1], text[20_000:21_500]):
        assert scorer.nll(one) == nll(header, one)
    assert scorer.nll(text[20_000:21_500]) == footer(header, text[20_000:21_500])
    assert scorer.state.digest() == before


def test_noise_ranks_above_prose():
    """The first use: a filter."""
    texts = PROSE + NOISE
    lines = [json.dumps({"text": one.decode(), "id": k}).encode() for k, one in enumerate(texts)]
    rows = list(score(lines, "text", Scorer(HEADERS["both"], SESSION)))
    ranked = sorted(rows, key=lambda row: row["bpb"])
    assert {row["id"] for row in ranked[: len(PROSE)]} == set(range(len(PROSE)))


def test_moore_and_lewis_select_what_is_wanted(text, tmp_path):
    """The second use: two priors, one of what is wanted, one of everything; neither has seen these texts."""
    header = HEADERS["both"]
    code = b"".join(
        b"    for %s in range(%d):\n        total += %s[%d]\n" % (n, k, n, k)
        for k in range(200)
        for n in (b"i", b"row")
    )
    wanted = prior(header, text[:12_000], tmp_path / "wanted.prior")
    general = prior(header, text[40_000:46_000] + code[:6000], tmp_path / "general.prior")
    scorers = []
    for one in (wanted, general):
        SESSION.remember(one)
        scorers.append(Scorer(one.archive_header(4096), SESSION))
    pool = {
        "prose": text[20_000:20_400].decode(),
        "more": text[30_000:30_400].decode(),
        "code": "    for row in range(17):\n        total += row[3]\n    for k in range(9):\n        total -= k[2]\n",
    }
    lines = [json.dumps({"name": name, "body": body}).encode() for name, body in pool.items()]
    rows = {row["name"]: row for row in score(lines, "body", *scorers)}
    assert rows["prose"]["difference"] < 0 < rows["code"]["difference"]
    assert rows["more"]["difference"] < rows["code"]["difference"]
    for row in rows.values():
        assert row["difference"] == row["bpb"] - row["against"]


# The command line, with a toy inside


@pytest.mark.usefixtures("toy_predictor")
def test_json_lines_in_and_out(run, tmp_path):
    rows = [{"text": "naïve 漢字", "id": [1]}, {"text": ""}, {"text": "a\ud800b"}]
    lines = "\n".join(map(json.dumps, rows)) + "\n\n"
    done = run("score", stdin=lines.encode())
    assert (done.status, done.stderr) == (0, "")
    made = [json.loads(line) for line in done.stdout.splitlines()]
    assert [{key: row[key] for key in old} for row, old in zip(made, rows, strict=True)] == rows
    assert [row["bytes"] for row in made] == [13, 0, 5]
    assert made[1]["bits"] == 0 and made[1]["bpb"] is None
    assert made[0]["bpb"] == made[0]["bits"] / 13
    path = tmp_path / "x.jsonl"
    path.write_text(lines)
    assert run("score", path).stdout == done.stdout


@pytest.mark.usefixtures("toy_predictor")
@pytest.mark.parametrize(
    "line", [b"no json", b'{"body": "x"}', b'{"text": 3}', b"[1]", b'"text"', b"\xff", b"[" * 100_000]
)
def test_other_lines_are_an_error_with_their_number(run, line):
    done = run("score", stdin=b'{"text": "a"}\n' + line + b"\n")
    assert done.status == 1
    assert "line 2" in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout.count(b"\n") == 1  # what came before stands
