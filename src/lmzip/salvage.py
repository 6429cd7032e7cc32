"""What a damaged archive still holds: frames found by their heads, wherever they are."""

from __future__ import annotations

import contextlib
import io
import re
from typing import Any, BinaryIO

from . import released
from .codec import message
from .codec.message import CHUNK, CODED, END, Footer, Header, MessageError, Reader
from .errors import archive_errors
from .limits import Limits
from .predictor import Predictor
from .session import Session
from .survey import read_header

HEAD = 64  # bytes that the head of a frame takes at most
HEADS = re.compile(b"[\x01-\x03]")  # kinds of frame, with which heads begin
Range = tuple[int, int | None]  # of bytes lost; None: to the end


def salvage(file: BinaryIO, sink: BinaryIO, limits: Limits, session: Session) -> tuple[int, int, list[Range]]:
    """Recover what a damaged archive still holds into `sink`, every byte at its place, the lost ones zero.

    Both files must seek. Returns the frames found, the bytes recovered, and the ranges lost. Raises ArchiveError where
    not even the header holds, LimitError; DamageError of single frames is what it is for, and goes no further.
    """
    file.seek(0)
    with archive_errors():
        reader = read_header(Reader(file))
    header: Header = reader.header
    cost = session.cost(header)
    limits.check_header(cost)
    end = file.seek(0, 2)
    predictor: Predictor | None = session.predictor(header)  # None once a frame that later ones build on is lost
    expected = whole = recovered = coded = coded_frames = 0
    lost: list[Range] = []
    position: int | None = reader.position
    while position is not None and position < end:
        file.seek(position)
        reader = _reader(file, header)
        try:
            frame = reader.read_head()
        except MessageError:
            position = _next_head(file, header, position + 1, end)
            continue
        if frame is None:  # the footer, or damage that looks like one
            position = _next_head(file, header, position + 1, end)
            continue
        position += reader.position + frame.size
        if frame.number < expected:  # a frame that came before: a duplicate, or one out of order
            continue
        if frame.number > expected:
            lost.append((expected * header.frame_size, frame.number * header.frame_size))
            predictor = predictor if header.independent_frames else None
        expected = frame.number + 1
        if frame.kind == CODED:
            coded += frame.length
            coded_frames += 1
        limits.check_frame(cost, whole, frame.size)
        length = frame.number * header.frame_size + frame.length
        limits.check_length(cost, length, coded, coded_frames, position)
        if header.independent_frames:
            predictor = session.predictor(header)
        start = frame.number * header.frame_size
        try:
            payload = reader.read_payload(frame)
            if frame.kind == CODED and predictor is None:
                raise message.DamageError("what it builds on is lost")
            if predictor is None:
                data: Any = frame.expand(payload)
            else:
                data, _ = released.part(header.format_version, "receive").rebuild(predictor, frame, payload)
        except MessageError:
            lost.append((start, start + frame.length))
            predictor = predictor if header.independent_frames else None
            continue
        sink.seek(start)
        sink.write(data)
        whole += 1
        recovered += frame.length
    footer = find_footer(file, header)
    if footer is None or expected * header.frame_size < footer.length:
        lost.append((expected * header.frame_size, footer and footer.length))
    return whole, recovered, _joined(lost)


def _reader(file: BinaryIO, header: Header) -> Reader:
    reader = released.part(header.format_version, "message").Reader(file)
    reader.header, reader.key = header, header.key
    return reader


def find_footer(file: BinaryIO, header: Header) -> Footer | None:
    """The footer of a file that may be damaged before it, found from behind: its last bytes say how long it is.

    The code that may follow is a zip without a comment, whose own last record says how long it is.
    """
    end = file.seek(0, 2)
    file.seek(max(0, end - 22))
    last = file.read(22)
    hint = int.from_bytes(last[12:16], "little") + int.from_bytes(last[16:20], "little") + 22
    for code_size in (0, hint if last[:4] == b"PK\5\6" else 0):
        place = end - code_size
        if place < 4:
            continue
        file.seek(place - 4)
        place -= int.from_bytes(file.read(4), "little")
        if place < 0:
            continue
        file.seek(place)
        reader = _reader(file, header)
        try:
            if reader.take(1)[0] == END:
                return reader.parse_footer(end - place)
        except MessageError:
            continue
    return None


def _next_head(file: BinaryIO, header: Header, position: int, end: int) -> int | None:
    """Where the next frame's head begins; its own check makes a false find unlikely."""
    key, reader_of = header.key, released.part(header.format_version, "message").Reader
    while position < end:
        file.seek(position)
        window = file.read(CHUNK + HEAD)
        for start in HEADS.finditer(window, 0, CHUNK):
            reader = reader_of(io.BytesIO(window[start.start() : start.start() + HEAD]))
            reader.header, reader.key = header, key
            with contextlib.suppress(MessageError):
                reader.read_head()
                return position + start.start()
        position += CHUNK
    return None


def _joined(ranges: list[Range]) -> list[Range]:
    """Neighbouring ranges as one, in order."""
    result: list[Range] = []
    for start, stop in ranges:
        if result and result[-1][1] is not None and result[-1][1] >= start:
            result[-1] = (result[-1][0], stop)
        else:
            result.append((start, stop))
    return result
