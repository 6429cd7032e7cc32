"""How a pretrained model is asked to predict."""

from __future__ import annotations

from typing import NamedTuple


class ModelOptions(NamedTuple):
    """What EncodeOptions says of a pretrained model; None: as it does by itself."""

    bits: int | None = None
    adapt: str | None = None
    window: int | None = None


USUAL = ModelOptions()
