"""Priors: exact, found by digest, charged; data that is read with suspicion."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import EXPERTS, HEADERS

import lmzip
from lmzip import limits, pack
from lmzip.codec.message import Header
from lmzip.errors import LimitError, MissingPrior, PriorError, UsageError
from lmzip.limits import Limits
from lmzip.prior import registry, state, store
from lmzip.prior.fingerprint import LENGTH, Fingerprint, Overlap
from lmzip.prior.train import Fingerprinted, build, train
from lmzip.progress import Watch
from lmzip.receiver import Receiver
from lmzip.sender import Sender
from lmzip.session import Session
from lmzip.survey import Survey

SESSION = Session()  # a new one for each test


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No priors but a test's own are found, and none after it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-cache"))
    monkeypatch.delenv(registry.PATH, raising=False)
    monkeypatch.setattr(sys.modules[__name__], "SESSION", Session())


@pytest.fixture(autouse=True)
def kernels_stay(monkeypatch):
    """Kernels compiled before are found although the cache of priors moved."""
    from lmzip.codec import cache

    folder = cache.kernel_folder()
    monkeypatch.setattr(cache, "kernel_folder", lambda: folder)


def trained(header: Header, corpus: bytes, folder: Path, name: str = "x") -> store.Prior:
    """A prior of this corpus, and its archive beside it."""
    sink = io.BytesIO()
    sender = Sender(sink, store.settings(header) if header.prior else header, b"", Watch(), session=SESSION)
    _, made = train(sender, io.BytesIO(corpus), False, "CC0", "a test")
    path = folder / f"{name}.prior"
    store.write(path, *made)
    path.with_suffix(".lmz").write_bytes(sink.getvalue())
    return store.read(path)


def encoded(header: Header, data: bytes) -> bytes:
    sink = io.BytesIO()
    Sender(sink, header, pack.code(header), Watch(), session=SESSION).run(io.BytesIO(data))
    return sink.getvalue()


def on(prior: store.Prior, frame_size: int = 4096, independent: bool = False) -> Header:
    """The header of archives that build on a prior, which the session finds."""
    SESSION.remember(prior)
    return prior.archive_header(frame_size, independent)


@pytest.fixture(scope="module")
def priors(tmp_path_factory) -> dict[str, store.Prior]:
    """One of each kind, of the same text."""
    folder = tmp_path_factory.mktemp("priors")
    text = (Path(__file__).parent.parent / "samples" / "tom-sawyer.txt").read_bytes()
    return {name: trained(header, text[:12_000], folder, name) for name, header in HEADERS.items()}


# Exact


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("independent", [False, True])
def test_there_and_back_and_smaller(priors, text, kind, independent):
    data = text[20_000:22_000] + bytes(100) + text[:500]
    header = on(priors[kind], 1024, independent)
    archive = encoded(header, data)
    assert lmzip.decompress(archive, prior_path=str(priors[kind].path)) == data
    plain = encoded(replace(header, prior=None), data)
    assert (
        Survey(io.BytesIO(archive), session=SESSION).ledger().transcript
        < 0.9 * Survey(io.BytesIO(plain), session=SESSION).ledger().transcript
    )


@pytest.mark.parametrize("kind", HEADERS)
def test_it_is_rebuilt_from_its_corpus_alone(priors, kind):
    prior = priors[kind]
    source = io.BytesIO(prior.path.with_suffix(".lmz").read_bytes())
    _, (manifest, packed, known) = build(
        Receiver(source, Fingerprinted(), Limits(), Watch(), session=SESSION), "CC0", "a test"
    )
    assert manifest == prior.manifest
    assert np.array_equal(known, prior.fingerprint())
    assert store.digest(prior.settings, packed) == prior.digest


def test_a_corpus_may_end_with_what_is_not_coded(text, tmp_path):
    for end in (bytes(5000), np.random.default_rng(0).bytes(9000)):  # filled, stored
        prior = trained(HEADERS["experts"], text[:4096] + end, tmp_path)
        source = io.BytesIO(prior.path.with_suffix(".lmz").read_bytes())
        _, (manifest, _, _) = build(
            Receiver(source, Fingerprinted(), Limits(), Watch(), session=SESSION), "CC0", "a test"
        )
        assert manifest.state == prior.manifest.state


@pytest.mark.parametrize("kind", HEADERS)
def test_a_predictor_begins_with_what_was_saved(priors, kind):
    """What is stored is all there is: packing the state it leads to again gives the same but for the rows' rounding."""
    prior = priors[kind]
    first, second = (SESSION.lockstep(on(prior)) for _ in range(2))
    assert first.digest() == second.digest()
    again = state.pack(first, SESSION.lockstep(prior.settings))
    packed = prior.arrays()
    assert set(again) == set(packed)
    rounded = {"model.tables.scale", "learner.squares.upper"}
    assert [name for name in set(packed) - rounded if not np.array_equal(again[name], packed[name])] == []


def test_the_state_depends_on_every_array(priors):
    prior = priors["both"]
    packed = prior.arrays()
    for name, array in packed.items():
        if array.size:
            other = array.copy()
            other.view(np.uint8).reshape(-1)[0] ^= 1
            assert store.digest(prior.settings, packed | {name: other}) != prior.digest
    assert store.digest(replace(prior.settings, seed=1), packed) != prior.digest


def test_full_bit_histories_need_no_more_than_their_number():
    """The node of every string of up to four bits is what learning these bits makes of it."""
    from lmzip.codec.experts import _NEXT
    from lmzip.codec.mixer import _RATE

    assert len(np.unique(state.FULL_NODES)) == state.FULL == 1 + 2 + 4 + 8 + 16
    p, history = 1 << 17, 0
    for count, bit in enumerate((1, 0, 1, 1)):
        p += ((bit << 18) - p) * int(_RATE[count]) >> 16
        history = int(_NEXT[2 * history + bit])
        assert state.FULL_NODES[history] == history << 24 | (count + 1) << 18 | (p ^ 1 << 17)


# Found by its digest


def test_decode_says_what_is_missing_and_where_it_looked(run, toy_predictor, text, tmp_path, monkeypatch):
    corpus, file, folder = tmp_path / "corpus", tmp_path / "file", tmp_path / "priors"
    corpus.write_bytes(text[:3000])
    file.write_bytes(text[3000:4000])
    folder.mkdir()
    assert run("prior", "train", corpus, "-o", folder / "toy.prior").status == 0
    assert run("encode", file, "--prior", folder / "toy.prior").status == 0
    done = run("decode", f"{file}.lmz", "-o", tmp_path / "back")
    wanted = store.read(folder / "toy.prior").manifest.state
    assert done.status == 1
    assert done.stderr.count("\n") == 1
    assert f"prior {wanted} is missing" in done.stderr
    assert str(registry.cache_folder()) in done.stderr
    assert not (tmp_path / "back").exists()
    assert b"unknown" in run("info", f"{file}.lmz").stdout  # a size without its prior is never called charged
    for how in ("option", "file", "environment", "cache"):
        options = {"option": ["--prior-path", folder], "file": ["--prior-path", folder / "toy.prior"]}.get(how, [])
        if how == "environment":
            monkeypatch.setenv(registry.PATH, f"{tmp_path / 'nowhere'}:{folder}")
        if how == "cache":
            monkeypatch.delenv(registry.PATH)
            shutil.copytree(folder, registry.cache_folder())
        assert run("decode", f"{file}.lmz", "-f", "-o", tmp_path / "back", *options).status == 0
        assert (tmp_path / "back").read_bytes() == text[3000:4000]


def test_the_commands(run, toy_predictor, text, tmp_path):
    corpus, target = tmp_path / "corpus", tmp_path / "toy.prior"
    corpus.write_bytes(text[:3000])
    assert run("prior", "train", corpus, corpus, "-o", target, "--licence", "CC0", "--source", "Twain").status == 0
    assert run("prior", "train", corpus, "-o", target).status == 1  # it exists
    assert run("prior", "train", corpus, "-o", tmp_path / "toy").status == 2
    assert run("prior", "train", tmp_path / "none", "-o", tmp_path / "none.prior").status == 1
    prior = store.read(target)
    shown = run("prior", "info", target).stdout.decode()
    assert all(part in shown for part in (prior.manifest.state, "6,000 bytes", "CC0", "Twain"))
    found = json.loads(run("prior", "info", target, "--json").stdout)
    assert found["length"] == 6000
    assert found["stored"] == target.stat().st_size
    listed = run("prior", "list", "--prior-path", tmp_path).stdout.decode()
    assert prior.manifest.state[:16] in listed
    assert run("prior", "verify", "toy", "--prior-path", tmp_path).status == 0
    assert run("prior", "verify", prior.manifest.state[:16], "--prior-path", tmp_path).status == 0
    assert run("prior", "info", "other", "--prior-path", tmp_path).status == 1
    again = tmp_path / "again.prior"
    done = run("prior", "build", tmp_path / "toy.lmz", "-o", again, "--same-as", target)
    assert done.status == 0, done.stderr
    assert store.read(again).manifest.state == prior.manifest.state
    done = run("prior", "build", tmp_path / "toy.lmz", "-o", again, "-f", "--same-as", "0" * 64)
    assert done.status == 1
    assert prior.manifest.state in done.stderr


def test_auto_takes_the_prior_that_codes_best_or_none(run, toy_predictor, text, tmp_path):
    for name, corpus in (("text", text[:20_000]), ("noise", np.random.default_rng(1).bytes(3000))):
        (tmp_path / name).write_bytes(corpus)
        assert run("prior", "train", tmp_path / name, "-o", tmp_path / f"{name}.prior").status == 0
    book, zeros = tmp_path / "book", tmp_path / "zeros"
    book.write_bytes(text[20_000:23_000])
    zeros.write_bytes(bytes(range(256)) * 4)
    assert run("encode", book, "--prior", "auto", "--prior-path", tmp_path).status == 0
    assert Survey(io.BytesIO((tmp_path / "book.lmz").read_bytes()), session=SESSION).header.prior == (
        store.read(tmp_path / "text.prior").digest
    )
    assert run("decode", f"{book}.lmz", "-c", "--prior-path", tmp_path).stdout == book.read_bytes()
    assert run("encode", zeros, "--prior", "auto", "--prior-path", tmp_path / "nowhere").status == 0
    assert Survey(io.BytesIO((tmp_path / "zeros.lmz").read_bytes()), session=SESSION).header.prior is None
    assert run("encode", "-", "--prior", "auto", "-c", stdin=b"abc").status == 2


def test_its_settings_are_the_archives(priors, text):
    prior = priors["experts"]
    path = str(prior.path)
    archive = lmzip.compress(text[:1000], prior=path)
    assert Survey(io.BytesIO(archive), session=SESSION).header.experts == EXPERTS
    assert lmzip.decompress(archive, prior_path=path) == text[:1000]
    with pytest.raises(MissingPrior, match="is missing"):  # what another call was told is no secret passed on
        lmzip.decompress(archive)
    for options in ({"preset": "fast"}, {"experts": "none"}, {"seed": 3}, {"replay": 2}, {"streams": 2}):
        with pytest.raises(UsageError, match="other settings than"):
            lmzip.compress(b"", prior=path, **options)
    with pytest.raises(MissingPrior, match="no prior called"):
        lmzip.compress(b"", prior="nobody")


def test_file_objects(priors, text, tmp_path):
    path = str(priors["experts"].path)
    with lmzip.open(tmp_path / "x", "wb", prior=path, frame_size=1024, independent_frames=True) as file:
        file.write(text[:3000])
    with lmzip.open(tmp_path / "x", prior_path=path) as file:
        file.seek(2000)
        assert file.read() == text[2000:3000]


def test_resumed_with_a_prior(priors, text, tmp_path):
    """From a checkpoint within a frame, by a process that has yet to find the prior."""
    data, header = text[20_000:30_000], on(priors["both"], frame_size=8192)
    whole = encoded(header, data)

    class Stops(Watch):
        def step(self, done, bits, save=None):
            if save and done >= 4096:
                save()
                raise lmzip.Interrupted

    with open(tmp_path / "out", "w+b") as sink:
        with pytest.raises(lmzip.Interrupted):
            Sender(sink, header, pack.code(header), Stops(), tmp_path / "state", session=SESSION).run(io.BytesIO(data))
        elsewhere = Session(prior_path=str(priors["both"].path))
        sender = Sender(sink, header, pack.code(header), Watch(), tmp_path / "state", session=elsewhere)
        sender.run(io.BytesIO(data), resume=True)
        sink.seek(0)
        assert sink.read() == whole


@pytest.mark.slow
def test_processes_load_it_too(priors, text):
    header = on(priors["experts"], independent=True)
    sink, back, two = io.BytesIO(), io.BytesIO(), Session(2)
    two.remember(priors["experts"])
    Sender(sink, header, pack.code(header), Watch(), session=two).run(io.BytesIO(text[:16_384]))
    assert sink.getvalue() == encoded(header, text[:16_384])
    Receiver(io.BytesIO(sink.getvalue()), back, Limits(), Watch(), session=two).run()
    assert back.getvalue() == text[:16_384]


# Charged


@pytest.mark.parametrize("kind", ["model", "experts"])
def test_learning_the_file_itself_beforehand_gains_nothing(text, tmp_path, kind):
    """The transcript of the file falls to next to nothing; what is charged does not fall."""
    data, header = text[:8000], HEADERS[kind]
    prior = trained(header, data, tmp_path)
    alone = Survey(io.BytesIO(encoded(header, data)), session=SESSION).ledger()
    after = Survey(io.BytesIO(encoded(on(prior), data)), session=SESSION).ledger()
    assert after.transcript < 0.7 * alone.transcript
    assert after.description_length > alone.description_length
    assert after.description_length_rebuilt > alone.description_length


def test_the_ledger_adds_up(priors, text):
    prior = priors["experts"]
    archive = encoded(on(prior), text[:5000])
    ledger = Survey(io.BytesIO(archive), session=SESSION).ledger()
    rebuilt = len(prior.path.with_suffix(".lmz").read_bytes())
    loader = ledger.code_left_out - len(pack.committed("experts"))
    assert 500 < loader < 5000
    assert ledger.archive == len(archive) == ledger.transcript + ledger.code + ledger.container
    assert ledger.description_length == len(archive) + prior.path.stat().st_size + ledger.code_left_out
    assert ledger.description_length_rebuilt == len(archive) + rebuilt + ledger.code_left_out
    assert "conditional" in ledger.table()
    assert ledger.as_dict()["conditional"]


def test_what_it_saves_and_when_it_has_paid(run, toy_predictor, text, tmp_path):
    (tmp_path / "corpus").write_bytes(text[:20_000])
    (tmp_path / "file").write_bytes(text[20_000:24_000])
    run("prior", "train", tmp_path / "corpus", "-o", tmp_path / "toy.prior")
    done = run("encode", tmp_path / "file", "--prior", tmp_path / "toy.prior", "--frame-size", "3000")
    assert "32-byte strings are in the prior's corpus" in done.stderr
    place = ("--prior-path", tmp_path, "--compare", tmp_path / "file")
    shown = run("info", tmp_path / "file.lmz", *place)
    assert b"break-even" in shown.stdout
    found = json.loads(run("info", tmp_path / "file.lmz", "--json", *place).stdout)["prior"]
    plain = Survey(io.BytesIO(lmzip.compress(text[20_000:24_000], frame_size=3000)), session=SESSION).ledger()
    assert found["measured"] == 4000
    assert found["without"] == pytest.approx(plain.nll_bits / 8)
    saved = found["without"] - found["conditional"]
    assert saved > 0
    stored = (tmp_path / "toy.prior").stat().st_size
    assert found["break_even"]["stored"] == pytest.approx(stored * 4000 / saved, abs=1)
    rebuilt = store.read(tmp_path / "toy.prior").manifest.rebuilt
    assert found["break_even"]["rebuilt"] == pytest.approx(rebuilt * 4000 / saved, abs=1)


def test_the_code_in_the_archive_refuses(priors, text, tmp_path):
    """It could not decode: it says what is missing, and leaves nothing."""
    (tmp_path / "x.lmz").write_bytes(encoded(on(priors["experts"]), text[:500]))
    done = subprocess.run(
        [sys.executable, tmp_path / "x.lmz", tmp_path / "out"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "builds on a prior" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_memory_counts_the_prior(priors):
    prior = priors["experts"]
    header = on(prior)
    assert SESSION.cost(header).memory() == limits.Cost(replace(header, prior=None)).memory() + prior.memory()
    with pytest.raises(LimitError):
        Limits(memory=SESSION.cost(header).memory() - 1).check_header(SESSION.cost(header))


# What of a file it has seen


def test_copies_are_found_wherever_they_stand():
    data = np.random.default_rng(0).bytes(1 << 18)
    corpus = Fingerprint()
    for start in range(0, len(data), 10_007):  # pieces do not matter
        corpus.add(data[start : start + 10_007])
    whole = Fingerprint()
    whole.add(data)
    assert np.array_equal(corpus.known, whole.known)
    other = np.random.default_rng(1).bytes(1 << 18)
    for text, low, high in ((data, 1, 1), (other, 0, 0.001), (other + data[99_999:][: 1 << 16], 0.18, 0.22)):
        seen = Overlap(corpus.known)
        seen.add(text)
        assert low <= seen.share <= high
        assert seen.asked == pytest.approx(len(text) / 64, rel=0.1)
    empty = Overlap(corpus.known)
    empty.add(data[: LENGTH - 1])
    assert (empty.asked, empty.share) == (0, 0)


# Suspicious files


def rewritten(prior: store.Prior, folder: Path, change) -> store.Prior:
    """A prior with changed arrays, well signed: what a stranger could make."""
    packed = prior.arrays()
    change(packed)
    manifest = replace(prior.manifest, state=store.digest(prior.settings, packed).hex())
    store.write(folder / "hostile.prior", manifest, packed, prior.fingerprint())
    return store.read(folder / "hostile.prior")


def _set(name, value):
    def change(packed):
        packed[name] = packed[name].copy()
        packed[name].reshape(-1)[: 1 if np.isscalar(value) else len(value)] = value

    return change


def _cut(name):
    def change(packed):
        packed[name] = packed[name][:-1]

    return change


HOSTILE = {
    "a bit history beyond the table": ("experts", _set("experts.slots.histories", 255)),
    "fewer bit histories than nodes": ("experts", _cut("experts.slots.histories")),
    "fewer slots than are marked": ("experts", _cut("experts.slots.check")),
    "more nodes than there are histories": ("experts", _set("experts.slots.nodes", 0xFFFF)),
    "fewer runs": ("experts", _cut("experts.slots.runs")),
    "fewer odds": ("experts", _cut("experts.slots.odds")),
    "more slots marked": ("experts", _set("experts.slots.kept", np.full(64, 255, np.uint8))),
    "weights that overflow": ("experts", _set("experts.weights.values", 1 << 20)),
    "a position before the beginning": ("experts", _set("position", -1)),
    "a position far ahead of its history": ("experts", _set("position", 1 << 40)),
    "a short history": ("experts", _cut("history")),
    "a number that is none": ("model", _set("model.0.qkv.weight.values", np.nan)),
    "a rate without bound": ("model", _set("learner.decays.values", 2.0)),
    "weights that make infinities": ("model", _set("model.0.qkv.weight.values", 1e30)),
    "infinity": ("model", _set("model.head.weight.values", np.inf)),
    "the root of a negative number": ("model", _set("model.0.up.square.values", -1.0)),
    "rows of infinite scale": ("model", _set("model.tables.scale", np.inf)),
    "sums of squares below zero": ("model", _set("learner.squares.upper", 0x8000 | 0x3F80)),
    "rows of another width": (
        "model",
        lambda packed: packed.update({"model.tables.integers": packed["model.tables.integers"][:, :-1]}),
    ),
    "another type": (
        "model",
        lambda packed: packed.update({"model.tables.scale": packed["model.tables.scale"].astype(np.float64)}),
    ),
    "an array nobody knows": ("model", lambda packed: packed.update(more=np.zeros(3))),
    "an array too few": ("model", lambda packed: packed.pop("model.tables.scale")),
}


@pytest.mark.parametrize(("kind", "change"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_prior_is_refused(priors, tmp_path, kind, change):
    prior = rewritten(priors[kind], tmp_path, change)
    with pytest.raises(PriorError, match="can't be used"):
        SESSION.lockstep(on(prior))


def with_metadata(prior: store.Prior, path: Path, **changes: str) -> Path:
    """The same file with other metadata."""
    raw = prior.path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    head = json.loads(raw[8 : 8 + size])
    head["__metadata__"] |= changes
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + size :])
    return path


def manifest(prior: store.Prior, **changes) -> str:
    from dataclasses import asdict

    return json.dumps(asdict(prior.manifest) | changes)


def test_another_version_is_named_as_such(priors, tmp_path):
    path = with_metadata(priors["experts"], tmp_path / "x.prior", format="lmzip-prior 7")
    with pytest.raises(PriorError, match="a prior of format version 7, this lmzip reads 1"):
        store.read(path)


def test_settings_of_another_format_are_named_as_such(priors, tmp_path):
    prior = priors["experts"]
    packed = replace(prior.settings, format_version=9).pack().hex()
    path = with_metadata(prior, tmp_path / "x.prior", manifest=manifest(prior, settings=packed))
    with pytest.raises(PriorError, match="is for other archives: format version 9"):
        store.read(path)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": "something"}, "not a prior of lmzip"),
        ({"manifest": "{"}, "damaged"),
        ({"manifest": "[" * 100_000}, "too long"),
        ({"manifest": "[]"}, "no object"),
        ({"manifest": "{}"}, "lacks"),
        ({"squeezed": '{"history": ["<O", [3]]}'}, "no type"),
        ({"squeezed": '{"history": ["|u1", [-3]]}'}, "no type"),
        ({"squeezed": '{"history": ["<f8", [1099511627775, 1000]]}'}, "larger than its settings"),
        ({"squeezed": '{"position": ["<i8", [1]]}'}, None),
    ],
)
def test_metadata_is_checked_before_anything_is_allocated(priors, tmp_path, changes, why):
    path = with_metadata(priors["experts"], tmp_path / "x.prior", **changes)
    with pytest.raises(PriorError, match=why or "not as long as it says"):
        store.read(path).arrays()


@pytest.mark.parametrize(
    "changes",
    [
        {"length": -1},
        {"length": 1.5},
        {"rebuilt": True},
        {"state": "ab"},
        {"state": "x" * 64},
        {"settings": "00"},
        {"licence": "x" * 5000},
        {"source": 3},
        {"settings": Header(independent_frames=True).pack().hex()},
        {"settings": Header(prior=bytes(32)).pack().hex()},
    ],
)
def test_the_manifest_is_checked(priors, tmp_path, changes):
    prior = priors["experts"]
    path = with_metadata(prior, tmp_path / "x.prior", manifest=manifest(prior, **changes))
    with pytest.raises(PriorError, match="damaged"):
        store.read(path)


def test_elements_that_numpy_lacks_are_refused(priors, tmp_path):
    raw = priors["experts"].path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    head = json.loads(raw[8 : 8 + size])
    head["position"] |= {"dtype": "BF16", "shape": [4]}
    text = json.dumps(head).encode()
    (tmp_path / "x.prior").write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + size :])
    with pytest.raises(PriorError, match="elements of type BF16"):
        store.read(tmp_path / "x.prior")


def test_a_bomb_is_not_unpacked(priors, tmp_path):
    """An array that claims 100 bytes and unpacks to 128 MB."""
    import zlib

    from safetensors.numpy import save_file

    prior, path = priors["experts"], tmp_path / "x.prior"
    packer = zlib.compressobj(1)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(128)) + packer.flush()
    text = {"format": "lmzip-prior 1", "manifest": manifest(prior), "squeezed": '{"history": ["|u1", [100]]}'}
    save_file({"history": np.frombuffer(bomb, np.uint8), "fingerprint": prior.fingerprint()}, path, text)
    with pytest.raises(PriorError, match="not as long as it says"):
        store.read(path).arrays()


def test_a_damaged_prior_is_refused(run, priors, tmp_path, text):
    prior = priors["experts"]
    archive = encoded(on(prior), text[:500])
    raw = prior.path.read_bytes()
    (tmp_path / "x.lmz").write_bytes(archive)
    rng = np.random.default_rng(0)
    damaged = [raw[:100], raw[: len(raw) // 2], raw[:-1], raw + b"x", b"", b"PK\3\4" + raw[4:], rng.bytes(5000)]
    for place in rng.integers(0, len(raw), 40):
        damaged.append(raw[:place] + bytes([raw[place] ^ 1 << int(rng.integers(8))]) + raw[place + 1 :])
    refused = 0
    for number, content in enumerate(damaged):
        path = tmp_path / f"{number}.prior"
        path.write_bytes(content)
        done = run("decode", tmp_path / "x.lmz", "-o", "-", "--prior-path", path)
        assert done.stderr.count("\n") == done.status
        assert done.stdout == (b"" if done.status else text[:500])  # notes and fingerprint may differ
        refused += done.status
    assert refused > 0.8 * len(damaged)


def test_a_wrong_prior_is_named(run, priors, tmp_path, text):
    """The archive's settings are not its prior's: somebody forged one of them."""
    header = replace(on(priors["experts"]), seed=5)
    with pytest.raises(PriorError, match="other settings"):
        SESSION.lockstep(header)
    done = run("encode", __file__, "--prior", __file__ + ".prior", "-c")
    assert done.status == 1
    assert "can't read" in done.stderr or "not a prior" in done.stderr
