"""Hostile archives and what each tries. `python tests/attacks/make.py` writes them anew after a change of format."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from lmzip.codec import message
from lmzip.codec.message import CODED, FILLED, STORED, Footer, Frame, Header
from lmzip.codec.settings import ExpertSettings, ModelSettings

HERE = Path(__file__).parent
MB = 1 << 20


def archive(header: Header, frames: list[tuple[Frame, bytes]], code: bytes = b"", **changes) -> bytes:
    """Header, frames, footer, all well signed, whatever they say."""
    key = header.key
    packed = [frame.pack(key) + payload for frame, payload in frames]
    length, nll = sum(frame.length for frame, _ in frames), sum(frame.nll for frame, _ in frames)
    leaves = b"".join(_leaf(frame, payload) for frame, payload in frames if frame.kind != CODED)
    whole = message.whole_digest(leaves)
    footer = Footer(length, nll, [len(part) for part in packed], whole, len(code), message.digest(code, 8))
    return header.pack() + b"".join(packed) + footer._replace(**changes).pack(key) + code


def _leaf(frame: Frame, payload: bytes) -> bytes:
    return _leaf_of_zeros(frame.length) if payload == b"\0" else message.leaf(frame.expand(payload))


@cache
def _leaf_of_zeros(length: int) -> bytes:
    """The bomb has sixteen times the same frame of 256 MB."""
    return message.leaf(bytes(length))


def filled(number: int, length: int, byte: bytes = b"\0") -> tuple[Frame, bytes]:
    return Frame.plain(FILLED, number, length, b"notright"), byte


def coded(length: int, size: int = 3) -> tuple[Frame, bytes]:
    return Frame(CODED, 0, length, bytes(8), size, 0, bytes(8), message.digest(b"abc", 4)), b"abc"


def stored(number: int, data: bytes) -> tuple[Frame, bytes]:
    return Frame.plain(STORED, number, len(data), message.leaf(data)[:8]), data


def program(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(zipfile.ZipInfo("__main__.py"), text)
    return out.getvalue()


def forged_header(body: bytes, size: int | None = None) -> bytes:
    head = message.MAGIC + bytes([message.VERSION]) + message.pack_number(len(body) if size is None else size) + body
    return head + message.digest(head, 4)


def cut(data: bytes, header: Header, count: int) -> bytes:
    """A footer that claims `count` frames."""
    start = bytes([0]) + message.pack_number(count) + b"\1" * 64
    return data[: len(header.pack())] + start


SMALL = Header(segment=16, frame_size=256)
LARGE = Header(frame_size=1 << 28)
EVIL = program("raise SystemExit('the code of a stranger ran')")
ENDLESS = ModelSettings(layers=128, width=512, heads=2, hidden=2048, table_bits=24)
SLOW = ModelSettings(layers=60, width=256, heads=2, hidden=1024)

# name: (what it tries, the error that must stop it; None: nothing bad happens, what makes the bytes)
ATTACKS: dict[str, tuple[str, str | None, Callable[[], bytes]]] = {
    "huge-model": ("allocate 100 GB of weights", "LimitError", lambda: archive(Header(model=ENDLESS), [coded(MB)])),
    "huge-experts": (
        "allocate 4 GB of slots",
        "LimitError",
        lambda: archive(Header(segment=256, experts=ExpertSettings(slots=1 << 16, contexts=1)), [coded(MB)]),
    ),
    "huge-segment": (
        "allocate 4 million predictions at once",
        "LimitError",
        lambda: archive(Header(streams=1024, segment=4096, frame_size=1 << 22), [coded(MB)]),
    ),
    "slow-model": ("take hours for 1 MB", "LimitError", lambda: archive(Header(model=SLOW), [coded(MB)])),
    "tiny-segments": (
        "train at every byte",
        "LimitError",
        lambda: archive(Header(segment=1, frame_size=4 * MB, model=ModelSettings()), [coded(4 * MB)]),
    ),
    "bomb": ("write 4 GB of zeros", "LimitError", lambda: archive(LARGE, [filled(i, 1 << 28) for i in range(16)])),
    "long-transcript": ("read 8 GB", "LimitError", lambda: archive(LARGE, [coded(1 << 28, 1 << 33)])),
    "long-stored": (
        "allocate 64 MB that aren't there",
        "DamageError",
        lambda: LARGE.pack() + Frame.plain(STORED, 0, 1 << 26, bytes(8)).pack(LARGE.key),
    ),
    "too-long-transcript": (
        "exceed the bound of a transcript",
        "DamageError",
        lambda: archive(SMALL, [coded(16, 577)]),
    ),
    "long-frame": ("exceed the frame size", "DamageError", lambda: archive(SMALL, [stored(0, bytes(300))])),
    "short-frame": (
        "shift what follows a frame that is too short",
        "DamageError",
        lambda: archive(SMALL, [stored(0, b"short"), stored(1, b"more")]),
    ),
    "same-frame-twice": ("repeat a frame", "DamageError", lambda: archive(SMALL, [stored(0, b"x" * 256)] * 2)),
    "many-frames": ("allocate a table of 2^60 frames", "DamageError", lambda: cut(archive(SMALL, []), SMALL, 1 << 60)),
    "long-header": ("read a header of 2^60 bytes", "DamageError", lambda: forged_header(b"", 1 << 60)),
    "endless-number": (
        "read a number for ever",
        "DamageError",
        lambda: message.MAGIC + bytes([message.VERSION]) + b"\x80" * 1000,
    ),
    "two-spellings": ("write a number in a longer way", "DamageError", lambda: forged_header(b"\x80\0\1\x20\x20\0\0")),
    "wrong-total": ("claim another length", "DamageError", lambda: archive(SMALL, [stored(0, b"abc")], length=4)),
    "strange-code": ("have its own code run", None, lambda: archive(SMALL, [stored(0, b"abc")], EVIL)),
    "two-zips": ("have a second zip run", "DamageError", lambda: archive(SMALL, [stored(0, b"abc")], EVIL) + EVIL),
    "other-code": (
        "exchange the code",
        "DamageError",
        lambda: archive(SMALL, [stored(0, b"abc")], EVIL, code_digest=bytes(8)),
    ),
    "absent-prior": (
        "name a prior that nobody has",
        "MissingPrior",
        lambda: archive(Header(prior=bytes(32)), [coded(10)]),
    ),
    "streams-and-experts": (
        "combine what can't be combined",
        "ArchiveError",
        lambda: archive(Header(streams=2, frame_size=256, experts=ExpertSettings(slots=1, contexts=1)), [coded(10)]),
    ),
}


if __name__ == "__main__":
    for name, (_, _, build) in ATTACKS.items():
        HERE.joinpath(f"{name}.lmz").write_bytes(build())
