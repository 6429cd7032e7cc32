"""Models of transformers as predictors: what they predict, that no choice changes it, that no byte is lost."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pretrained_models as made
import pytest
from guard import kernel_violations

import lmzip
from lmzip import checkpoint, pace, presets, warm
from lmzip.codec.message import NLL_BITS
from lmzip.errors import MissingPrior, PriorError
from lmzip.pretrained import (
    attention,
    families,
    functions,
    guesses,
    inference,
    layers,
    mixing,
    model,
    numbers,
    product,
    table,
    tensors,
    walk,
)
from lmzip.pretrained.tokens import Tokens
from lmzip.session import Session

FOUR_SCRIPTS = (
    "The quick brown fox. Съешь ещё этих мягких булок. 色は匂へど散りぬるを। ऋषियों को सताने वाले दुष्ट राक्षसों के राजा\n"
)
DATA = {
    "text": FOUR_SCRIPTS.encode(),
    "source": Path(__file__).read_bytes()[:400],
    "random": np.random.default_rng(1).integers(0, 256, 150, np.uint8).tobytes(),
    "empty": b"",
    "one byte": b"\xe9",
    "surrogates": b"lone \xed\xa0\x80 and \xed\xbf\xbf pairs \xed\xa0\xbd\xed\xb8\x80 here",
    "broken": b"cut \xe2\x82 short, \xc0\xaf overlong, \xff\xfe, \xf4\x90\x80\x80 beyond, the end \xf0\x9f\x98",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A model of each family with a byte-level tokenizer, and a GPT-2 with each other kind of tokenizer."""
    root = tmp_path_factory.mktemp("models")
    found = {family: made.save(root / family, family) for family in made.FAMILIES}
    found["long"] = made.save(root / "long", "llama", max_position_embeddings=256)
    return found | {kind: made.save(root / kind, "gpt2", kind) for kind in made.TOKENIZERS}


def network(folder: Path, bits: int = 8, context: int = families.CONTEXT) -> inference.Network:
    found = families.architecture(folder)
    weights = families.Weights(found, tensors.tensors(folder), folder)
    _, span = inference.context_and_span(found, context)
    held = numbers.made(found, weights, bits) | numbers.turns(found, span)
    return inference.Network(found, held, weights.embedding(), bits, context)


def logits(network: inference.Network, tokens: np.ndarray, first: int = 0, window=None) -> np.ndarray:
    return network.logits([(window or network.window(), tokens, first)])[0]


def state(folder: Path, experts: str = "none", bits: int = 8, adapt: str = "none"):
    pretrained = model.open_model(folder, bits, adapt)
    return pretrained.lockstep(pretrained.archive_header(presets.EXPERTS[experts], 1 << 20), Session())


def coded(predictor, data: bytes) -> tuple[bytes, int]:
    """Transcript and code length."""
    encoding = predictor.encode(np.frombuffer(data, np.uint8))
    while not encoding.done:
        encoding.advance(4)
    return encoding.finish(), encoding.nll


def decoded(predictor, transcript: bytes, length: int) -> bytes:
    decoding = predictor.decode(np.frombuffer(transcript, np.uint8), length)
    while not decoding.done:
        decoding.advance(3)
    return decoding.finish().tobytes()


def ids(count: int = made.CONTEXT, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, made.VOCABULARY, count).astype(np.int32)


# What is predicted


@pytest.mark.parametrize("family", made.FAMILIES)
def test_predictions_are_those_of_transformers(folders, family):
    import torch

    with torch.no_grad():
        reference = made.model(family)(torch.from_numpy(ids()[None].astype(np.int64))).logits[0].double()
    p = reference.log_softmax(-1)
    assert 2 < reference.std() < 4  # spread, as said
    for bits, bound in ((8, 0.01), (12, 1e-3), (16, 1e-4)):
        q = torch.from_numpy(logits(network(folders[family], bits), ids())).double().log_softmax(-1)
        divergence = (p.exp() * (p - q)).sum(-1).mean().item() / math.log(2)
        assert 0 <= divergence <= bound


@pytest.mark.parametrize("family", made.FAMILIES)
@pytest.mark.parametrize("bits", [8, 12])
def test_no_bit_depends_on_batches_or_what_is_remembered(folders, family, bits):
    tokens, here = ids(), network(folders[family], bits)
    whole, window = logits(here, tokens), here.window()
    steps = np.concatenate([logits(here, tokens[: n + 1], n, window) for n in range(len(tokens))])
    assert np.array_equal(steps, whole)
    window, at = here.window(), 0
    for size in (1, 5, 17, 9, 3, 13):
        assert np.array_equal(logits(here, tokens[: at + size], at, window), whole[at : at + size])
        at += size
    logits(here, ids(30, seed=1), 29, window)  # what is remembered is no longer of use
    assert np.array_equal(logits(here, tokens, 40, window), whole[40:])
    for seed in (1, 2):  # guesses that turn out wrong are forgotten
        wrong = np.concatenate((tokens[:33], ids(5, seed)))
        assert np.array_equal(logits(here, wrong, 30, window)[:3], whole[30:33])
    assert np.array_equal(logits(here, tokens[:36], 30, window), whole[30:36])


@pytest.mark.parametrize("family", made.FAMILIES)
def test_windows_in_one_batch_do_not_see_each_other(folders, family):
    here, tokens = network(folders[family]), [ids(seed=seed) for seed in range(3)]
    windows = [here.window() for _ in tokens]
    for n in (1, 2, 20, 48):
        firsts = [n - 1, 0, n // 2]
        got = here.logits([(window, t[:n], first) for window, t, first in zip(windows, tokens, firsts)])
        for logits_of, t, first in zip(got, tokens, firsts):
            assert np.array_equal(logits_of, logits(here, t[:n], first))


def test_a_later_token_changes_no_earlier_prediction(folders):
    window = ids()
    before = logits(network(folders["gpt2"]), window)
    window[30] ^= 1
    after = logits(network(folders["gpt2"]), window)
    assert np.array_equal(before[:30], after[:30]) and not np.array_equal(before[30], after[30])


def test_a_token_costs_what_the_model_says(folders):
    data = made.SAMPLE.read_bytes()[5000:5080]
    predictor = state(folders["gpt2"])
    places, _ = predictor.pretrained.tokens.cut(data)
    chosen = predictor.pretrained.table.order[places]
    assert len(chosen) < made.CONTEXT
    tokens = np.concatenate(([0], chosen[:-1])).astype(np.int32)
    nats = logits(network(folders["gpt2"]), tokens).astype(np.float64)
    nats = nats[:, predictor.pretrained.table.order]  # special tokens are never coded
    bits = np.log2(np.exp(nats).sum(1)) - nats[np.arange(len(places)), places] / math.log(2)
    transcript, nll = coded(predictor, data)
    assert nll / (1 << NLL_BITS) == pytest.approx(bits.sum(), rel=1e-3)
    assert len(transcript) <= nll / (8 << NLL_BITS) * 1.0001 + 64


def test_tables_of_functions_are_right():
    x = np.arange(functions.SIGMOID_REACH * functions.STEPS + 1) / functions.STEPS
    assert np.array_equal(functions.sigmoid()[:-1], (1 / (1 + np.exp(-x))).astype(np.float32))
    x = np.arange(functions.NORMAL_REACH * functions.STEPS + 1) / functions.STEPS
    expected = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x], np.float32)
    assert np.abs(functions.normal()[:-1] - expected).max() < 1e-7
    angles = np.arange(50)[:, None] * 500000.0 ** (-np.arange(0, 16, 2) / 16)
    cosines, sines = functions.rotations(functions.inverse_frequencies(16, 500000.0), 50)
    assert np.abs(cosines - np.cos(angles)).max() < 1e-7 and np.abs(sines - np.sin(angles)).max() < 1e-7


@pytest.mark.parametrize("kind", ["linear", "llama3"])
def test_scaled_rotations_are_those_of_transformers(folders, tmp_path, kind):
    import torch
    import transformers as tf

    scaling = {"rope_type": kind, "factor": 4.0, "rope_theta": 10000.0}
    if kind == "llama3":
        scaling |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 24}
    folder = Path(shutil.copytree(folders["llama"], tmp_path / "scaled"))
    made.change(folder / "config.json", rope_parameters=scaling)
    scaled = tf.LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        reference = scaled(torch.from_numpy(ids()[None].astype(np.int64))).logits[0].numpy()
    assert np.abs(logits(network(folder, 16), ids()) - reference).max() < 0.02


@pytest.mark.portability
def test_kernels_keep_the_contract(folders):
    import numba

    for family in ("gpt2", "llama"):
        logits(network(folders[family], 12), ids())
    coded(state(folders["unigram"], adapt="head"), b"warm \xff up")
    coded(state(folders["unigram"], "fast"), b"warm \xff up")
    seen, mixed = 0, ("code_token", "_code_mixed", "_code_byte")  # of the experts', the coder's, and of integers
    for module, name, kernel in (
        (m, name, kernel) for m in (attention, layers, mixing, product, walk) for name, kernel in vars(m).items()
    ):
        if getattr(kernel, "__module__", "") != module.__name__ or name in mixed:
            continue
        for signature in getattr(kernel, "signatures", []):
            fresh = numba.njit(error_model="numpy")(kernel.py_func)  # what comes from the cache can't be looked into
            fresh.compile(signature)
            assert kernel_violations(fresh) == []
            seen += 1
    assert seen > 12


# No byte is lost


@pytest.mark.parametrize("kind", made.TOKENIZERS)
@pytest.mark.parametrize("name", DATA)
def test_round_trip(folders, kind, name):
    data = DATA[name]
    transcript, _ = coded(state(folders[kind]), data)
    assert decoded(state(folders[kind]), transcript, len(data)) == data


@pytest.mark.parametrize("kind", ["byte level", "wordpiece"])
def test_round_trip_with_experts(folders, kind):
    data = b"".join(DATA.values())
    sender, receiver = state(folders[kind], "fast", adapt="head"), state(folders[kind], "fast", adapt="head")
    for part in (data[:500], data[500:]):  # two frames
        transcript, _ = coded(sender, part)
        assert decoded(receiver, transcript, len(part)) == part
        assert sender.digest() == receiver.digest()
        for predictor in (sender, receiver):
            predictor.skip(np.frombuffer(b"stored", np.uint8))


def defects():
    from tokenizers import normalizers, pre_tokenizers

    words = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return {
        "lower case": {"normalizer": normalizers.Lowercase()},
        "NFKC": {"normalizer": normalizers.NFKC()},
        "accents stripped": {"normalizer": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])},
        "spaces dropped": {"pre_tokenizer": words},
        "space put before": {"pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=True)},
        "text stripped": {"normalizer": normalizers.Strip()},
    }


@pytest.mark.parametrize("defect", defects())
def test_defects_of_tokenizers_cost_no_byte(folders, tmp_path, defect):
    folder = Path(shutil.copytree(folders["gpt2"], tmp_path / "model"))
    made.tokenizer("byte level", **defects()[defect]).save(str(folder / "tokenizer.json"))
    data = "  ÀÉ ﬁne ① Two  spaces\tand <|endoftext|> tokens, e\u0301 ſ  \n\n ".encode() * 3
    transcript, _ = coded(state(folder), data)
    assert decoded(state(folder), transcript, len(data)) == data


@pytest.mark.parametrize("special", [True, False])
def test_added_tokens_in_the_data_cost_no_byte(folders, tmp_path, special):
    from tokenizers import AddedToken

    folder = Path(shutil.copytree(folders["gpt2"], tmp_path / "model"))
    tokenizer = made.tokenizer("byte level")
    tokens = [AddedToken("<tool>", lstrip=True, rstrip=True), AddedToken("<beyond>")]
    vocabulary = tokenizer.get_vocab_size()
    (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(tokens)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == vocabulary + 2  # ids that the model does not have
    data = b"a <tool>  b <beyond><|endoftext|> <tool>"
    transcript, _ = coded(state(folder), data)
    assert decoded(state(folder), transcript, len(data)) == data


def test_the_tokenizers_own_tokens_are_used_where_they_are_the_bytes(folders):
    from tokenizers import Tokenizer

    text = made.SAMPLE.read_text("utf-8")[1000:3000]
    for kind, least in (("byte level", 1.0), ("sentencepiece", 0.99)):
        found = model.open_model(folders[kind])
        places, ends = found.tokens.cut(text.encode())
        theirs = Tokenizer.from_file(str(folders[kind] / "tokenizer.json")).encode(text, add_special_tokens=False).ids
        ours = found.table.order[places].tolist()
        same = sum(a == b for a, b in zip(ours[::-1], theirs[::-1], strict=False))  # a first space may be dropped
        assert same >= least * len(theirs) and ends[-1] == len(text.encode())


@pytest.mark.parametrize("kind", made.TOKENIZERS)
def test_whatever_is_cut_are_the_same_bytes(folders, kind):
    found = model.open_model(folders[kind])
    texts = st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))

    @hypothesis.given(st.lists(st.one_of(st.binary(max_size=20), texts), max_size=5))
    def check(parts):
        data = b"".join(parts)
        places, ends = found.tokens.cut(data)
        tokens = [None if place < 0 else found.table.tokens[place] for place in places]
        starts = [0, *ends.tolist()][: len(tokens)]
        assert all(token is None or data.startswith(token, start) for token, start in zip(tokens, starts, strict=True))
        assert (ends[-1] if len(ends) else 0) == len(data)
        assert [len(token or b"x") for token in tokens] == np.diff([0, *ends]).tolist()

    check()


def test_without_a_tokenizer_the_table_cuts(folders):
    found = model.open_model(folders["byte level"])
    cutter = Tokens(found.table, found.trie, found.architecture.vocabulary, None)
    places, ends = cutter.cut(b"the river")
    assert b"".join(found.table.tokens[place] for place in places) == b"the river" and ends[-1] == 9
    longest = max(found.table.tokens, key=lambda token: (b"the river".startswith(token), len(token)))
    assert found.table.tokens[places[0]] == longest


def test_a_hostile_transcript_decodes_to_something(folders):
    for kind in ("byte level", "unigram"):
        noise = np.random.default_rng(2).integers(0, 256, 200, np.uint8).tobytes()
        assert len(decoded(state(folders[kind]), noise, 60)) == 60
        assert len(decoded(state(folders[kind], "fast"), noise, 60)) == 60


def test_tables_of_every_kind_say_which_bytes_a_token_is(folders):
    for kind in made.TOKENIZERS:
        found = table.read(folders[kind], made.VOCABULARY)
        assert found.kind == {"unigram": "sentencepiece"}.get(kind, kind)
        assert found.tokens == sorted(set(found.tokens)) and 0 not in found.order  # id 0 is special
        assert found.complete == (kind in ("byte level", "sentencepiece"))
    assert b" the" in table.read(folders["byte level"], made.VOCABULARY).tokens
    assert b"th" in table.read(folders["wordpiece"], made.VOCABULARY).tokens or found


# Adaptation


def test_an_adapting_head_learns_the_file(folders):
    data = b"zqzqxzqzqx" * 60
    lengths = {}
    for adapt in ("none", "head"):
        transcript, lengths[adapt] = coded(state(folders["gpt2"], adapt=adapt), data)
        assert decoded(state(folders["gpt2"], adapt=adapt), transcript, len(data)) == data
    assert lengths["head"] < 0.9 * lengths["none"]


def test_experts_learn_what_the_model_does_not_know(folders):
    data = DATA["text"] * 5
    assert coded(state(folders["gpt2"], "fast"), data)[1] < 0.6 * coded(state(folders["gpt2"]), data)[1]


# Archives


def test_an_archive_names_its_model(folders, tmp_path, run):
    path, folder = tmp_path / "text", folders["llama"]
    path.write_bytes(made.SAMPLE.read_bytes()[:800])
    done = run("encode", path, "--prior", folder, "--experts", "none", "--adapt", "head", "--prior-bits", "16")
    assert done.status == 0
    archive = tmp_path / "text.lmz"
    assert run("verify", archive, path, "--prior-path", folder).status == 0
    assert run("decode", archive, "-o", tmp_path / "back", "--prior-path", folder.parent).status == 0
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    ledger = json.loads(run("info", archive, "--json", "--prior-path", folder).stdout)["ledger"]
    files = ("model.safetensors", "config.json", "tokenizer.json")
    stored = sum((folder / name).stat().st_size for name in files)
    assert ledger["prior"] == stored and ledger["prior_rebuilt"] is None and ledger["conditional"]
    assert ledger["description_length"] == ledger["archive"] + stored + ledger["code_left_out"]
    assert ledger["code_left_out"] > 40000  # the codec, and what reads pretrained models


def test_weights_are_loaded_once_for_all_files_of_a_command(folders, run, tmp_path, monkeypatch):
    loaded, network = [], inference.Network.__init__
    monkeypatch.setattr(inference.Network, "__init__", lambda *given: loaded.append(1) or network(*given))
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        path.write_bytes(made.SAMPLE.read_bytes()[:600] + path.name.encode())
    assert run("encode", *paths, "--prior", folders["gpt2"]).status == 0
    assert loaded == [1]
    archives = [f"{path}.lmz" for path in paths]
    for command in (["decode", "-f"], ["-t"]):
        assert run(*command, *archives, "--prior-path", folders["gpt2"]).status == 0
    assert loaded == [1, 1, 1]


def test_options_of_models_that_would_do_nothing_are_refused(folders, run, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"some text")
    for options, why in (
        (("--window", "256", "--prior", folders["gpt2"]), "more than the 48 tokens that the model was made for"),
        (("--window", "512"), "for pretrained models"),
        (("--streams", "2"), "for pretrained models"),
        (("--streams", "0", "--prior", folders["gpt2"]), "from 1 on"),
    ):
        done = run("encode", path, *options)
        assert done.status and why in done.stderr and not (tmp_path / "text.lmz").exists()
    assert run("encode", path, "--window", "256", "--streams", "3", "--prior", folders["long"]).status == 0
    assert run("-t", tmp_path / "text.lmz", "--prior-path", folders["long"]).status == 0


def test_a_missing_or_other_model_is_refused_before_any_work(folders, tmp_path, monkeypatch):
    archive = lmzip.compress(b"some text " * 20, prior=folders["gpt2"], experts="none")
    other = Path(shutil.copytree(folders["gpt2"], tmp_path / "other"))
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1000] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    for place in ("", str(tmp_path / "nowhere"), str(folders["llama"]), str(other)):
        with pytest.raises(MissingPrior, match="is missing"):
            lmzip.decompress(archive, prior_path=place)
    assert lmzip.decompress(archive, prior_path=str(folders["gpt2"])) == b"some text " * 20


def test_precisions_offered_are_those_there_are():
    from lmzip import options
    from lmzip.pretrained import families

    assert (tuple(families.BITS), families.WINDOWS) == (options.BITS, options.WINDOWS)


def test_whatever_bears_on_a_prediction_is_in_the_digest(folders, tmp_path):
    found = model.read(folders["gpt2"])
    digests = {pretrained.digest for pretrained in model.variants(found)}
    assert len(digests) == 6
    folder = Path(shutil.copytree(folders["gpt2"], tmp_path / "other"))
    assert model.open_model(folder).digest in digests  # wherever it lies
    made.change(folder / "config.json", layer_norm_epsilon=2e-5)
    assert model.open_model(folder).digest not in digests
    made.change(folder / "config.json", layer_norm_epsilon=1e-5, use_cache=False, _model_name_or_path="x")
    assert model.open_model(folder).digest in digests
    made.tokenizer("sentencepiece").save(str(folder / "tokenizer.json"))
    assert model.open_model(folder).digest not in digests


@pytest.mark.parametrize("sound", [False, True])
def test_a_predictor_goes_on_from_a_checkpoint(folders, tmp_path, sound):
    data = made.SAMPLE.read_bytes()[1:90] + 2 * warm.SOUND if sound else made.SAMPLE.read_bytes()[:1200]
    expected, _ = coded(state(folders["gpt2"], "fast", adapt="head"), data)
    begun = state(folders["gpt2"], "fast", adapt="head")
    encoding = begun.encode(np.frombuffer(data, np.uint8))
    encoding.advance(9)
    checkpoint.save(tmp_path / "kept", {}, begun, encoding)
    again = state(folders["gpt2"], "fast", adapt="head")
    saved, encoding = checkpoint.Checkpoint(tmp_path / "kept"), again.encode(np.frombuffer(data, np.uint8))
    saved.restore_state(again)
    saved.restore_frame(encoding)
    while not encoding.done:
        encoding.advance(5)
    assert encoding.finish() == expected


@pytest.mark.parametrize("experts", ["none", "fast"])
@pytest.mark.parametrize("streams", [2, 7])
def test_streams_come_back_and_see_no_byte_ahead(folders, streams, experts):
    options = {"experts": experts, "streams": streams, "frame_size": 2048}
    data = made.SAMPLE.read_bytes()[:3000] + b"\xff\0" * 20
    for length in (0, 1, streams - 1, streams, 500, len(data)):
        archive = lmzip.compress(data[:length], prior=folders["gpt2"], **options)
        assert lmzip.decompress(archive, prior_path=str(folders["gpt2"])) == data[:length]
    pretrained = model.open_model(folders["gpt2"])
    header = pretrained.archive_header(presets.EXPERTS[experts], 1 << 20, streams=streams)
    sent = np.frombuffer(data[:1400], np.uint8)
    changed = sent.copy()
    changed[-1] ^= 1  # the last stream's last byte: no other sees it, and it is coded last
    transcripts = []
    for version in (sent, changed):
        transcripts.append(coded(pretrained.lockstep(header, Session()), version.tobytes())[0])
    alike = next(i for i, (a, b) in enumerate(zip(*transcripts)) if a != b)
    assert alike > 0.98 * len(transcripts[0])


def counting(function):
    """The function, which counts its calls."""

    def counted(*given):
        counted.calls += 1
        return function(*given)

    counted.calls = 0
    return counted


def test_the_pace_of_streams_is_measured(folders):
    session = Session()
    header = session.open(folders["gpt2"]).archive_header(presets.EXPERTS["fast"], 1 << 20, streams=2)
    for decoding in (False, True):
        assert pace.measured(header, session, decoding=decoding).seconds(10_000, header, session) > 0


def test_guesses_save_passes_and_change_no_bit(folders, monkeypatch):
    data = b"what I tell you three times is true; " * 12
    transcript, _ = coded(state(folders["gpt2"]), data)
    passes, ahead = {}, guesses.Guesses.ahead
    for guessing in (True, False):
        monkeypatch.setattr(guesses.Guesses, "ahead", ahead if guessing else lambda self, most: [])
        predictor = state(folders["gpt2"])
        counted = counting(predictor.network._forward)
        monkeypatch.setattr(predictor.network, "_forward", counted)
        assert decoded(predictor, transcript, len(data)) == data
        passes[guessing] = counted.calls
    assert passes[True] < 0.6 * passes[False]


def test_a_window_slides_before_it_begins_anew(folders):
    """What a position sees: the first of its window and the last `context`, at the distances they have."""
    tokens = ids(200)
    here, whole = (network(folders["long"], context=context) for context in (32, 256))
    assert (here.context, here.span, whole.span) == (32, 128, 256)
    short, full = logits(here, tokens[:128]), logits(whole, tokens[:128])
    assert np.array_equal(short[:32], full[:32]) and not np.array_equal(short[100:], full[100:])
    window = here.window()
    steps = [logits(here, tokens[: n + 1], n, window)[0] for n in range(128)]
    assert np.array_equal(steps, short)


def test_frames_of_a_pretrained_model_go_on_from_each_other(folders):
    data = made.SAMPLE.read_bytes()[:3000]
    for independent in (False, True):
        options = {"experts": "none", "frame_size": 1024, "independent_frames": independent}
        archive = lmzip.compress(data, prior=folders["qwen2"], **options)
        assert lmzip.decompress(archive, prior_path=str(folders["qwen2"])) == data


def test_predictors_share_the_loaded_weights_and_don_t_disturb_each_other(folders):
    pretrained = model.open_model(folders["gpt2"])
    header = pretrained.archive_header(None, 1 << 20)
    one, other = (pretrained.lockstep(header, Session()) for _ in range(2))
    assert one.network is other.network
    texts = made.SAMPLE.read_bytes()[:300], made.SAMPLE.read_bytes()[1000:1300]
    pairs = [here.encode(np.frombuffer(text, np.uint8)) for here, text in zip((one, other), texts)]
    while not all(encoding.done for encoding in pairs):
        for encoding in pairs:
            encoding.advance()
    alone = [coded(state(folders["gpt2"]), text)[0] for text in texts]
    assert [encoding.finish() for encoding in pairs] == alone


# What is refused


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"model_type": "bloom"}, "model type 'bloom'"),
        ({"auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "auto_map"),
        ({"hidden_act": "mish"}, "activation 'mish'"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope type 'yarn'"),
        ({"rope_parameters": {"rope_type": "linear", "factor": "x"}}, "rotary"),
        ({"num_experts": 8}, "num_experts"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"num_hidden_layers": 1 << 40}, "num_hidden_layers"),
        ({"hidden_size": -4}, "hidden_size"),
        ({"rms_norm_eps": 0.0}, "rms_norm_eps"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "no causal language model"),
        ({"vocab_size": 500}, "shape"),
        ({"num_hidden_layers": 1}, "tensor model.layers.1"),
        ({"num_hidden_layers": 3}, "tensor model.layers.2"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(folders, tmp_path, values, named):
    folder = Path(shutil.copytree(folders["llama"], tmp_path / "model"))
    made.change(folder / "config.json", **values)
    with pytest.raises(PriorError, match=named):
        network(folder)


def test_layers_that_are_not_ours_are_refused_by_their_name(folders, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = Path(shutil.copytree(folders["llama"], tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    norm = "model.layers.0.self_attn.q_norm.weight"
    save_file(weights | {norm: np.ones(8, np.float32)}, folder / "model.safetensors")
    with pytest.raises(PriorError, match=norm):
        network(folder)
    weights["model.norm.weight"] = np.full(32, np.inf, np.float32)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(PriorError, match=r"model\.norm\.weight holds numbers that are not finite"):
        network(folder)
    weights["model.norm.weight"] = np.full(32, 1e38, np.float32)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(PriorError, match="grow beyond"):
        logits(network(folder), ids())


def test_hostile_directories_are_refused(folders, tmp_path):
    folder = Path(shutil.copytree(folders["gpt2"], tmp_path / "model"))
    weights, whole = folder / "model.safetensors", (folder / "model.safetensors").read_bytes()

    def header(**entry: object) -> bytes:
        text = json.dumps({"transformer.wte.weight": entry}).encode()
        return len(text).to_bytes(8, "little") + text

    sound = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    for content in (
        whole[:-1],
        whole + b"x",
        b"",
        (1 << 62).to_bytes(8, "little") + whole[8:],
        header(**sound),
        header(**sound | {"shape": [1 << 39, 1 << 39], "data_offsets": [0, 1 << 80]}) + bytes(8),
        header(**sound | {"dtype": "F4"}) + bytes(8),
        header(**sound | {"data_offsets": [-8, 0]}) + bytes(8),
        header(**sound | {"shape": None}) + bytes(8),
        (6).to_bytes(8, "little") + b"[[[[[[",
    ):
        weights.write_bytes(content)
        with pytest.raises(PriorError, match="safetensors"):
            model.read(folder)
    weights.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(PriorError, match="pickle"):
        model.read(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../etc/passwd"}}')
    with pytest.raises(PriorError, match="elsewhere"):
        model.read(folder)
    (folder / "model.safetensors.index.json").unlink()
    weights.write_bytes(whole)
    for content in ("[", "[]", '{"model": 1}', '{"model": {"vocab": {"a": "b"}}}', '{"model": {"vocab": {"a": 9999}}}'):
        (folder / "tokenizer.json").write_text(content)
        with pytest.raises(PriorError, match="tokenizer"):
            model.read(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(PriorError, match=r"no tokenizer\.json"):
        model.read(folder)


def test_a_model_in_pieces_and_in_bfloat16_is_read(folders, tmp_path):
    import torch

    whole = made.model("qwen2").to(torch.bfloat16)
    whole.save_pretrained(tmp_path, max_shard_size="20KB")
    shutil.copy(folders["qwen2"] / "tokenizer.json", tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    found = tensors.tensors(tmp_path)
    for name, weights in whole.state_dict().items():
        assert np.array_equal(found[name].floats(), weights.float().numpy())
    assert model.open_model(tmp_path).digest != model.open_model(folders["qwen2"]).digest


def test_models_are_found_in_folders_of_folders(folders):
    pretrained = model.open_model(folders["gpt_neox"])
    session = Session(prior_path=str(folders["gpt_neox"].parent))
    assert session.find(pretrained.digest).path == folders["gpt_neox"]


# lmzip's own model


def test_a_prior_exports_to_a_directory_and_loads_again(tmp_path, run):
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    from lmzip.pretrained.export import predictions
    from lmzip.prior import store

    corpus, text = tmp_path / "corpus", tmp_path / "text"
    corpus.write_bytes(made.SAMPLE.read_bytes()[:4000])
    text.write_bytes(made.SAMPLE.read_bytes()[4000:4500])
    prior, folder = tmp_path / "own.prior", tmp_path / "own"
    assert run("prior", "train", corpus, "-o", prior, "--experts", "none").status == 0
    assert run("prior", "export", prior, "-o", folder).status == 0
    assert run("prior", "export", prior, "-o", folder).status == 1  # exists
    archives = []
    for source in (prior, folder):
        assert run("encode", text, "--prior", source, "-f", "--no-code").status == 0
        archives.append((tmp_path / "text.lmz").read_bytes())
    assert archives[0] == archives[1]
    assert lmzip.decompress(archives[0], prior_path=str(folder)) == text.read_bytes()

    loaded = AutoModelForCausalLM.from_pretrained(folder)
    data = np.frombuffer(text.read_bytes()[:40], np.uint8)
    here = Session(prior_path=str(prior))
    expected = predictions(store.read(prior), here, data)
    assert (expected.sum(1) == 1 << 24).all()
    logits = loaded(torch.from_numpy(data.astype(np.int64))[None]).logits[0].double()
    assert np.array_equal(np.rint(logits.exp().numpy() * 2**24).astype(np.int64), expected.astype(np.int64))
    first = here.lockstep(store.read(prior).archive_header(1 << 20))  # what coding would use
    first.put(first.position, data)
    coded_first = first.model.predict_segment(first.history, np.zeros(1, np.int64), np.array([first.position]), 20)[0]
    assert np.array_equal(coded_first[1:], expected[:19])
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    assert tokenizer("é x").input_ids == list("é x".encode())
