"""The sender's second thread: the same transcript, code lengths and state as without it, wherever one looks."""

from __future__ import annotations

import numpy as np
import pytest

from lmzip.accel.threads import ThreadedEncoding, ThreadedLockstep
from lmzip.codec.lockstep import Lockstep
from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings
from lmzip.session import Session

MODEL = ModelSettings(layers=1, width=32, heads=2, hidden=48, window=16, table_bits=8)
HEADER = Header(segment=16, frame_size=1 << 12, experts=ExpertSettings(slots=16), model=MODEL)
TEXT = np.frombuffer(b"The cat sat on the mat; the dog sat on the cat. " * 11 + bytes(range(77)), np.uint8)


def walk(state: Lockstep, steps: int) -> list[tuple[int, int, bytes]]:
    """Two frames, with what one sees between calls of `advance`."""
    seen = []
    for frame in (TEXT[:401], TEXT[401:]):
        encoding = state.encode(frame)
        while not encoding.done:
            encoding.advance(steps)
            seen.append((encoding.position, encoding.nll, state.digest()))
        seen.append((state.position, encoding.nll, encoding.finish()))
    return seen


@pytest.mark.parametrize("steps", [1, 3, 1000])
def test_two_threads_do_what_one_does(steps):
    assert walk(ThreadedLockstep(HEADER), steps) == walk(Lockstep(HEADER), steps)


def test_what_the_second_thread_wrote_the_receiver_reads():
    encoding = ThreadedLockstep(HEADER).encode(TEXT)
    encoding.advance(1000)
    decoding = Lockstep(HEADER).decode(np.frombuffer(encoding.finish(), np.uint8), len(TEXT))
    decoding.advance(1000)
    assert np.array_equal(decoding.finish(), TEXT)


def test_an_error_in_the_second_thread_is_the_senders(monkeypatch):
    state = ThreadedLockstep(HEADER)
    monkeypatch.setattr(state.experts, "code", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        state.encode(TEXT).advance(1000)


def test_it_is_taken_where_there_are_threads_and_both_predictors():
    for threads, model, taken in ((1, MODEL, False), (2, MODEL, True), (2, None, False)):
        header = Header(segment=16, frame_size=1 << 12, experts=HEADER.experts, model=model)
        assert isinstance(Session(threads).lockstep(header).encode(TEXT), ThreadedEncoding) == taken


def test_products_of_small_models_stay_on_one_thread():
    """Threads that meet after every product of 5 µs made coding five times slower on a busy machine."""
    import torch

    for width, threads in ((32, 1), (512, 4)):
        model = ModelSettings(layers=1, width=width, heads=2, hidden=48, window=16, table_bits=8)
        Session(4).lockstep(Header(segment=64, frame_size=1 << 12, model=model))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
