"""Golden archives: bytes that an encoder must produce and a decoder accept. `python tests/golden/make.py` writes them.

NAME is an original; NAME.OPTIONS.lmz beside it is its archive, without code, for the code is pinned by its own test.
"""

from __future__ import annotations

import hashlib
from itertools import product
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


def image(width: int, height: int, channels: int) -> bytes:
    """A PNM image: slopes, a disc, a little noise."""
    grain = hashlib.shake_128(b"grain").digest(width * height * channels)
    pixels = bytearray()
    for y, x, c in product(range(height), range(width), range(channels)):
        inside = (2 * x - width) ** 2 + (2 * y - height) ** 2 < height * height // 2
        pixels.append(min(255, 40 + 4 * x + 2 * y * (c + 1) % 60 + 50 * inside + grain[len(pixels)] % 3))
    return b"P%d\n%d %d\n255\n" % (6 if channels == 3 else 5, width, height) + pixels


def audio(samples: int, channels: int, size: int) -> bytes:
    """A WAV file: two tones, of recurrences in integers, and a little noise."""
    grain = hashlib.shake_128(b"grain").digest(samples)
    a, b, c, d, data = 0, 900, 500, 480, b""
    for noise in grain:
        a, b, c, d = b, (31500 * b >> 14) - a, d, (32000 * d >> 14) - c
        for channel in range(channels):
            v = 3 * b + (4 + channel) * d + noise % 16
            data += (v & 0xFFFF).to_bytes(2, "little") if size == 2 else bytes([128 + (v >> 9) & 255])
    fields = (16, 4), (1, 2), (channels, 2), (8000, 4), (8000 * channels * size, 4), (channels * size, 2), (8 * size, 2)
    head = b"WAVEfmt " + b"".join(value.to_bytes(n, "little") for value, n in fields)
    head += b"data" + len(data).to_bytes(4, "little")
    return b"RIFF" + (len(head) + len(data)).to_bytes(4, "little") + head + data


ORIGINALS = {
    "empty": b"",
    "byte": b"x",
    "short": RHYME[:400],
    "text": RHYME,
    "binary": b"".join((k * k).to_bytes(3, "little") + bytes([k & 7, 0, 255]) for k in range(200)) + bytes(range(256)),
    "noise": noise(1536) + RHYME[:192] + b"-" * 960 + RHYME[:100],  # bytes coded raw, leaps inside a match
    "colours": image(20, 22, 3),
    "greys": image(24, 40, 1),
    "stereo": audio(320, 2, 2),
    "voice": audio(900, 1, 1),
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
    **{f"{name}.fast": {"preset": "fast"} for name in ("colours", "greys", "stereo", "voice")},
    **{f"{name}.default": {} for name in ("colours", "stereo")},
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
