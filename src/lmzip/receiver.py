"""The receiver: an archive becomes the original again, checked frame by frame, within limits."""

from __future__ import annotations

import contextlib
import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, BinaryIO

from . import checkpoint, engine, pool, released
from .codec import message
from .codec.cache import source_digest
from .codec.message import CHUNK, CODED, END, NLL_BITS, Footer, Frame, Header, MessageError, Reader, VersionError
from .errors import FileError, Interrupted, ResumeError, archive_errors
from .ledger import Ledger, prior_cost
from .limits import Limits
from .progress import Watch, deferred
from .sender import rewind, sync


class _Replayed:
    """A stream, and before it what was taken from it already."""

    def __init__(self, taken: bytes, stream: BinaryIO) -> None:
        self.taken, self.stream = taken, stream

    def read(self, count: int) -> bytes:
        part, self.taken = self.taken[:count], self.taken[count:]
        return part or self.stream.read(count)

    def seek(self, place: int) -> None:
        self.taken = b""
        self.stream.seek(place)


def read_header(reader: Reader) -> Any:
    """Read the header: returns the reader, or where the version is older one of the codec released with that."""
    try:
        reader.read_header()
    except VersionError as error:
        number = reader.taken[4:]  # behind the magic
        version = sum((byte & 127) << 7 * i for i, byte in enumerate(number))
        try:
            older = released.part(version, "message")
        except VersionError:
            raise error from None
        reader = older.Reader(_Replayed(bytes(reader.taken), reader.stream))
        reader.read_header()
    return reader


class Receiver:
    """One archive being read from `source`, its original written to `sink`. `snapshot`: see Sender."""

    def __init__(
        self, source: BinaryIO, sink: BinaryIO, limits: Limits, watch: Watch, snapshot: Path | None = None
    ) -> None:
        self.reader, self.sink, self.limits, self.watch, self.snapshot = Reader(source), sink, limits, watch, snapshot
        self.written = self.coded = self.coded_frames = self.transcript = 0
        self.received = 0  # frames whose payload is whole; -1: all
        self.bits = 0.0
        self.code = b""
        self.saved_leaves = b""  # of the frames that were written before an interruption
        self.state: Any = None
        self.settled = True  # is nothing half done: do predictor, digests and output end with the same frame?

    def header(self) -> Header:
        """The archive's header, once."""
        if self.reader.header is None:
            with archive_errors():
                self.reader = read_header(self.reader)
        header = self.reader.header
        assert header is not None
        if self.state is None:
            self.limits.check_header(header)
            self.state = engine.Predictor(header)
        return header

    @property
    def codec(self) -> Any:
        """The module `receive` of the archive's format version."""
        return released.part(self.header().format_version, "receive")

    def frames(self, before_footer: Callable[[], None] | None = None) -> Iterator[tuple[Frame, bytes]]:
        """Every frame, its payload whole and its cost within the limits; then footer, code and end are checked."""
        header, reader = self.header(), self.reader
        while frame := reader.read_frame():
            self.limits.check_frame(header, frame.number, frame.size)
            if frame.kind == CODED:
                self.coded += frame.length
                self.coded_frames += 1
            self.limits.check_length(header, reader.length, self.coded, self.coded_frames, reader.position)
            payload = reader.read_payload(frame)
            self.received += 1
            self.transcript += frame.size
            yield frame, payload
        if before_footer:
            before_footer()
        self.received = -1
        reader.read_footer()
        self.code = reader.read_code()

    def where(self) -> str:
        """Which part of the original the damage that was just found concerns."""
        header = self.reader.header
        if header is None or self.received < 0:
            return ""
        start = self.received * header.frame_size
        if not header.independent_frames:
            return f"the original is lost from byte {start:,} on"
        stop = self.reader.length if len(self.reader.sizes) > self.received else start + header.frame_size
        return f"at least bytes {start:,} to {stop:,} of the original are lost"

    def run(self, resume: bool = False) -> Ledger:
        """Read the archive to its end, and write the original."""
        self.header()
        with archive_errors(self.where):
            saved = self.resume() if resume else None
            if saved:
                saved.restore_state(self.state)
                self.settled = False
            try:
                self.rebuild_frames(saved)
            except (Interrupted, FileError):
                self.save_boundary()
                raise
        return self.finish()

    def rebuild_frames(self, saved: checkpoint.Checkpoint | None) -> None:
        """The frames that remain; the first of them may have been begun before an interruption."""
        header, done = self.header(), self.frames_done
        for frame, payload in self.frames():
            if frame.number < done:
                self.reader.leaves += self.resumed_leaf(frame)
                continue
            if header.independent_frames and not saved:
                self.state = engine.Predictor(header)
            watch = self.look(frame)
            with deferred():
                self.settled = False
                if saved and saved.meta["position"]:
                    decoding = self.resume_frame(frame, payload, saved)
                    data, digest = self.codec.complete(self.state, frame, decoding, watch)
                else:
                    data, digest = self.codec.rebuild(self.state, frame, payload, watch)
                saved = None
                self.add(frame, data, digest)
                self.watch.step(self.written, self.bits, self.saver(None))
                self.settled = True

    def save_boundary(self) -> None:
        """Save between two frames."""
        if self.settled and self.snapshot is not None and (self.written or self.snapshot.exists()):
            self.save(None)

    def run_parallel(self, processes: int, resume: bool = False) -> Ledger:
        """The same for independent frames, over several processes."""
        header, waiting = self.header(), deque[tuple[Frame, Future]]()
        keep = pool.Keep(self.snapshot, self.watch.every) if self.snapshot else None

        def look() -> None:
            self.watch.step(self.written, self.bits, self.saver(None))

        def take() -> None:
            frame, future = waiting.popleft()
            result = pool.result(future, look)
            with deferred():
                self.add(frame, *result)
            look()

        def drain() -> None:
            while waiting:
                take()

        with archive_errors(self.where), pool.processes(processes, header.format_version) as workers:
            if resume:
                self.resume()
            done = self.frames_done
            self.settled = not done
            try:
                for frame, payload in self.frames(before_footer=drain):
                    if frame.number < done:
                        self.reader.leaves += self.resumed_leaf(frame)
                        continue
                    self.settled = True
                    waiting.append((frame, workers.submit(pool.decode, header, frame, payload, keep)))
                    if len(waiting) > 2 * processes:
                        take()
            except (Interrupted, FileError):
                self.save_boundary()
                raise
        return self.finish()

    def add(self, frame: Frame, data: Any, digest: bytes) -> None:
        """Publish a frame's data; its digest held."""
        self.reader.leaves += digest
        self.sink.write(data)
        self.written += frame.length
        self.bits += frame.nll / (1 << NLL_BITS)

    def finish(self) -> Ledger:
        self.sink.flush()
        footer = self.reader.footer
        assert footer is not None
        header = self.header()
        return Ledger.of(
            footer, self.transcript, self.reader.position, pool.code_size(header), prior=prior_cost(header)
        )

    def look(self, frame: Frame) -> Callable[[Any], None]:
        """What happens between segments."""

        def watch(decoding: Any) -> None:
            bits = self.bits + decoding.nll / (1 << NLL_BITS)
            self.watch.step(self.written + decoding.position, bits, self.saver(decoding))

        return watch

    def saver(self, decoding: Any) -> Callable[[], None] | None:
        return None if self.snapshot is None else lambda: self.save(decoding)

    def save(self, decoding: Any) -> None:
        """Write a checkpoint."""
        assert self.snapshot is not None
        assert self.reader.header is not None
        sync(self.sink)
        meta = {
            "what": "decode",
            "codec": source_digest(),
            "header": self.reader.header.pack().hex(),
            "leaves": self.reader.leaves.hex(),
            "written": self.written,
            "bits": self.bits,
            "position": 0 if decoding is None else decoding.position,
        }
        fresh = self.reader.header.independent_frames and decoding is None
        checkpoint.save(self.snapshot, meta, None if fresh else self.state, decoding)
        if fresh:
            checkpoint.forget_frames(self.snapshot, len(self.reader.leaves) // 32)

    def resume(self) -> checkpoint.Checkpoint | None:
        """Take up where the last checkpoint left off, if there is one."""
        if self.snapshot is None or not self.snapshot.exists():
            return None
        saved = checkpoint.Checkpoint(self.snapshot)
        meta = saved.meta
        ours = ("decode", source_digest(), self.header().pack().hex())
        if (meta["what"], meta["codec"], meta["header"]) != ours:
            raise ResumeError("the interrupted run was of another archive or lmzip; take that, or begin again with -f")
        self.saved_leaves = bytes.fromhex(meta["leaves"])
        self.written, self.bits = meta["written"], meta["bits"]
        rewind(self.sink, self.written)
        return saved

    @property
    def frames_done(self) -> int:
        """Frames that were written before the interruption."""
        return len(self.saved_leaves) // 32

    def resumed_leaf(self, frame: Frame) -> bytes:
        """The digest of a frame that was written before the interruption."""
        digest = self.saved_leaves[32 * frame.number : 32 * frame.number + 32]
        if digest[:8] != frame.data_digest:
            raise ResumeError("the interrupted run was of another archive; give that one, or begin again with -f")
        return digest

    def resume_frame(self, frame: Frame, payload: bytes, saved: checkpoint.Checkpoint) -> Any:
        """The decoding that was interrupted, with the predictor as it was then."""
        import numpy as np

        decoding = self.state.decode(np.frombuffer(payload, np.uint8), frame.length)
        saved.restore_state(self.state)  # beginning a frame may have touched it
        saved.restore_frame(decoding)
        return decoding


class Survey:
    """An archive's heads, read without decoding: what `info` and `list` show."""

    def __init__(self, file: BinaryIO, *, keep: bool = True, limits: Limits | None = None) -> None:
        """`keep`: remember every frame and where its payload begins, not just the totals; within `limits`."""
        self.frames: list[Frame] = []
        self.offsets: list[int] = []
        self.coded = self.coded_frames = self.transcript = 0
        with archive_errors():
            reader = read_header(Reader(file))
            self.header: Header = reader.header
            end = file.seek(0, 2) if file.seekable() else None
            if end is not None:
                file.seek(reader.position)
            while frame := reader.read_frame():
                if frame.kind == CODED:
                    self.coded += frame.length
                    self.coded_frames += 1
                self.transcript += frame.size
                if limits:
                    limits.check_frame(self.header, frame.number, frame.size, 600)
                if keep:
                    self.frames.append(frame)
                    self.offsets.append(reader.position)
                _skip(reader, file, frame.size, end)
            self.footer: Footer = reader.parse_footer(len(reader.sizes))
            reader.compare_totals()
            self.code = reader.read_code()
            self.size = reader.position

    def ledger(self) -> Ledger:
        blob = pool.code_size(self.header)
        return Ledger.of(self.footer, self.transcript, self.size, blob, prior=prior_cost(self.header))


def _skip(reader: Reader, file: BinaryIO, size: int, end: int | None) -> None:
    """Go on behind a payload of `size` bytes in `file`, which ends at `end`; None: it is a pipe."""
    if end is None:
        while size:
            size -= len(reader.read(min(size, CHUNK)))
        return
    reader.position += size
    if reader.position > end:
        raise message.DamageError(f"the archive ends early, at byte {end}")
    file.seek(reader.position)


HEAD = 64  # bytes that the head of a frame takes at most
HEADS = re.compile(b"[\x01-\x03]")  # kinds of frame, with which heads begin
Range = tuple[int, int | None]  # of bytes lost; None: to the end


def salvage(file: BinaryIO, sink: BinaryIO, limits: Limits) -> tuple[int, int, list[Range]]:
    """Recover what a damaged archive still holds into `sink`, every byte at its place, the lost ones zero.

    Both files must seek. Returns the frames found, the bytes recovered, and the ranges lost.
    """
    file.seek(0)
    with archive_errors():
        reader = read_header(Reader(file))
    header: Header = reader.header
    limits.check_header(header)
    end = file.seek(0, 2)
    state: Any = engine.Predictor(header)  # None once a frame that later ones build on is lost
    expected = found = recovered = coded = coded_frames = 0
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
            state = state if header.independent_frames else None
        expected = frame.number + 1
        if frame.kind == CODED:
            coded += frame.length
            coded_frames += 1
        limits.check_frame(header, found, frame.size)
        length = frame.number * header.frame_size + frame.length
        limits.check_length(header, length, coded, coded_frames, position)
        if header.independent_frames:
            state = engine.Predictor(header)
        start = frame.number * header.frame_size
        try:
            payload = reader.read_payload(frame)
            if frame.kind == CODED and state is None:
                raise message.DamageError("what it builds on is lost")
            if state is None:
                data: Any = frame.expand(payload)
            else:
                data, _ = released.part(header.format_version, "receive").rebuild(state, frame, payload)
        except MessageError:
            lost.append((start, start + frame.length))
            state = state if header.independent_frames else None
            continue
        sink.seek(start)
        sink.write(data)
        found += 1
        recovered += frame.length
    footer = find_footer(file, header)
    if footer is None or expected * header.frame_size < footer.length:
        lost.append((expected * header.frame_size, footer and footer.length))
    return found, recovered, _joined(lost)


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
        for found in HEADS.finditer(window, 0, CHUNK):
            reader = reader_of(io.BytesIO(window[found.start() : found.start() + HEAD]))
            reader.header, reader.key = header, key
            with contextlib.suppress(MessageError):
                reader.read_head()
                return position + found.start()
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
