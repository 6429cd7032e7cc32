"""The message: header, frames, footer. The one place that packs, parses and bounds every field (docs/format.md).

Numbers are LEB128 in their shortest spelling, digests are BLAKE2b cut to the length stated. Whatever says
how much to read or allocate stands under a check of its own and within a limit, so a reader neither trusts
nor allocates anything a damaged or hostile message merely claims. A message is read in one forward pass.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar, NamedTuple

from .settings import ExpertSettings, ModelSettings

MAGIC = b"\x8aLMZ"
VERSION = 1
NLL_BITS = 20  # code lengths are counted in units of 2^-20 bit

END, CODED, STORED, FILLED = range(4)  # kinds of frame; FILLED is one byte repeated
HEADER_LIMIT = 1 << 10  # bytes
CODE_LIMIT = 1 << 20  # bytes
LENGTH_LIMIT = 1 << 62  # bytes of original
CHUNK = 1 << 20  # no read asks for more at once, so a false length allocates no more than the file holds


class MessageError(ValueError):
    """These bytes are not a message that this codec can rebuild the data from."""


class VersionError(MessageError):
    """Another version of the format."""


class DamageError(MessageError):
    """The message is not what the sender wrote."""


class ArithmeticDiffers(MessageError):
    """The message arrived whole, yet this machine's predictor computes something else than the sender's."""


def digest(data: Any, size: int) -> bytes:
    """BLAKE2b of `data`, `size` bytes."""
    return hashlib.blake2b(data, digest_size=size).digest()


def whole_digest(leaves: bytes | bytearray) -> bytes:
    """Digest of the whole original, 16 bytes: that of its frames' 32-byte digests (`leaf`) in order."""
    return digest(leaves, 16)


def leaf(data: Any) -> bytes:
    """Digest of one frame's original bytes, 32 bytes; the frame carries the first 8."""
    return digest(data, 32)


def pack_number(value: int) -> bytes:
    """LEB128: seven bits a byte, lowest first, the top bit set on all but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def pack_settings(settings: Any) -> bytes:
    """Every field that `LIMITS` names, in its order, each checked."""
    out = b""
    for name, (low, high) in settings.LIMITS.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise ValueError(f"{name} must be {low} to {high}, not {value}")
        out += pack_number(int(value))
    return out


@dataclass(frozen=True)
class Header:
    """Everything the receiver must know before the first frame; the same for a file and a pipe.

    streams × segment bytes lie between two training steps; a frame is a whole number of those.
    """

    seed: int = 0
    streams: int = 1
    segment: int = 32
    frame_size: int = 1 << 20
    replay: int = 0
    independent_frames: bool = False
    model: ModelSettings | None = None
    experts: ExpertSettings | None = None
    prior: bytes | None = None
    format_version: int = VERSION

    LIMITS: ClassVar[dict[str, tuple[int, int]]] = {
        "seed": (0, (1 << 24) - 1),
        "streams": (1, 1 << 10),
        "segment": (1, 1 << 12),
        "frame_size": (1, 1 << 28),
        "replay": (0, 16),
    }

    def __post_init__(self) -> None:
        if self.frame_size % (self.streams * self.segment):
            raise ValueError("the frame size must be a multiple of streams × segment")
        together = self.streams * self.segment
        if self.model is not None and together > 1 << 11:
            raise ValueError("streams × segment may be 2,048 at most, or products round")
        if self.streams > 1 and self.frame_size > 1 << 24:
            raise ValueError("a frame of several streams may have 2^24 bytes at most")
        if self.prior is not None and len(self.prior) != 32:
            raise ValueError("a prior's digest has 32 bytes")

    def pack(self) -> bytes:
        parts = (self.model, self.experts, self.prior)
        flags = self.independent_frames + sum(2 << i for i, part in enumerate(parts) if part is not None)
        body = pack_settings(self) + pack_number(flags)
        body += b"".join(pack_settings(part) for part in parts[:2] if part is not None) + (self.prior or b"")
        head = MAGIC + pack_number(self.format_version) + pack_number(len(body)) + body
        return head + digest(head, 4)

    @property
    def key(self) -> bytes:
        """Binds frames and footer to this header, 16 bytes."""
        return digest(self.pack(), 16)


class Frame(NamedTuple):
    """The head of one frame. `size` is the payload's: transcript, stored bytes, or the one byte repeated."""

    kind: int
    number: int
    length: int
    data_digest: bytes
    size: int
    nll: int
    state_digest: bytes = b""
    transcript_digest: bytes = b""

    @classmethod
    def plain(cls, kind: int, index: int, length: int, data_digest: bytes) -> Frame:
        """A frame that is not coded: eight bits for every byte of payload."""
        size = 1 if kind == FILLED else length
        return cls(kind, index, length, data_digest, size, size << NLL_BITS + 3)

    def pack(self, key: bytes) -> bytes:
        head = bytes([self.kind]) + pack_number(self.number) + pack_number(self.length) + self.data_digest
        if self.kind == CODED:
            head += pack_number(self.size) + pack_number(self.nll) + self.state_digest + self.transcript_digest
        return head + digest(key + head, 4)

    def check_payload(self, payload: bytes) -> None:
        """Was this what the sender wrote?"""
        if self.kind == CODED:
            whole = digest(payload, 4) == self.transcript_digest
        else:
            whole = leaf(self.expand(payload))[:8] == self.data_digest
        if not whole:
            raise DamageError(f"frame {self.number} is damaged")

    def expand(self, payload: bytes) -> bytes:
        """The original bytes of a frame that is not coded."""
        return payload * self.length if self.kind == FILLED else payload

    def check_data(self, data: Any, state_digest: bytes) -> bytes:
        """Is this what the sender's predictor saw and became? Returns the data's leaf digest."""
        result = leaf(data)
        if result[:8] != self.data_digest or state_digest != self.state_digest:
            raise ArithmeticDiffers(f"arithmetic differs from the sender's at frame {self.number}")
        return result


class Footer(NamedTuple):
    """Totals. `sizes` are the bytes that each frame takes, head and payload."""

    length: int
    nll: int
    sizes: list[int]
    whole: bytes
    code_size: int
    code_digest: bytes

    def pack(self, key: bytes) -> bytes:
        """The last four bytes say how long the footer is, itself included, for those who come from behind."""
        numbers = (END, len(self.sizes), *self.sizes, self.length, self.nll)
        body = b"".join(map(pack_number, numbers)) + self.whole + pack_number(self.code_size) + self.code_digest
        return body + digest(key + body, 4) + (len(body) + 8).to_bytes(4, "little")


class Reader:
    """Reads a message from a binary stream; `position` is the number of bytes taken so far."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.position = 0
        self.taken = bytearray()  # since the last check
        self.header: Header | None = None
        self.key = b""
        self.footer: Footer | None = None
        self.sizes: list[int] = []
        self.leaves = bytearray()
        self.length = self.nll = 0

    def read(self, count: int) -> bytes:
        parts = []
        while count:
            part = self.stream.read(min(count, CHUNK))
            if not part:
                raise DamageError(f"the archive ends early, at byte {self.position}")
            parts.append(part)
            count -= len(part)
            self.position += len(part)
        return b"".join(parts)

    def take(self, count: int) -> bytes:
        """Bytes that the next check covers."""
        part = self.read(count)
        self.taken += part
        return part

    def number(self, low: int, high: int, name: str) -> int:
        value = shift = 0
        while shift < 70:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if low <= value <= high and (byte or shift == 7):
                    return value
                break
        raise DamageError(f"{name} is out of bounds before byte {self.position}")

    def check(self, key: bytes, what: str) -> None:
        """Compare what was taken since the last check with the four bytes that follow."""
        expected = digest(key + self.taken, 4)
        if self.read(4) != expected:
            raise DamageError(f"{what} is damaged, before byte {self.position}")
        self.taken.clear()

    def settings(self, kind: Any) -> Any:
        """One of the header's parts, its fields as `LIMITS` has them."""
        return kind(**{field: self.number(low, high, field) for field, (low, high) in kind.LIMITS.items()})

    def read_header(self) -> Header:
        if self.take(len(MAGIC)) != MAGIC:
            raise MessageError("this is not an lmzip archive")
        version = self.number(0, 1 << 62, "format version")
        if version != VERSION:
            raise VersionError(f"format version {version} is not the one this codec reads, {VERSION}")
        # The body is read whole and checked before it is parsed.
        size = self.number(1, HEADER_LIMIT, "header length")
        body = self.take(size)
        self.check(b"", "the header")
        inner = Reader(io.BytesIO(body))
        try:
            values: dict[str, Any] = {name: inner.number(*Header.LIMITS[name], name) for name in Header.LIMITS}
            flags = inner.number(0, 15, "flags")
            values["independent_frames"] = bool(flags & 1)
            if flags & 2:
                values["model"] = inner.settings(ModelSettings)
            if flags & 4:
                values["experts"] = inner.settings(ExpertSettings)
            if flags & 8:
                values["prior"] = inner.read(32)
            self.header = Header(**values)
        except ValueError as error:
            raise DamageError(f"the header makes no sense: {error}") from error
        self.key = self.header.key
        if inner.position != size:
            raise DamageError("the header is longer than its fields")
        return self.header

    def read_head(self) -> Frame | None:
        """The head of a frame, whichever it is, whose payload must be read next; None before the footer."""
        assert self.header is not None
        kind = self.number(END, FILLED, "kind of frame")
        if kind == END:
            return None
        index = self.number(0, LENGTH_LIMIT, "frame index")
        length = self.number(1, self.header.frame_size, "frame length")
        data_digest = self.take(8)
        frame = Frame.plain(kind, index, length, data_digest)
        if kind == CODED:
            # No byte costs more than 256 bits: eight decisions of 32-bit probabilities.
            size, nll = self.number(0, 32 * length + 64, "transcript length"), self.number(0, length << 28, "nll")
            frame = Frame(kind, index, length, data_digest, size, nll, self.take(8), self.take(4))
        self.check(self.key, "the head of a frame")
        return frame

    def read_frame(self) -> Frame | None:
        """The head of the next frame, which must follow the last one's."""
        start, index = self.position, len(self.sizes)
        frame = self.read_head()
        if frame and self.header:
            if frame.number != index or self.length != index * self.header.frame_size:
                raise DamageError(f"frame {frame.number} stands where frame {index} belongs")
            self.sizes.append(self.position - start + frame.size)
            self.length += frame.length
            self.nll += frame.nll
        return frame

    def read_payload(self, frame: Frame) -> bytes:
        payload = self.read(frame.size)
        frame.check_payload(payload)
        return payload

    def frames(self) -> Iterator[tuple[Frame, bytes]]:
        """Every frame with its payload; then the footer, the code and the end are checked.

        The caller adds each frame's leaf digest to `leaves` once it has rebuilt the data.
        """
        while frame := self.read_frame():
            yield frame, self.read_payload(frame)
        self.read_footer()
        self.read_code()

    def read_footer(self) -> None:
        """After `read_frame` gave None: compare the totals and the whole digest with what was read and rebuilt."""
        footer = self.parse_footer(len(self.sizes))
        self.compare_totals()
        if footer.whole != whole_digest(self.leaves):
            raise DamageError("the digest of the whole differs")

    def compare_totals(self) -> None:
        footer = self.footer
        if footer is None or (footer.sizes, footer.length, footer.nll) != (self.sizes, self.length, self.nll):
            raise DamageError("the footer's totals are not those of the frames")

    def parse_footer(self, most: int) -> Footer:
        """The footer after its first byte, of at most `most` frames."""
        start = self.position - 1
        count = self.number(0, most, "number of frames")
        sizes = [self.number(1, LENGTH_LIMIT, "frame size") for _ in range(count)]
        length, nll = self.number(0, LENGTH_LIMIT, "length"), self.number(0, LENGTH_LIMIT << 8, "nll")
        whole = self.take(16)
        code_size = self.number(0, CODE_LIMIT, "length of the code")
        footer = Footer(length, nll, sizes, whole, code_size, self.take(8))
        self.check(self.key, "the footer")
        if int.from_bytes(self.read(4), "little") != self.position - start:
            raise DamageError("the footer's length is wrong")
        self.footer = footer
        return footer

    def read_code(self) -> bytes:
        """The code, unexamined but for its digest; nothing may follow it."""
        assert self.footer is not None
        code = self.read(self.footer.code_size)
        if digest(code, 8) != self.footer.code_digest:
            raise DamageError("the code behind the message is damaged")
        if self.stream.read(1):
            raise DamageError(f"something follows the end of the archive, at byte {self.position}")
        return code
