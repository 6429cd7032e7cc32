"""One cell of the numeric matrix: encode and decode samples in this process, as its environment says; print digests.

python cell.py THREADS FLUSH [CASE …]: THREADS are those of torch, as 2, or 2+1 with a second one for the sender; FLUSH
is ieee, or ftz, daz or both: what a host program may have switched on in the processor (denormal results, denormal
operands become 0).
"""

import ctypes
import hashlib
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch

from lmzip.accel import cuda
from lmzip.codec.message import VERSION, Header, Reader
from lmzip.codec.settings import ExpertSettings, ModelSettings
from lmzip.frames import encode_frame
from lmzip.progress import Watch
from lmzip.sender import Sender
from lmzip.session import Session, lockstep_class

FLUSH = {"ieee": 0, "ftz": 0x8000, "daz": 0x40, "both": 0x8040}  # bits of MXCSR
SMALL = ExpertSettings(slots=16)
MODEL = ModelSettings(layers=2, width=128, hidden=256, window=64, table_bits=11)
HEADERS = {
    "uniform": Header(segment=32, frame_size=8192),
    "model": Header(segment=32, frame_size=8192, replay=1, model=MODEL),
    "streams": Header(segment=16, streams=2, frame_size=8192, model=MODEL),
    "experts": Header(segment=256, frame_size=8192, experts=SMALL),
    "mixed": Header(segment=32, frame_size=8192, replay=1, experts=SMALL, model=MODEL),
    "samples": Header(segment=32, frame_size=8192, experts=SMALL, model=MODEL),
}
SAMPLE = (
    b"".join(b"%d, %x: the value of item %d is %d;\n" % (i, i * i, i % 7, i * 37 % 101) for i in range(20))
    + bytes(range(256))
    + np.arange(0, 1500, 7, dtype="<u2").tobytes()
)
GOLDEN = Path(__file__).parent.parent / "golden"
SAMPLES = b"".join(GOLDEN.joinpath(name).read_bytes() for name in ("colours", "stereo", "voice"))  # image, then audio


def flush(bits: int) -> None:
    """Set the modes on this thread, and so on the threads that it starts."""
    small, least = np.full(4, 2e-38, np.float32), np.full(4, 1e-40, np.float32)  # made before: making them flushes, too
    environment = (ctypes.c_uint32 * 8)()  # fenv_t of x86-64, MXCSR last
    library = ctypes.CDLL(None)
    library.fegetenv(environment)
    environment[7] |= bits
    library.fesetenv(environment)
    product = (small * np.float32(0.1)).view(np.uint32)  # as integers: to compare flushes, too
    assert bool((product == 0).all()) == bool(bits & FLUSH["ftz"])
    assert bool((least * np.float32(1e30) == 0).all()) == bool(bits & FLUSH["daz"])


def state_digest(lockstep: object) -> str:
    """SHA-256 of every array of the state, whatever its size."""
    whole = hashlib.sha256()
    for name, array in lockstep.arrays().items():
        if array.dtype == np.int8:  # integers of products, which other backends hold as float32
            array = array.astype(np.float32)
        whole.update(name.encode() + np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return whole.hexdigest()


def walk(lockstep: object, coding: object) -> list[str]:
    """Code to the end; short digests of the state after 1, 2, 4, 8 … segments, a long one at the end."""
    digests, segments = [], 1
    coding.advance(1)
    while not coding.done:
        digests.append(lockstep.digest().hex())
        coding.advance(segments)
        segments *= 2
    return [*digests, state_digest(lockstep)]


def cell(header: Header, sample: bytes, two_threads: bool) -> dict:
    """Digests of one case; the sender's states are the receiver's."""
    two_threads = two_threads and header.model is not None and header.experts is not None
    sender, receiver = lockstep_class(two_threads)(header), lockstep_class()(header)
    encoding = sender.encode(np.frombuffer(sample, np.uint8))
    states, archive = walk(sender, encoding), io.BytesIO()
    out = Sender(archive, header, b"", Watch(), session=Session())
    out.write(header.pack())
    out.add(encode_frame(header, 0, sample, False, sender, encoding))
    out.finish()
    reader = Reader(io.BytesIO(archive.getvalue()))
    reader.read_header()
    frame = reader.read_frame()
    decoding = receiver.decode(np.frombuffer(reader.read_payload(frame), np.uint8), frame.length)
    assert walk(receiver, decoding) == states, "the two ends differ"
    frame.check_data(decoding.data, receiver.digest())
    contents = {"archive": archive.getvalue(), "decoded": decoding.data.tobytes()}
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()} | {"states": states}


def begin(threads: int, mode: str) -> None:
    """What a cell's arguments ask of this process."""
    torch.set_num_threads(threads)
    if FLUSH[mode]:
        flush(FLUSH[mode])


def main() -> None:
    threads, mode, *cases = sys.argv[1:]
    threads, _, second = threads.partition("+")
    if os.environ.get("LMZIP_PRODUCTS") == cuda.NAME:
        assert cuda.backend("cpu")
    begin(int(threads), mode)
    inputs = {name: (header, SAMPLES if name == "samples" else SAMPLE) for name, header in HEADERS.items()}
    print(json.dumps({"format": VERSION} | {name: cell(*inputs[name], bool(second)) for name in cases or inputs}))


if __name__ == "__main__":
    main()
