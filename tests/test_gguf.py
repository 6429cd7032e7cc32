"""GGUF files: the numbers, names and tokens in them, and that nothing wrong is believed."""

from __future__ import annotations

import json
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import fuzz_gguf
import gguf_models
import numpy as np
import pretrained_models as made
import pytest
from test_families import CASES

import lmzip
from lmzip.errors import PriorError
from lmzip.pretrained import blocks, digests, families, functions, gguf, located, model, tensors, tokens, translation

WITH_FILES = [
    case for case in CASES if "layers listed" not in case and "llama 3" not in case and "from a layer" not in case
]
LARGE = os.environ.get("LMZIP_TEST_GGUF", "")  # SmolLM2-135M-Instruct.Q4_1.gguf, see scripts/fetch_model.sh


@pytest.fixture(scope="module")
def smol() -> Path:
    """The published model that scripts/fetch_model.sh fetches."""
    if not Path(LARGE).is_file():
        pytest.skip("LMZIP_TEST_GGUF names no file: bash scripts/fetch_model.sh FOLDER")
    return Path(LARGE)


def read(path: Path) -> tuple[families.Architecture, families.Weights]:
    file = gguf.read(path)
    found = translation.architecture(file)
    return found, families.Weights(found, translation.tensors(file, found), path)


# Numbers


@pytest.mark.parametrize("number", blocks.KINDS)
def test_blocks_are_decoded_to_the_bits_of_the_gguf_package(number):
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    kind = blocks.KINDS[number]
    rows = np.random.default_rng(number).integers(0, 256, (500, 3 * kind.size), np.uint8)
    with np.errstate(all="ignore"):
        expected = dequantize(rows, GGMLQuantizationType(number))
    decoded = blocks.decode(kind, rows)
    finite = np.isfinite(expected)
    assert np.array_equal(decoded.view(np.uint32)[finite], expected.view(np.uint32)[finite])
    assert np.array_equal(np.isfinite(decoded), finite) and finite.mean() > 0.5


@pytest.mark.parametrize("number", blocks.KINDS)
def test_rows_are_decoded_alone_and_in_pieces_alike(number, monkeypatch):
    kind = blocks.KINDS[number]
    rows = np.random.default_rng(number).integers(0, 60, (9, 2 * kind.size), np.uint8)
    whole = blocks.decode(kind, rows)
    assert np.array_equal(blocks.decode(kind, rows[[5, 0]]), whole[[5, 0]])
    monkeypatch.setattr(blocks, "PIECE", 4 * whole.shape[1])
    assert np.array_equal(blocks.decode(kind, rows), whole)


def test_a_scale_that_is_not_finite_is_refused(tmp_path):
    path = gguf_models.save(tmp_path / "model.gguf", made.model("llama"), "Q8_0")
    tensor = gguf.read(path).tensors["blk.0.attn_v.weight"]
    assert tensor.kind == "Q8_0"
    content = bytearray(path.read_bytes())
    for scale in (np.inf, -np.inf, np.nan):
        content[tensor.start : tensor.start + 2] = np.float16(scale).tobytes()
        content[tensor.start + 2 : tensor.start + 34] = bytes(32)  # also where all of a block is 0
        path.write_bytes(content)
        with pytest.raises(PriorError, match="not finite"):
            gguf.read(path).tensors["blk.0.attn_v.weight"].floats()


# What a file says


@pytest.mark.parametrize("case", WITH_FILES)
def test_a_file_and_a_directory_of_the_same_model_are_the_same(tmp_path, case):
    family, options = CASES[case]
    scale = {"query_pre_attn_scalar": 16} if family == "gemma3_text" else {}  # that of the head's size is implied
    original = made.model(family, **options, **scale)
    original.save_pretrained(tmp_path)
    expected = families.architecture(tmp_path)
    directory = families.Weights(expected, tensors.tensors(tmp_path), tmp_path)
    found, weights = read(gguf_models.save(tmp_path / "model.gguf", original))
    float32 = {name: float(np.float32(getattr(expected, name))) for name in ("epsilon", "base")}
    assert replace(found, family=family) == replace(expected, **float32)
    for layer in range(found.layers):
        pairs = [
            (weights.linear(layer, which), directory.linear(layer, which)) for which in ("qkv", "out", "up", "down")
        ]
        pairs += list(zip(weights.norms(layer), directory.norms(layer), strict=True))
        for ours, theirs in [*pairs, (weights.head_norms(layer), directory.head_norms(layer))]:
            assert (ours is None) == (theirs is None)
            assert all(np.array_equal(a, b) for a, b in zip(ours or (), theirs or (), strict=True))
    rows = np.array([3, 1, 200])
    assert np.array_equal(weights.embedding().floats(rows), directory.embedding().floats(rows))
    assert np.array_equal(weights.head()[0].floats(), directory.head()[0].floats())
    assert all(np.array_equal(*pair) for pair in zip(weights.last_norm(), directory.last_norm()))
    if found.rotary == 0:
        assert np.array_equal(weights.positions(), directory.positions())
    weights.finish()


@pytest.mark.parametrize("kind", gguf_models.KINDS)
def test_quantised_rows_are_put_in_the_order_of_transformers(tmp_path, kind):
    original = made.model("llama")
    path = gguf_models.save(tmp_path / "model.gguf", original, kind)
    _, weights = read(path)
    weight, _ = weights.linear(0, "qkv")
    expected = np.concatenate([original.state_dict()[f"model.layers.0.self_attn.{n}_proj.weight"] for n in "qkv"])
    worst = {"F32": 0, "F16": 1e-3, "BF16": 5e-3, "Q8_0": 5e-3}.get(kind, 0.1)
    assert np.abs(weight - expected).max() <= worst
    tensor = translation.tensors(gguf.read(path), weights.architecture)["model.layers.0.self_attn.q_proj.weight"]
    assert np.array_equal(tensor.floats([7, 2]), tensor.floats()[[7, 2]])
    assert np.array_equal(tensor.floats(slice(3, 9)), tensor.floats()[3:9])


@pytest.mark.parametrize("case", ["llama", "qwen2", "qwen3", "gemma3"])
def test_transformers_reads_the_same_from_the_file(tmp_path, case):
    """Where transformers has a reader for the architecture. It takes 1 off Gemma's gains, and 128 for Qwen3's heads."""
    import transformers

    family, options = CASES[case]
    size = {"head_dim": 128} if family == "qwen3" else {}
    path = gguf_models.save(tmp_path / "model.gguf", made.model(family, **options, **size), "Q8_0")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name).state_dict()
    found, _ = read(path)
    for name, tensor in translation.tensors(gguf.read(path), found).items():
        if name.endswith(".gain"):
            assert np.abs(tensor.floats() - 1 - theirs[f"{name[:-5]}.weight"].numpy()).max() < 1e-6
        else:
            assert np.array_equal(tensor.floats(), theirs[name].numpy()), name


def test_factors_of_the_rotation_are_those_of_llama_3(tmp_path):
    family, options = CASES["llama 3"]
    original = made.model(family, **options)
    original.save_pretrained(tmp_path)
    expected = families.architecture(tmp_path)
    dims = expected.rotary
    plain, scaled = (
        np.array(functions.inverse_frequencies(dims, expected.base, scaling), np.float64)
        for scaling in (None, expected.scaling)
    )
    factors = (plain / scaled).astype(np.float32)
    assert factors.max() > 3 > factors.min()
    path = gguf_models.save(
        tmp_path / "model.gguf", original, extra=lambda writer: writer.add_tensor("rope_freqs.weight", factors)
    )
    found, _ = read(path)
    ours = np.array(functions.inverse_frequencies(dims, found.base, found.scaling), np.float64)
    assert np.abs(ours / scaled - 1).max() < 1e-7


@pytest.mark.parametrize(
    ("add", "named"),
    [
        (lambda w: w.add_expert_count(8), "expert_count"),
        (lambda w: w.add_logit_scale(0.5), "logit_scale"),
        (lambda w: w.add_array("llama.rope.dimension_sections", [1, 2]), "dimension_sections"),
        (lambda w: w.add_string("llama.rope.scaling.type", "yarn"), "yarn"),
        (lambda w: w.add_type("adapter"), "adapter"),
        (lambda w: w.add_uint16("split.count", 3), "part of a model"),
        (lambda w: w.add_tensor("rope_freqs.weight", np.ones(3, np.float32)), "rope_freqs"),
        (lambda w: w.add_tensor("blk.0.attn_sinks.weight", np.ones(4, np.float32)), "attn_sinks"),
        (lambda w: w.add_tensor("blk.00.attn_q.weight", np.ones((32, 32), np.float32)), r"layers\.00"),
        (lambda w: w.add_tensor("model.norm.weight", np.ones(32, np.float32)), "twice"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(tmp_path, add, named):
    path = gguf_models.save(tmp_path / "model.gguf", made.model("llama"), extra=add)
    with pytest.raises(PriorError, match=named):
        gguf_models.everything(path)


# Tokens


@pytest.mark.parametrize("kind", ["byte level", "sentencepiece"])
def test_tokens_are_those_of_tokenizer_json(tmp_path, kind):
    folder = made.save(tmp_path / "folder", "llama", kind)
    path = gguf_models.save(tmp_path / "model.gguf", made.model("llama"), tokenizer=kind)
    ours, theirs = model.open_model(path), model.open_model(folder)
    assert ours.table.tokens == theirs.table.tokens and np.array_equal(ours.table.order, theirs.table.order)
    assert ours.table.complete
    text = made.SAMPLE.read_bytes()[:5000]
    cuts = [pretrained.tokens.cut(text)[0] for pretrained in (ours, theirs)]
    assert len(cuts[0]) <= 1.02 * len(cuts[1])  # SentencePiece's merges are told by scores alone
    assert kind != "byte level" or np.array_equal(*cuts)


@pytest.mark.parametrize(
    "name", ["smollm", "llama-bpe", "qwen2", "gpt-4o", "tekken", "olmo", "default", "unheard-of", 3, None]
)
def test_every_pre_tokenizer_makes_a_tokenizer_and_loses_no_byte(tmp_path, name):
    from tokenizers import Tokenizer

    path = gguf_models.save(tmp_path / "model.gguf", made.model("llama"))
    file = gguf.read(path)
    file.values["tokenizer.ggml.pre"] = name
    from lmzip.pretrained import tokenizer

    made_of_it = Tokenizer.from_str(tokenizer.definition(file))
    text = "It's 12345 o'clock,  ISN'T it?\n\n\tyes ünïcode 色は匂へど\r\n"
    pretrained = model.open_model(path)
    pretrained.tokens.tokenizer = made_of_it
    places, _ = pretrained.tokens.cut(text.encode())
    assert b"".join(pretrained.table.tokens[place] for place in places) == text.encode()
    words = [text[start:stop] for _, (start, stop) in made_of_it.pre_tokenizer.pre_tokenize_str(text)]
    digits = {"smollm": 1, "qwen2": 1, "tekken": 1, "llama-bpe": 3, "gpt-4o": 3}.get(name)
    longest = max(len(word.strip()) for word in words if word.strip().isdigit())
    assert longest == (digits or 5)


def test_literal_and_unused_tokens_and_words_not_known(tmp_path):
    from gguf import TokenType

    path = gguf_models.save(tmp_path / "model.gguf", made.model("llama"))
    file = gguf.read(path)
    pieces, types = file.values["tokenizer.ggml.tokens"], file.values["tokenizer.ggml.token_type"].copy()
    pieces[300:304] = ["<tool>", "[PAD]", "é ", "x"]
    types[300:304] = [TokenType.USER_DEFINED, TokenType.UNUSED, TokenType.USER_DEFINED, TokenType.CONTROL]
    file.values["tokenizer.ggml.token_type"] = types
    from lmzip.pretrained import table

    found = table.made(translation.vocabulary(file), made.VOCABULARY, path)
    assert {b"<tool>", "é ".encode()} <= set(found.tokens) and b"[PAD]" not in found.tokens
    assert not {301, 303} & set(found.order.tolist())


# Files


def test_where_a_file_is_found(tmp_path, run):
    path = gguf_models.save(tmp_path / "model.gguf", made.model("llama"), "Q4_0")
    expected = model.open_model(path)
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(path, folder / "any.gguf")
    store = tmp_path / "ollama"
    name = "sha256-" + "0a" * 32
    blob, manifest = store / "blobs" / name, store / "manifests" / "registry" / "library" / "m" / "latest"
    for parent in (blob.parent, manifest.parent):
        parent.mkdir(parents=True)
    shutil.copy(path, blob)
    layers = [{"mediaType": "application/vnd.ollama.image.model", "digest": name.replace("-", ":")},
              {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:00"}]  # fmt: skip
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    for place in (folder, folder / "any.gguf", blob, manifest):
        assert model.open_model(place).digest == expected.digest, place
        assert model.find(expected.digest, [place]) is not None
    assert model.find(expected.digest, [blob.parent]) is not None
    assert expected.size == path.stat().st_size
    made.model("llama").config.save_pretrained(folder)  # beside it
    assert model.open_model(folder).digest == expected.digest
    (folder / "config.json").unlink()
    shutil.copy(path, folder / "other.gguf")
    with pytest.raises(PriorError, match="no GGUF file"):
        model.open_model(folder)
    layers[1]["mediaType"] = "application/vnd.ollama.image.adapter"
    manifest.write_text(json.dumps({"layers": layers}))
    with pytest.raises(PriorError, match="adapter"):
        model.open_model(manifest)
    assert model.find(expected.digest, [manifest, path]) is not None
    blob.unlink()
    manifest.write_text(json.dumps({"layers": layers[:1]}))
    with pytest.raises(PriorError, match="blob"):
        model.open_model(manifest)
    for content in ("[]", '{"layers": 3}', '{"layers": [3]}', "{", '{"layers": []}'):
        manifest.write_text(content)
        assert located.gguf_file(manifest) is None


def test_a_file_is_a_prior_on_the_command_line(tmp_path, run):
    path = gguf_models.save(tmp_path / "model.gguf", made.model("llama"), "Q4_1")
    text = tmp_path / "text"
    text.write_bytes(made.SAMPLE.read_bytes()[:500] + bytes(range(256)))
    assert run("encode", text, "--prior", path, "--experts", "none").status == 0
    archive = tmp_path / "text.lmz"
    assert run("decode", archive, "-o", tmp_path / "back", "--prior-path", path).status == 0
    assert (tmp_path / "back").read_bytes() == text.read_bytes()
    ledger = json.loads(run("info", archive, "--json", "--prior-path", tmp_path).stdout)["ledger"]
    assert ledger["prior"] == path.stat().st_size
    shown = run("prior", "info", path)
    assert shown.status == 0 and b"llama" in shown.stdout and b"byte level" in shown.stdout


def test_a_digest_is_remembered_until_a_file_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    hashed = []
    whole = digests._hash
    monkeypatch.setattr(digests, "_hash", lambda *parts: hashed.append(1) or whole(*parts))
    path = gguf_models.save(tmp_path / "model.gguf", made.model("llama"), "Q8_0")

    def digest() -> bytes:
        model._read.cache_clear()
        return model.open_model(path).digest

    first = digest()
    assert digest() == first and len(hashed) == 2  # too young: it could change within a tick of the clock
    os.utime(path, (1e9, 1e9))
    assert [digest() for _ in range(3)] == [first] * 3 and len(hashed) == 3
    monkeypatch.setenv("LMZIP_HASH", "always")
    assert digest() == first and len(hashed) == 4
    monkeypatch.delenv("LMZIP_HASH")
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    assert digest() != first and len(hashed) == 5
    for file in (tmp_path / "cache" / "lmzip" / "models").iterdir():
        file.write_bytes(b"cut short")
    path.write_bytes(content)
    os.utime(path, (1e9, 1e9))
    assert digest() != first and len(hashed) == 6


# Hostile files


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def file_of(
    pairs: list[bytes], infos: list[bytes], data: bytes = b"", version: int = 3, more: tuple[int, int] = (0, 0)
) -> bytes:
    """A file by its parts; it says that there are `more` tensors and pairs."""
    head = struct.pack("<IQQ", version, len(infos) + more[0], len(pairs) + more[1])
    content = b"GGUF" + head + b"".join(pairs) + b"".join(infos)
    return content + bytes(-len(content) % 32) + data


def info(name: bytes = b"a", shape: tuple[int, ...] = (32,), kind: int = 0, place: int = 0) -> bytes:
    sizes = struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape)
    return string(name) + sizes + struct.pack("<IQ", kind, place)


def pair(key: bytes, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


HOSTILE = {
    "nothing": b"",
    "only the magic": b"GGUF",
    "another magic": b"GGML" + bytes(100),
    "version 1": file_of([], [], version=1),
    "big endian": b"GGUF" + (3).to_bytes(4, "big") + bytes(100),
    "endless tensors": file_of([], [], more=(1 << 60, 0)),
    "endless pairs": file_of([], [], more=(0, 1 << 60)),
    "a thousand pairs": file_of([], [], more=(0, 1000)),
    "an endless key": file_of([struct.pack("<Q", 1 << 63) + b"x"], []),
    "an endless string": file_of([pair(b"k", 8, struct.pack("<Q", 1 << 62))], []),
    "a key that is not UTF-8": file_of([pair(b"\xff", 4, bytes(4))], []),
    "a key twice": file_of([pair(b"k", 4, bytes(4))] * 2, []),
    "an unknown type": file_of([pair(b"k", 99, bytes(4))], []),
    "an endless array": file_of([pair(b"k", 9, struct.pack("<IQ", 4, 1 << 61))], []),
    "an array longer than the file": file_of([pair(b"k", 9, struct.pack("<IQ", 0, 1 << 20))], []),
    "endless strings": file_of([pair(b"k", 9, struct.pack("<IQ", 8, 1 << 40))], []),
    "strings cut short": file_of([pair(b"k", 9, struct.pack("<IQQ", 8, 2, 40))], [], bytes(30)),
    "an array of arrays": file_of([pair(b"k", 9, struct.pack("<IQIQ", 9, 1, 9, 1))], []),
    "an array of unknowns": file_of([pair(b"k", 9, struct.pack("<IQ", 77, 1))], [], bytes(64)),
    "no alignment": file_of([pair(b"general.alignment", 4, struct.pack("<I", 0))], []),
    "an odd alignment": file_of([pair(b"general.alignment", 4, struct.pack("<I", 12))], []),
    "an alignment as text": file_of([pair(b"general.alignment", 8, string(b"32"))], []),
    "a tensor twice": file_of([], [info(), info(place=128)], bytes(256)),
    "a tensor that overlaps": file_of([], [info(), info(b"b", place=64)], bytes(256)),
    "a gap": file_of([], [info(), info(b"b", place=256)], bytes(384)),
    "a tensor beyond the end": file_of([], [info(place=0)], bytes(64)),
    "a place beyond the end": file_of([], [info(place=1 << 63)], bytes(128)),
    "bytes behind": file_of([], [info()], bytes(300)),
    "a shape of zeros": file_of([], [info(shape=(0,))]),
    "an absurd shape": file_of([], [info(shape=(1 << 39, 1 << 39, 1 << 39, 1 << 39))], bytes(128)),
    "no dimensions": file_of([], [info(shape=())], bytes(128)),
    "nine dimensions": file_of([], [info(shape=(1,) * 9)], bytes(128)),
    "half a block": file_of([], [info(shape=(16,), kind=8)], bytes(128)),
    "elements unheard of": file_of([], [info(kind=77)], bytes(128)),
    "elements of another kind": file_of([], [info(kind=16, shape=(256,))], bytes(128)),
    "an endless name": file_of([], [info(name=b"n" * 2000)], bytes(128)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_unsound_files_are_refused(tmp_path, name):
    path = tmp_path / "model.gguf"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(PriorError):
        gguf.read(path)


def test_what_is_sound_of_these_is_read(tmp_path):
    path = tmp_path / "model.gguf"
    array = pair(b"k", 9, struct.pack("<IQ", 8, 2) + string(b"\xff") + string(b"y"))
    path.write_bytes(file_of([array], [info(), info(b"b", (32, 2), 8, 128)], bytes(128 + 68), version=2))
    file = gguf.read(path)
    assert file.values == {"k": ["\udcff", "y"]} and file.tensors["b"].shape == (2, 32)
    with pytest.raises(PriorError, match="architecture"):
        model.read(path)


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=[pytest.mark.slow, pytest.mark.long])])
def test_mutations_of_sound_files_are_read_or_refused_within_bounds(tmp_path, count):
    """See fuzz_gguf.py: nothing but PriorError, and no more memory than a small multiple of the file."""
    outcomes = fuzz_gguf.campaign(tmp_path, count)
    print(", ".join(f"{name}: {number:,}" for name, number in sorted(outcomes.items())))
    assert outcomes["read"] > 0.02 * count and outcomes["refused"] > 0.5 * count
    assert outcomes["read"] + outcomes["refused"] == count and outcomes["most bytes"] < fuzz_gguf.MEMORY


@pytest.mark.parametrize("number", [number for number, kind in blocks.KINDS.items() if kind.weights == 256])
def test_blocks_of_256_are_read_by_rows(tmp_path, number):
    kind = blocks.KINDS[number]
    rows = np.random.default_rng(number).integers(0, 60, (6, 2 * kind.size), np.uint8)
    path = tmp_path / "model.gguf"
    path.write_bytes(file_of([], [info(shape=(512, 6), kind=number)], rows.tobytes()))
    tensor = gguf.read(path).tensors["a"]
    whole = tensor.floats()
    assert whole.shape == tensor.shape == (6, 512) and np.array_equal(whole, blocks.decode(kind, rows))
    order = np.array([5, 0, 1, 4, 3, 2])
    turned = tensor.renamed("b", order)
    assert np.array_equal(turned.floats(), whole[order]) and np.array_equal(turned.floats([1, 3]), whole[order][[1, 3]])
    transposed = tensor.renamed("c", transposed=True)
    assert np.array_equal(transposed.floats(), whole.T) and transposed.shape == (512, 6)


# The published model


@pytest.mark.slow
def test_a_published_model_is_what_transformers_reads(smol):
    import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(smol.parent, gguf_file=smol.name).state_dict()
    files = model.read(smol)
    assert files.size == smol.stat().st_size
    for name, tensor in files.tensors.items():
        assert np.array_equal(tensor.floats(), theirs[name].numpy()), name


@pytest.mark.slow
def test_every_byte_comes_back_though_the_published_vocabulary_lacks_some(smol):
    pretrained = model.open_model(smol)
    missing = [byte for byte in range(256) if bytes([byte]) not in set(pretrained.table.tokens)]
    assert len(missing) == 21 and not pretrained.table.complete
    data = b"some text " + bytes(range(256)) * 2 + "naïve Ā".encode()
    places, ends = pretrained.tokens.cut(data)
    assert ends[-1] == len(data) and (places == tokens.ESCAPE).sum() >= 2 * len(missing)
    archive = lmzip.compress(data, prior=smol, experts="none")
    assert lmzip.decompress(archive, prior_path=str(smol)) == data


@pytest.mark.slow
def test_a_published_model_predicts_what_it_predicts_in_float32(smol):
    import torch
    import transformers

    from lmzip.pretrained.inference import Network

    pretrained = model.open_model(smol)
    places, _ = pretrained.tokens.cut(made.SAMPLE.read_bytes()[2000:3000])
    window = np.concatenate(([pretrained.architecture.start], pretrained.table.order[places])).astype(np.int32)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(smol.parent, gguf_file=smol.name)
    with torch.no_grad():
        p = theirs(torch.from_numpy(window[None].astype(np.int64))).logits[0].double().log_softmax(-1)
    weights = families.Weights(pretrained.architecture, pretrained.files.tensors, smol)
    for bits, bound in ((8, 0.02), (16, 1e-4)):
        logits = Network(pretrained.architecture, weights, bits).logits(window, 0)
        q = torch.from_numpy(logits).double().log_softmax(-1)
        divergence = (p.exp() * (p - q)).sum(-1).mean().item() / np.log(2)
        assert 0 <= divergence <= bound
