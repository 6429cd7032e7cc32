"""Accelerators outside the codec change no bit."""

import numpy as np

from lmzip.accel.pipeline import PipelinedLockstep
from lmzip.codec.lockstep import Lockstep
from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings

TEXT = b"It is a truth universally acknowledged, that a single man in possession of a good fortune, " * 30
HEADER = Header(
    segment=16, frame_size=4096, replay=1, experts=ExpertSettings(14), model=ModelSettings(1, 32, 2, 64, 16, 10)
)


def test_coding_in_a_second_thread_gives_the_same_transcript_lengths_and_state():
    locksteps = Lockstep(HEADER), PipelinedLockstep(HEADER)
    for frame in (TEXT[:1000], TEXT[500:507], TEXT):
        encodings = [lockstep.encode(np.frombuffer(frame, np.uint8)) for lockstep in locksteps]
        while not encodings[0].done:
            for encoding in encodings:
                encoding.advance(7)
            assert encodings[0].position == encodings[1].position
            assert encodings[0].nll == encodings[1].nll
        assert encodings[1].done
        assert encodings[0].finish() == encodings[1].finish()
        assert locksteps[0].digest() == locksteps[1].digest()
