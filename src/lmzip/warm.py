"""Every kernel that codes, compiled beforehand: for the image of a machine or a container.

`warm` lets predictors of every kind code a few hundred bytes, of small tables: kernels depend on the kinds of arrays
they get, never on their sizes. Each of JOBS calls other large kernels, so several processes can share them.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import compilation, pool
from .codec.message import Header
from .codec.settings import ExpertSettings, ModelSettings
from .predictor import Predictor, completed
from .pretrained.table import FILE, byte_letters
from .pretrained.tensors import SINGLE
from .prior.model_options import ModelOptions
from .session import Session

TEXT = b"Kernels that numba compiles for this machine, once; kernels that numba compiles for this machine. " * 6
MODEL = ModelSettings(table_bits=10)
EXPERTS = ExpertSettings(slots=64)
IMAGE = (128 + 60 * np.sin(np.add.outer(np.arange(100) / 9, np.arange(100) / 7))).astype(np.uint8).tobytes()
SOUND = (
    b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0"
    + (3000 * np.sin(np.arange(400) / 9)).astype("<i2").tobytes()
)


class Done(NamedTuple):
    """A job of `warm`: its name, the seconds it took, the kernels it compiled."""

    name: str
    seconds: float
    kernels: int


def warm(processes: int) -> Iterator[Done]:
    """Compile every kernel that codes, over so many processes; yields the jobs as they end."""
    with pool.processes(processes) as workers:
        for future in as_completed([workers.submit(_run, name) for name in JOBS]):
            yield future.result()


def _run(name: str) -> Done:
    """One of the jobs, in a worker."""
    begun = time.monotonic()
    before = compilation.count()
    JOBS[name](Session())
    return Done(name, time.monotonic() - begun, compilation.count() - before)


# What there is to be compiled


def _header(segment: int, **parts: Any) -> Header:
    return Header(segment=segment, frame_size=4096, **parts)


def _encode(state: Predictor, data: bytes) -> None:
    completed(state.encode(np.frombuffer(data, np.uint8))).finish()


def _decode(state: Predictor, length: int) -> None:
    """Some bytes from a transcript that means nothing."""
    completed(state.decode(np.arange(64 * length).astype(np.uint8), length))


def _skip(state: Predictor, data: bytes) -> None:
    state.skip(np.frombuffer(data, np.uint8))


def _experts(session: Session) -> None:
    state = session.lockstep(_header(256, experts=EXPERTS))
    _encode(state, TEXT)
    _skip(state, IMAGE)
    _encode(state, SOUND)


def _model(session: Session) -> None:
    for code in (lambda state: _encode(state, TEXT[:100]), lambda state: _decode(state, 100)):
        code(session.lockstep(_header(32, model=MODEL)))


def _mixed(session: Session) -> None:
    _decode(session.lockstep(_header(32, model=MODEL, experts=EXPERTS)), 100)


def _mixed_samples(session: Session) -> None:
    state = session.lockstep(_header(32, model=MODEL, experts=EXPERTS))
    _skip(state, SOUND)
    _decode(state, 100)


def _prior(session: Session) -> None:
    from .prior.state import pack, restore  # start-up: loads numba

    header = _header(32, model=MODEL, experts=EXPERTS)
    state = session.lockstep(header)
    _skip(state, TEXT)
    restore(session.lockstep(header), pack(state, session.lockstep(header)))


def _pretrained(session: Session) -> None:
    from .pretrained import walk  # start-up: loads numba

    for family, bits in product(("gpt2", "llama", "gemma3_text"), (8, 12)):
        state = _tiny(session, family, None, bits)
        _encode(state, TEXT[:200])
        _decode(state, 40)
        walk.longest_match(state.pretrained.trie, np.frombuffer(TEXT, np.uint8), 0)


def _pretrained_experts(session: Session) -> None:
    _encode(_tiny(session, "gpt2", EXPERTS), TEXT[:200])


def _pretrained_samples(session: Session) -> None:
    state = _tiny(session, "gpt2", EXPERTS)
    _skip(state, SOUND)
    _encode(state, SOUND[-100:])


# The longest come first, and those that are longest together are apart.
JOBS: dict[str, Callable[[Session], None]] = {
    "the language model, decoding beside experts of images and audio": _mixed_samples,
    "experts": _experts,
    "the language model": _model,
    "pretrained models beside experts of images and audio": _pretrained_samples,
    "the language model, decoding beside experts": _mixed,
    "pretrained models beside experts": _pretrained_experts,
    "pretrained models": _pretrained,
    "priors": _prior,
}


# The smallest of pretrained models


def _tiny(session: Session, family: str, experts: ExpertSettings | None, bits: int = 8) -> Any:
    """A predictor by a model of 256 tokens that says nothing, all of its weights 0."""
    with tempfile.TemporaryDirectory() as folder:
        _write_model(Path(folder), family)
        pretrained = session.open(folder, ModelOptions(bits, "head"))
        header = replace(_header(32, experts=experts), prior=pretrained.digest)
        return pretrained.lockstep(header, session)


def _write_model(folder: Path, family: str) -> None:
    shapes: dict[str, tuple[int, ...]]
    if family == "gpt2":
        config: dict[str, Any] = {"n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 32, "n_inner": 8}
        shapes = {
            "wte.weight": (256, 8), "wpe.weight": (32, 8),
            "h.0.attn.c_attn.weight": (8, 24), "h.0.attn.c_proj.weight": (8, 8),
            "h.0.mlp.c_fc.weight": (8, 8), "h.0.mlp.c_proj.weight": (8, 8),
        }  # fmt: skip
        shapes |= {f"{norm}.{what}": (8,) for norm in ("h.0.ln_1", "h.0.ln_2", "ln_f") for what in ("weight", "bias")}
    else:
        config = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
        config |= {"max_position_embeddings": 32, "tie_word_embeddings": True}
        parts = [f"self_attn.{what}_proj" for what in "qkvo"] + [f"mlp.{what}_proj" for what in ("gate", "up", "down")]
        shapes = {"embed_tokens.weight": (256, 8), "norm.weight": (8,)}
        shapes |= {f"layers.0.{part}.weight": (8, 8) for part in parts}
        norms = ["input", "post_attention"]
        if family == "gemma3_text":
            config |= {"num_key_value_heads": 2, "head_dim": 4, "query_pre_attn_scalar": 4, "sliding_window": 8}
            norms += ["pre_feedforward", "post_feedforward"]
            shapes |= {f"layers.0.self_attn.{which}_norm.weight": (4,) for which in "qk"}
        shapes |= {f"layers.0.{norm}_layernorm.weight": (8,) for norm in norms}
    (folder / "config.json").write_text(json.dumps({"model_type": family, "vocab_size": 256} | config), "utf-8")
    model = {"type": "BPE", "vocab": byte_letters(), "merges": []}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {"model": model, "pre_tokenizer": byte_level, "decoder": byte_level}
    (folder / FILE).write_text(json.dumps(tokenizer), "utf-8")
    entries, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * int(np.prod(shape))
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    head = json.dumps(entries).encode()
    (folder / SINGLE).write_bytes(len(head).to_bytes(8, "little") + head + bytes(end))
