"""lmzip's own byte language model as a directory of transformers: config.json, model.safetensors, tokenizer.json.

No architecture of transformers has hashed n-gram embeddings, so the model type is `lmzip`: its safetensors file is the
prior itself, and `lmzip encode --prior DIR` makes the very archives that the prior makes. For transformers there is
`LmzipForCausalLM` here, which AutoModelForCausalLM finds after `import lmzip.pretrained.export`; tokens are bytes, and
logits the logarithms of the integer frequencies that would be coded, computed by the codec itself. It is for looking
at, not for training: the codec's own steps train.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from ..codec.symbols import FREQUENCY_BITS
from ..errors import PriorError
from ..presets import FRAME_SIZE
from ..prior import store
from ..session import Session
from .table import FILE, byte_letters
from .tensors import SINGLE

MODEL_TYPE = "lmzip"


def export(prior: store.Prior, folder: Path) -> None:
    """Write a prior that has a language model as a directory. Raises OSError."""
    header = prior.settings
    assert header.model is not None
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": MODEL_TYPE,
        "architectures": ["LmzipForCausalLM"],
        "vocab_size": 256,
        "prior": prior.manifest.state,
        "segment": header.segment,
        **asdict(header.model),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer: dict[str, Any] = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": byte_letters(),
                  "merges": []},
    }  # fmt: skip
    (folder / FILE).write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n", "utf-8")
    shutil.copyfile(prior.path, folder / SINGLE)


class LmzipConfig(PretrainedConfig):
    """config.json of an exported prior: its digest, and the settings of its language model."""

    model_type = MODEL_TYPE

    def __init__(self, **values: Any) -> None:
        self.vocab_size = values.pop("vocab_size", 256)
        self.prior = values.pop("prior", "")
        super().__init__(**values)


class LmzipForCausalLM(PreTrainedModel):
    """The language model at the end of its prior, a document before it: logits of the byte behind each byte given.

    Raises PriorError where it is made without a prior, which transformers does where it means to train one.
    """

    config_class = LmzipConfig

    def __init__(self, config: LmzipConfig, prior: store.Prior | None = None) -> None:
        super().__init__(config)
        if prior is None:
            raise PriorError("its weights are a prior's: LmzipForCausalLM.from_pretrained(DIR)")
        self.prior, self.session = prior, Session()
        self.scale = torch.nn.Parameter(torch.ones(1), requires_grad=False)  # transformers asks for a parameter

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], *arguments: Any, **options: Any) -> LmzipForCausalLM:
        """The model of a directory that `export` wrote. Raises PriorError if it is none."""
        prior = store.read(Path(folder, SINGLE))
        config = options.get("config") or LmzipConfig.from_pretrained(folder)
        if config.prior != prior.manifest.state:
            raise PriorError(f"{folder}: its configuration names another prior than its weights are")
        return cls(config, prior)

    def forward(self, input_ids: torch.Tensor, **unused: Any) -> CausalLMOutput:
        """input_ids: bytes, [B, n]; logits: float32[B, n, 256]."""
        rows = [predictions(self.prior, self.session, row.numpy().astype(np.uint8)) for row in input_ids.cpu()]
        return CausalLMOutput(
            logits=torch.from_numpy(np.log(np.stack(rows) / (1 << FREQUENCY_BITS)).astype(np.float32))
        )


def predictions(prior: store.Prior, session: Session, data: np.ndarray) -> np.ndarray:
    """Frequencies of the byte behind each byte of uint8[n], without learning from them, uint32[n, 256]."""
    session.remember(prior)
    state = session.lockstep(prior.archive_header(FRAME_SIZE))
    model, at, rows = state.model, state.position, []
    begin = np.zeros(1, np.int64)  # what the corpus ends with is the context of the first bytes
    for start in range(0, len(data) + 1, state.segment):
        part = data[start : start + state.segment]
        count = min(state.segment, len(data) + 1 - start)
        state.put(at + start, part)
        rows.append(model.predict_segment(state.history, begin, np.array([at + start]), count)[0].copy())
        model.advance(count)
    return np.concatenate(rows)[1:]


AutoConfig.register(MODEL_TYPE, LmzipConfig)
AutoModelForCausalLM.register(LmzipConfig, LmzipForCausalLM)
