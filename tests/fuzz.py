"""Throw random settings and noise at the real codec: `NUMBA_BOUNDSCHECK=1 python tests/fuzz.py 5000 [SEED]`.

Each case takes a header that a receiver would accept, codes some data and decodes it again, then decodes noise in
place of the transcript: the results must be the data and the error "arithmetic differs", never an IndexError.
"""

from __future__ import annotations

import io
import random
import sys
from functools import cache

import lmzip
from lmzip.codec import message, product
from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings
from lmzip.errors import ArithmeticDiffers
from lmzip.frames import encode_frame
from lmzip.progress import Watch
from lmzip.sender import Sender
from lmzip.session import Session


def random_header(choose: random.Random) -> Header:
    """Any settings within the limits, but small."""
    width = choose.choice([16, 32, 64])
    heads = choose.choice([heads for heads in (1, 2, 4, 8) if width // heads >= 4])
    model = ModelSettings(
        layers=choose.randint(1, 3),
        width=width,
        heads=heads,
        hidden=8 * choose.randint(2, 12),
        window=choose.choice([4, 8, 32]),
        table_bits=choose.randint(8, 10),
    )
    experts = ExpertSettings(slots=choose.randint(1, 16), contexts=choose.randrange(1, 1 << choose.randint(1, 31)))
    kind = choose.randrange(3)
    segment = choose.choice([1, 2, 5, 8, 16, 33, 64])
    streams = choose.choice([1, 1, 2, 3]) if kind == 0 else 1
    return Header(
        seed=choose.getrandbits(choose.choice([1, 24])),
        streams=streams,
        segment=segment,
        frame_size=segment * streams * choose.randint(1, 200 // (segment * streams) + 1),
        replay=choose.choice([0, 1, 2]),
        independent_frames=choose.random() < 0.2,
        model=model if kind != 1 else None,
        experts=experts if kind != 0 else None,
    )


def random_data(choose: random.Random) -> bytes:
    size = choose.choice([1, 2, 50, choose.randrange(300), choose.randrange(700)])
    letters = choose.randint(1, 4) if choose.random() < 0.7 else 256
    return bytes(choose.randrange(letters) * 85 & 255 for _ in range(size))


def case(seed: int) -> None:
    choose = random.Random(seed)
    header, data = random_header(choose), random_data(choose)
    sink = io.BytesIO()
    Sender(sink, header, b"", Watch(), session=Session()).run(io.BytesIO(data))
    assert lmzip.decompress(sink.getvalue()) == data
    if not data:
        return
    data = data[: header.frame_size]
    coded = encode_frame(header, 0, data, False, Session().predictor(header))
    if coded.frame.kind != message.CODED:
        return
    noise = choose.randbytes(choose.randrange(2 * len(data) + 10))
    coded.frame = coded.frame._replace(size=len(noise), transcript_digest=message.digest(noise, 4))
    coded.payload = noise
    sink = io.BytesIO()
    sender = Sender(sink, header, b"", Watch(), session=Session())
    sender.write(header.pack())
    sender.add(coded)
    sender.finish()
    try:
        assert lmzip.decompress(sink.getvalue()) == data
    except ArithmeticDiffers:
        return


def main() -> None:
    product.self_test = cache(product.self_test)  # it would be most of the work
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for seed in range(first, first + count):
        try:
            case(seed)
        except BaseException:
            print(f"seed {seed}: {random_header(random.Random(seed))}", file=sys.stderr)
            raise
    print(f"{count:,} cases, no crash, no wrong output")


if __name__ == "__main__":
    main()
