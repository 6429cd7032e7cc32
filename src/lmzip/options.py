"""Options of encoding and decoding, the same for the library, the command line and the lab, checked in one place.

Names in messages are those of the command line; in Python the same options have underscores and no dashes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from . import presets
from .codec.message import Header
from .errors import UsageError
from .limits import Limits
from .prior.model_options import ModelOptions
from .session import Session

ADAPTS = ("none", "head")
BITS = (8, 12, 16)
WINDOWS = tuple(1 << n for n in range(8, 16))


@dataclass(frozen=True)
class EncodeOptions:
    """What decides on the bytes of an archive; None: as the preset or the prior has it.

    preset: "fast" (experts only), "default" or "max". experts: "none" (the pure language model), "fast" or "max".
    seed: of the language model's first weights. replay: extra training steps per segment on the decoded past. code:
    put the decoder into the archive. frame_size: bytes of original per frame, the unit of integrity.
    independent_frames: reset the model in each. prior: name, digest, file or directory of what to build on. prior_bits:
    of a pretrained model, the precision of its weights, 8 (the default), 12 or 16. adapt: of a pretrained model,
    "head" lets the biases of its output learn the file, "none" (the default) nothing. window: of a pretrained model,
    how many tokens it sees, a power of two (2,048, or as many as it was made for). streams: of a pretrained model, into
    how many parts a frame is cut that are coded in step: faster to decode, larger (1).
    """

    preset: str | None = None
    experts: str | None = None
    seed: int | None = None
    replay: int | None = None
    code: bool = True
    frame_size: int = presets.FRAME_SIZE
    independent_frames: bool = False
    prior: str | os.PathLike[str] | None = None
    prior_bits: int | None = None
    adapt: str | None = None
    window: int | None = None
    streams: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for values that no option takes, whatever the others are."""
        _one_of("preset", self.preset, presets.PRESETS)
        _one_of("experts", self.experts, presets.EXPERTS)
        _one_of("adapt", self.adapt, ADAPTS)
        _one_of("prior-bits", self.prior_bits, BITS)
        _one_of("window", self.window, WINDOWS)
        for name in ("seed", "replay"):
            _natural(name, getattr(self, name), 0)
        _natural("frame-size", self.frame_size, 1)
        _natural("streams", self.streams, 1)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> EncodeOptions:
        """Keywords of a caller as options. Raises TypeError for names that are none, UsageError for values."""
        names = [field.name for field in fields(cls)]
        for name in options:
            if name not in names:
                raise TypeError(f"there is no option {name!r}; there are {', '.join(names)}")
        return cls(**options)

    def header(self, session: Session) -> Header:
        """The header of an archive made with these options; its prior is known to the session from then on.

        Raises UsageError where options don't go together or would do nothing, PriorError for the prior.
        """
        if self.prior is not None:
            prior = session.open(self.prior, ModelOptions(self.prior_bits, self.adapt, self.window))
            header = prior.header(self)
        else:
            for name in ("prior_bits", "adapt", "window", "streams"):
                if getattr(self, name) is not None:
                    option = name.replace("_", "-")
                    raise UsageError(f"--{option} is for pretrained models: name one with --prior, or leave it out")
            header = presets.header(
                self.preset or "default",
                experts=self.experts,
                seed=self.seed or 0,
                replay=self.replay,
                frame_size=self.frame_size,
                independent_frames=self.independent_frames,
            )
            if header.model is None:
                for name, value in (("seed", self.seed), ("replay", self.replay)):
                    if value is not None:
                        raise UsageError(
                            f"--{name} is for the language model, which preset {self.preset} has not; leave it out, "
                            "or choose another preset"
                        )
        return header


@dataclass(frozen=True)
class DecodeOptions:
    """What decoding may cost: bytes of memory, bytes of output, arithmetic operations.

    None: the defaults, of which output and work grow with the archive's own size.
    """

    max_memory: int | None = None
    max_output: int | None = None
    max_work: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for limits that are no numbers from 1 on."""
        for field in fields(self):
            _natural(field.name.replace("_", "-"), getattr(self, field.name), 1)

    @property
    def limits(self) -> Limits:
        """The caps that a receiver checks."""
        return Limits(self.max_memory or Limits.memory, self.max_output, self.max_work)


def _one_of(name: str, value: object, choices: Any) -> None:
    if value is not None and value not in choices:
        article = "are no" if name == "experts" else "is no"
        raise UsageError(f"there {article} {name} {value!r}; there are {', '.join(map(str, choices))}")


def _natural(name: str, value: object, least: int) -> None:
    if value is not None and (type(value) is not int or value < least):
        raise UsageError(f"--{name} is a number from {least} on, not {value!r}")
