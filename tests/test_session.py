"""What codings share stands in a Session and nowhere else; options mean the same to library and command line."""

from __future__ import annotations

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import toy

import lmzip
from lmzip import session as sessions
from lmzip.codec.message import Header
from lmzip.errors import MissingPrior, UsageError
from lmzip.options import EncodeOptions
from lmzip.presets import PRESETS
from lmzip.session import Session
from lmzip.survey import Survey


@pytest.fixture
def priors(run, toy_predictor, text, tmp_path) -> list[Path]:
    """Two of different text, each in a folder of its own."""
    paths = []
    for number in range(2):
        (tmp_path / f"{number}").mkdir()
        corpus, path = tmp_path / f"corpus{number}", tmp_path / f"{number}" / "x.prior"
        corpus.write_bytes(text[5000 * number :][:3000])
        assert run("prior", "train", corpus, "-o", path, "--preset", "fast").status == 0
        paths.append(path)
    return paths


def test_a_lazy_writer_keeps_its_prior_whatever_others_do(priors, text):
    """Its predictor comes into being when the first frame is full; by then others have opened other priors."""
    sink, first, second = io.BytesIO(), *map(str, priors)
    with lmzip.open(sink, "wb", prior=first, frame_size=1024) as file:
        other = lmzip.compress(text[:500], prior=second)
        assert lmzip.decompress(other, prior_path=second) == text[:500]
        file.write(text[:3000])
    assert lmzip.decompress(sink.getvalue(), prior_path=first) == text[:3000]
    for path in ("", second):  # and nobody else was told where it is
        with pytest.raises(MissingPrior):
            lmzip.decompress(sink.getvalue(), prior_path=path)


def test_two_threads_with_different_priors_do_not_meet(priors, text):
    def there_and_back(path: Path) -> list[bytes]:
        archives = []
        for _ in range(4):
            archives.append(lmzip.compress(text[:1500], prior=str(path)))
            assert lmzip.decompress(archives[-1], prior_path=str(path)) == text[:1500]
        return archives

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(there_and_back, priors)
    assert len(set(one)) == len(set(other)) == 1
    assert one[0] != other[0]


def test_one_session_serves_many_calls(priors, text, monkeypatch):
    session = Session(prior_path=str(priors[0]))
    archive = lmzip.compress(text[:500], prior="x", session=session)
    with lmzip.open(io.BytesIO(archive), session=session) as file:
        assert file.read() == text[:500]
    monkeypatch.setattr(sessions.registry, "find", lambda *_: pytest.fail("it is known already"))
    assert lmzip.decompress(archive, session=session) == text[:500]


def test_a_session_travels_to_another_process_by_its_settings(priors):
    session = Session(2, "cpu", "somewhere")
    prior = session.open(priors[0])
    sent = pickle.dumps(session.of_worker())
    assert len(sent) < 1000  # where things are, not the things
    received = pickle.loads(sent)
    assert received is pickle.loads(sent)  # what it has opened is opened once
    assert received.find(prior.digest).path == priors[0]
    assert (received.threads, received.device) == (1, "cpu")


def test_costs_are_numbers_that_no_disk_is_asked_for(priors, monkeypatch):
    session = Session()
    header = EncodeOptions(prior=priors[0]).header(session)
    cost = session.cost(header)
    priors[0].unlink()
    assert cost.memory() > sessions.Cost(header).memory() > cost.memory(0) - cost.prior_memory > 0
    assert cost.work == sessions.Cost(header).work
    assert cost.frame_work > 0


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": -1}, {"threads": "2"}, {"device": "gpu"}])
def test_sessions_that_make_no_sense_are_refused(options):
    for call in (Session, lambda **given: lmzip.compress(b"", **given), lambda **given: lmzip.decompress(b"", **given)):
        with pytest.raises(UsageError, match=r"threads|device"):
            call(**options)


# What library and command line accept and refuse, in the same words

REFUSED = {
    "seed without a model": ({"preset": "fast", "seed": 5}, "--seed is for the language model"),
    "replay without a model": ({"preset": "fast", "replay": 1}, "--replay is for the language model"),
    "bits without a prior": ({"prior_bits": 8}, "--prior-bits is for pretrained models"),
    "adaptation without a prior": ({"adapt": "head"}, "--adapt is for pretrained models"),
    "no predictor at all": ({"preset": "fast", "experts": "none"}, "consists of experts"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED)
def test_what_would_do_nothing_is_refused_in_the_same_words(run, tmp_path, options, words):
    with pytest.raises(UsageError, match=words) as caught:
        lmzip.compress(b"data", **options)
    (tmp_path / "file").write_bytes(b"data")
    typed = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    done = run("encode", tmp_path / "file", *typed)
    assert done.status == 2
    assert str(caught.value) in done.stderr
    assert not (tmp_path / "file.lmz").exists()


def test_a_prior_refuses_what_is_not_its_own(priors, run, tmp_path):
    (tmp_path / "file").write_bytes(b"data")
    for options in ({"seed": 3}, {"replay": 2}, {"prior_bits": 8}, {"adapt": "head"}, {"preset": "default"}):
        with pytest.raises(UsageError) as caught:
            lmzip.compress(b"data", prior=priors[0], **options)
        typed = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        done = run("encode", tmp_path / "file", "--prior", priors[0], *typed)
        assert done.status == 2
        assert str(caught.value) in done.stderr


VALUES = {
    "preset": ("nope", "auto", 3),
    "experts": ("nope",),
    "seed": (-1, "5", 1.5, True),
    "replay": (-1,),
    "frame_size": (0, -5, "1M"),
    "adapt": ("all",),
    "prior_bits": (7, "8"),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in VALUES.items() for value in values])
def test_values_that_no_option_takes_are_refused(name, value):
    with pytest.raises(UsageError, match=name.replace("_", "-")):
        EncodeOptions(**{name: value})


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_options_give_the_same_header(preset, run, tmp_path, toy_predictor):
    (tmp_path / "file").write_bytes(b"some data")
    seed = {} if preset == "fast" else {"seed": 7}
    library = EncodeOptions(preset=preset, frame_size=5000, independent_frames=True, **seed).header(Session())
    typed = ["--preset", preset, "--frame-size", 5000, "--independent-frames", *(["--seed", 7] if seed else [])]
    assert run("encode", tmp_path / "file", *typed).status == 0
    survey = Survey(io.BytesIO((tmp_path / "file.lmz").read_bytes()), session=Session())
    assert survey.header == library


def test_a_predictor_is_made_with_the_sessions_threads(monkeypatch):
    asked = []
    monkeypatch.setattr(sessions, "lockstep_class", lambda two: asked.append(two) or toy.ToyLockstep)
    monkeypatch.setattr(Session, "load_torch", lambda self, threads: None)
    header = lmzip.EncodeOptions().header(Session())
    for threads in (1, 2):
        with pytest.raises(TypeError):  # noqa: PT012 – the toy takes no products
            monkeypatch.setattr(Session, "products", lambda self: "none such")
            Session(threads).fresh(header)
    assert asked == [False, True]
    assert isinstance(Session().fresh(Header(segment=16, frame_size=16)), toy.ToyLockstep)
