"""Header, frames, footer: what is packed is parsed again, and nothing else is."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmzip.codec import message
from lmzip.codec.message import CODED, DamageError, Footer, Frame, Header, MessageError, Reader, VersionError
from lmzip.codec.settings import ExpertSettings, ModelSettings

POWERS = st.sampled_from([16, 32, 64, 128])
MODELS = st.builds(
    ModelSettings,
    layers=st.integers(1, 128),
    width=POWERS,
    heads=st.sampled_from([1, 2, 4]),
    hidden=POWERS,
    window=POWERS,
    table_bits=st.integers(8, 24),
)
EXPERTS = st.builds(ExpertSettings, slots=st.integers(1, 1 << 16), contexts=st.integers(1, (1 << 31) - 1))


@st.composite
def headers(draw):
    segment, streams = draw(st.integers(1, 512)), draw(st.integers(1, 4))
    return Header(
        seed=draw(st.integers(0, (1 << 24) - 1)),
        streams=streams,
        segment=segment,
        frame_size=segment * streams * draw(st.integers(1, 1000)),
        replay=draw(st.integers(0, 16)),
        independent_frames=draw(st.booleans()),
        model=draw(st.none() | MODELS),
        experts=draw(st.none() | EXPERTS),
        prior=draw(st.none() | st.binary(min_size=32, max_size=32)),
    )


def read_header(data: bytes) -> Header:
    return Reader(io.BytesIO(data)).read_header()


@given(headers())
def test_a_header_survives_packing(header):
    assert read_header(header.pack()) == header
    assert len(header.pack()) <= 100


@given(headers(), st.data())
def test_no_flipped_bit_of_a_header_goes_unnoticed(header, data):
    packed = bytearray(header.pack())
    bit = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(MessageError):
        read_header(bytes(packed))


@given(headers(), st.data())
def test_a_header_cut_short_is_damage(header, data):
    packed = header.pack()
    with pytest.raises(DamageError, match="ends early"):
        read_header(packed[: data.draw(st.integers(0, len(packed) - 1))])


@given(st.integers(0, (1 << 70) - 1))
def test_numbers_have_one_spelling(value):
    packed = message.pack_number(value)
    assert Reader(io.BytesIO(packed)).number(0, 1 << 70, "it") == value
    longer = packed[:-1] + bytes([packed[-1] | 0x80, 0])
    with pytest.raises(DamageError):
        Reader(io.BytesIO(longer)).number(0, 1 << 80, "it")


def test_a_future_version_is_named():
    packed = bytearray(Header().pack())
    packed[4] = 7
    with pytest.raises(VersionError, match="format version 7 "):
        read_header(bytes(packed))


def test_other_files_are_no_archives():
    for data in (b"PK\3\4 zip", b"\x1f\x8b gzip", b"plain text"):
        with pytest.raises(MessageError, match="not an lmzip archive"):
            read_header(data)


@pytest.mark.parametrize("name", list(Header.LIMITS) + ["flags"])
def test_a_header_out_of_bounds_is_refused_however_well_signed(name):
    values = dict.fromkeys(Header.LIMITS, 1) | {"frame_size": 1, "flags": 0}
    values[name] = 16 if name == "flags" else Header.LIMITS[name][1] + 1
    body = b"".join(message.pack_number(value) for value in values.values())
    head = message.MAGIC + bytes([message.VERSION]) + message.pack_number(len(body)) + body
    with pytest.raises(DamageError, match=f"{name} is out of bounds"):
        read_header(head + message.digest(head, 4))


def test_a_signed_header_that_makes_no_sense_is_refused():
    for body in (
        bytes([0, 1, 32, 33, 0, 0]),  # the frame is no multiple of the segment
        bytes([0, 1, 32, 32, 0, 2, 1, 17, 1, 16, 16, 8]),  # a width that is no power of two
        bytes([0, 1, 32, 32, 0, 0, 0]),  # a byte too many
        bytes([0, 1, 32, 32, 0, 8, 1, 2, 3]),  # a prior's digest of three bytes
    ):
        head = message.MAGIC + bytes([message.VERSION]) + message.pack_number(len(body)) + body
        with pytest.raises(DamageError):
            read_header(head + message.digest(head, 4))


def test_settings_out_of_bounds_are_not_packed():
    for header in (Header(seed=1 << 64), Header(replay=17), Header(model=ModelSettings(layers=129))):
        with pytest.raises(ValueError, match="must be"):
            header.pack()


def test_a_frame_belongs_to_its_header_and_its_place():
    frame = Frame(CODED, 0, 20, b"12345678", 5, 100, b"state878", b"tran")
    ours, other = Header(), Header(seed=1)

    def read(header: Header, frame: Frame, key: bytes) -> Frame | None:
        reader = Reader(io.BytesIO(header.pack() + frame.pack(key)))
        reader.read_header()
        return reader.read_frame()

    assert read(ours, frame, ours.key) == frame
    with pytest.raises(DamageError):
        read(ours, frame, other.key)
    with pytest.raises(DamageError, match="frame 1 stands where frame 0 belongs"):
        read(ours, frame._replace(number=1), ours.key)


class Endless(io.RawIOBase):
    """A source that counts the largest read asked of it."""

    def __init__(self, head: bytes) -> None:
        self.head, self.largest, self.total = io.BytesIO(head), 0, 0

    def read(self, count: int = -1) -> bytes:
        self.largest = max(self.largest, count)
        return self.head.read(count)


def test_a_false_length_allocates_nothing():
    header = Header(frame_size=1 << 28)
    frame = Frame.plain(message.STORED, 0, 1 << 28, b"12345678")
    source = Endless(header.pack() + frame.pack(header.key) + b"short")
    reader = Reader(source)
    reader.read_header()
    found = reader.read_frame()
    assert found == frame
    with pytest.raises(DamageError, match="ends early"):
        reader.read_payload(frame)
    assert source.largest <= message.CHUNK


def test_the_footer_is_read_from_both_ends():
    header = Header()
    footer = Footer(0, 0, [], message.whole_digest(b""), 3, message.digest(b"zip", 8))
    packed = header.pack() + footer.pack(header.key) + b"zip"
    reader = Reader(io.BytesIO(packed))
    reader.read_header()
    assert list(reader.frames()) == []
    assert reader.footer == footer
    assert int.from_bytes(packed[-7:-3], "little") == len(footer.pack(header.key))


def test_the_example_in_the_specification():
    lines = Path(__file__).parent.parent.joinpath("docs", "format.md").read_text("utf-8").split("```")[1].splitlines()
    example = bytes.fromhex("".join(line[:47] for line in lines))
    reader = Reader(io.BytesIO(example))
    assert reader.read_header() == Header()
    assert list(reader.frames()) == []
    assert reader.footer == Footer(0, 0, [], message.whole_digest(b""), 0, message.digest(b"", 8))
