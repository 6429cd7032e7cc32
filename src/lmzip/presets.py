"""What `--preset` means: the one table of settings, and what they cost.

Nothing here is known to the receiver: the header carries every setting.
"""

from __future__ import annotations

from dataclasses import replace

from .codec.message import Header
from .codec.settings import ExpertSettings, ModelSettings
from .errors import UsageError

EXPERTS = {
    "none": None,
    "fast": ExpertSettings(),
    "max": ExpertSettings(slots=1 << 14, contexts=(1 << 31) - 1),
}
MODELS = {
    "none": None,
    "default": ModelSettings(),
    "max": ModelSettings(hidden=256, table_bits=19),
}
# preset: (language model, experts, segment, replay)
PRESETS = {
    "fast": ("none", "fast", 256, 0),
    "default": ("default", "fast", 32, 0),
    "max": ("max", "max", 16, 0),
}
LEVELS = {level: "fast" if level < 4 else "default" if level < 7 else "max" for level in range(10)}
FRAME_SIZE = 1 << 20


def header(
    preset: str = "default",
    *,
    experts: str | None = None,
    seed: int = 0,
    replay: int | None = None,
    frame_size: int = FRAME_SIZE,
    independent_frames: bool = False,
) -> Header:
    """The header of an archive made with these options; `experts` may name another constant, or be "none".

    Raises UsageError for what there is not, or what does not go together.
    """
    if preset not in PRESETS:
        raise UsageError(f"there is no preset {preset!r}; there are {', '.join(PRESETS)}")
    name, usual, segment, repeats = PRESETS[preset]
    chosen = usual if experts is None else experts
    if chosen not in EXPERTS:
        raise UsageError(f"there are no experts {chosen!r}; there are {', '.join(EXPERTS)}")
    if name == chosen == "none":
        raise UsageError(f"preset {preset} consists of experts: it can't go without them; choose another preset")
    try:
        result = Header(
            seed=seed,
            segment=segment,
            frame_size=max(segment, frame_size - frame_size % segment),
            replay=0 if name == "none" else repeats if replay is None else replay,
            independent_frames=independent_frames,
            model=MODELS[name],
            experts=EXPERTS[chosen],
        )
        result.pack()  # checks the bounds of every field
        return result
    except ValueError as error:
        raise UsageError(str(error)) from None


def name_of(settings: Header) -> str | None:
    """The preset whose settings a header has, seed and frames apart; None: they are nobody's, or a prior's."""
    for name in PRESETS:
        own = header(name, independent_frames=settings.independent_frames)
        if replace(own, seed=settings.seed, frame_size=settings.frame_size) == settings:
            return name
    return None
