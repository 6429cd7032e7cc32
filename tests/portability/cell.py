"""One cell of the numeric matrix: encode and decode samples in this process, as its environment says; print digests.

python cell.py THREADS [flush]: `flush` switches flush-to-zero on first, as a host program might.
"""

import hashlib
import json
import sys

import numpy as np
import torch

from lmzip.codec.cache import load_lockstep
from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings

SMALL = ExpertSettings(slot_bits=14)
MODEL = ModelSettings(layers=2, width=128, hidden=256, window=64, table_bits=12)
HEADERS = {
    "uniform": Header(segment=32, frame_size=8192),
    "model": Header(segment=32, frame_size=8192, replay=1, model=MODEL),
    "streams": Header(segment=16, streams=2, frame_size=8192, model=MODEL),
    "experts": Header(segment=256, frame_size=8192, experts=SMALL),
    "mixed": Header(segment=32, frame_size=8192, replay=1, experts=SMALL, model=MODEL),
}
SAMPLE = (
    b"".join(b"%d, %x: the value of item %d is %d;\n" % (i, i * i, i % 7, i * 37 % 101) for i in range(20))
    + bytes(range(256))
    + np.arange(0, 1500, 7, dtype="<u2").tobytes()
)


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    if "flush" in sys.argv[2:]:
        torch.set_flush_denormal(True)
    lockstep = load_lockstep()
    result = {}
    for name, header in HEADERS.items():
        sender, receiver = lockstep(header), lockstep(header)
        encoding = sender.encode(np.frombuffer(SAMPLE, np.uint8))
        while not encoding.done:
            encoding.advance()
        transcript = encoding.finish()
        decoding = receiver.decode(np.frombuffer(transcript, np.uint8), len(SAMPLE))
        while not decoding.done:
            decoding.advance()
        assert decoding.data.tobytes() == SAMPLE, f"{name} does not come back"
        assert sender.digest() == receiver.digest(), f"{name}: the two ends differ"
        result[name] = [hashlib.sha256(transcript).hexdigest(), sender.digest().hex()]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
