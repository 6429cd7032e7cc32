"""Golden archives: bytes that an encoder must produce and a decoder accept. `python tests/golden/make.py` writes them.

NAME is an original; NAME.OPTIONS.lmz beside it is its archive, without code, for the code is pinned by its own test.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import lmzip

HERE = Path(__file__).parent

LINES = (
    "the house that Jack built.", "the malt that lay in", "the rat that ate", "the cat that killed",
    "the dog that worried", "the cow with the crumpled horn that tossed", "the maiden all forlorn that milked",
    "the man all tattered and torn that kissed",
)  # fmt: skip
RHYME = "\n\n".join("This is " + "\n".join(LINES[k::-1]) for k in range(len(LINES))).encode() + b"\n"


def noise(count: int) -> bytes:
    """Bytes that nothing compresses."""
    return b"".join(hashlib.blake2b(bytes([k])).digest() for k in range(count // 64))


ORIGINALS = {
    "empty": b"",
    "byte": b"x",
    "short": RHYME[:400],
    "text": RHYME,
    "binary": b"".join((k * k).to_bytes(3, "little") + bytes([k & 7, 0, 255]) for k in range(200)) + bytes(range(256)),
    "noise": noise(1536) + RHYME[:192] + b"-" * 960 + RHYME[:100],  # bytes coded raw, leaps inside a match
    "frames": noise(4096) + bytes(4096) + RHYME[:500],  # stored, filled, coded
}

# archive: options of `compress`
ARCHIVES: dict[str, dict] = {
    "empty.fast": {"preset": "fast"},
    "empty.default": {},
    "byte.default": {},
    "short.none": {"experts": "none", "frame_size": 384},  # the last frame alone would be stored
    "text.none": {"experts": "none"},
    **{f"{name}.{preset}": {"preset": preset} for name in ("short", "text") for preset in ("fast", "default", "max")},
    "binary.fast": {"preset": "fast"},
    "binary.default": {},
    "frames.fast": {"preset": "fast", "frame_size": 4096},
    "frames.default": {"frame_size": 4096},
    "noise.fast": {"preset": "fast", "frame_size": 1 << 11},
    "text.independent": {"preset": "fast", "frame_size": 512, "independent_frames": True},
    "text.continued": {"preset": "fast", "frame_size": 512},
    "short.replay": {"experts": "none", "frame_size": 384, "replay": 1, "seed": 7},
}


def original(name: str) -> bytes:
    """What the archive of this name holds."""
    return ORIGINALS[name.partition(".")[0]]


def archive(name: str) -> bytes:
    """What an encoder must make of it."""
    return lmzip.compress(original(name), code=False, **ARCHIVES[name])


def main() -> None:
    for path in HERE.glob("*.lmz"):
        path.unlink()
    for name, content in ORIGINALS.items():
        (HERE / name).write_bytes(content)
    for name in ARCHIVES:
        (HERE / f"{name}.lmz").write_bytes(archive(name))


if __name__ == "__main__":
    main()
