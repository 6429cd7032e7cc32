"""Sender and receiver stay in lockstep: the same frequencies, code lengths and state, bit for bit, and no peeking."""

import gc
import tracemalloc

import numpy as np
import pytest
from guard import ContractError, guarded

from lmzip.codec.lockstep import Lockstep
from lmzip.codec.message import Header
from lmzip.codec.model import Model, forward, hash_contexts
from lmzip.codec.product import Products
from lmzip.codec.settings import ExpertSettings, ModelSettings

TINY = ModelSettings(layers=1, width=32, heads=2, hidden=64, window=16, table_bits=10)
DEEP = ModelSettings(layers=2, width=64, heads=4, hidden=32, window=8, table_bits=9)
EXPERTS = ExpertSettings(14)
TEXT = b"It is a truth universally acknowledged, that a single man in possession of a good fortune, " * 30


def headers():
    yield "uniform", Header(segment=16, frame_size=4096)
    yield "model", Header(segment=16, frame_size=4096, model=TINY)
    yield "two layers and replay", Header(segment=32, frame_size=4096, model=DEEP, replay=2)
    yield "three streams", Header(segment=8, streams=3, frame_size=4080, model=TINY, replay=1)
    yield "experts", Header(segment=256, frame_size=4096, experts=EXPERTS)
    yield "experts and model", Header(segment=16, frame_size=4096, experts=EXPERTS, model=TINY, replay=1)


CASES = [pytest.param(header, id=name) for name, header in headers()]


def code(lockstep, data, start=0):
    encoding = lockstep.encode(np.frombuffer(data, np.uint8))
    while not encoding.done:
        encoding.advance(5)
    return encoding, encoding.finish()


def decode(lockstep, transcript, length):
    decoding = lockstep.decode(np.frombuffer(transcript, np.uint8), length)
    while not decoding.done:
        decoding.advance(3)
    return decoding


@pytest.mark.parametrize("header", CASES)
def test_frames_come_back_and_both_ends_are_equal_after_each(header):
    sender, receiver = Lockstep(header), Lockstep(header)
    stride = header.streams * header.segment
    for length in (0, 1, 2, stride - 1, stride, stride + 1, 5 * stride, 700):
        frame = TEXT[-length:] if length else b""
        encoding, transcript = code(sender, frame)
        decoding = decode(receiver, transcript, length)
        assert decoding.data.tobytes() == frame
        assert decoding.nll == encoding.nll
        assert abs(len(transcript) - encoding.nll / 2**23) <= 1e-4 * len(transcript) + 9
        ours, theirs = sender.arrays(), receiver.arrays()
        assert [name for name in ours if not np.array_equal(ours[name], theirs[name])] == []
        assert sender.digest() == receiver.digest()
        assert sender.position == receiver.position


@pytest.mark.parametrize("header", CASES)
def test_what_follows_changes_nothing_before_it(header):
    """Flip a byte: every code length before it stays; and a longer frame begins as a shorter one does."""

    def lengths(data):
        encoding, seen = Lockstep(header).encode(np.frombuffer(data, np.uint8)), []
        while not encoding.done:
            encoding.advance(1)
            seen.append(encoding.nll)
        return seen

    stride = header.streams * header.segment
    data = bytearray(TEXT[: 12 * stride if header.streams > 1 else 1200])
    whole = lengths(data)
    at = len(data) - 2 * header.segment  # in the last stream, if there are several
    data[at] ^= 0x55
    steps = at // header.segment if header.streams == 1 else 10
    assert lengths(data)[:steps] == whole[:steps]
    assert (lengths(data) != whole) == bool(header.model or header.experts)
    if header.streams == 1:
        shorter = lengths(bytes(data[: len(data) // 2]))
        assert shorter[:-1] == whole[: len(shorter) - 1]


@pytest.mark.parametrize("settings", [TINY, DEEP])
@pytest.mark.parametrize(("streams", "segment"), [(1, 8), (1, 32), (3, 16)])
def test_a_segment_at_once_and_position_by_position_give_the_same_frequencies(settings, streams, segment):
    products = Products("float32")
    at_once, one_by_one = (Model(settings, streams, segment, 1, products) for _ in range(2))
    history = np.zeros(1 << 12, np.uint8)
    history[: len(TEXT)] = np.frombuffer(TEXT, np.uint8)
    begin = 300 * np.arange(streams)
    for model in (at_once, one_by_one):  # weights that let everything through
        for block in model.net.blocks:
            block.out.integers[:] = np.roll(block.qkv.integers[:, : settings.width], 1)
            block.out.scale[:] = block.down.scale[:] = 0.01
            block.down.integers[:] = block.up.integers.T
        model.net.head.integers[:] = np.resize(model.net.blocks[0].up.integers, model.net.head.integers.shape)
        model.net.head.scale[:] = 0.01
        model.net.tables[1:] = 0.1
    for segments in range(5):
        position = begin + segments * segment
        hash_contexts(history, begin, position, 0, segment, settings.table_bits, at_once.net.contexts)
        at_once.predict(at_once.caches, int(at_once.past[0]))
        for t in range(segment):
            hash_contexts(history, begin, position, t, t + 1, settings.table_bits, one_by_one.net.contexts)
            forward(one_by_one.net, one_by_one.caches, int(one_by_one.past[0]), t, t + 1, 0)
        assert (at_once.net.frequencies == one_by_one.net.frequencies).all()
        assert len(np.unique(at_once.net.frequencies)) > 100
        for model in (at_once, one_by_one):
            model.advance(segment)


def test_saved_state_goes_on_as_if_never_interrupted():
    header = Header(segment=16, frame_size=4096, model=TINY, experts=EXPERTS, replay=1)
    unbroken = Lockstep(header)
    code(unbroken, TEXT[:640])
    saved = {name: array.copy() for name, array in unbroken.arrays().items()}
    resumed = Lockstep(header)
    for name in sorted(saved, key=lambda name: saved[name].nbytes):  # first how much of the tables is in use
        resumed.arrays()[name][...] = saved[name]
    assert code(unbroken, TEXT[640:1280])[1] == code(resumed, TEXT[640:1280])[1]
    assert unbroken.digest() == resumed.digest()


@pytest.mark.parametrize("lookahead", [0, 256])
def test_a_match_does_not_outlive_stored_bytes(monkeypatch, lookahead):
    """Else its distance grows beyond the ring, where a sender already holds what it still has to code."""
    monkeypatch.setattr("lmzip.codec.lockstep.HISTORY_BITS", 12)
    header = Header(segment=256, frame_size=4096, experts=EXPERTS)
    sender, receiver = Lockstep(header), Lockstep(header)
    noise = np.random.default_rng(3).integers(0, 256, (1 << 12) - lookahead).astype(np.uint8)
    for frame in (TEXT[:512], TEXT[:512], noise, TEXT[512:1536]):
        if isinstance(frame, bytes):
            _, transcript = code(sender, frame)
            assert decode(receiver, transcript, len(frame)).data.tobytes() == frame
        else:
            sender.skip(frame)
            receiver.skip(frame)
        assert sender.digest() == receiver.digest()


def test_long_training_leaves_no_denormals():
    header = Header(segment=16, frame_size=4096, model=TINY)
    lockstep = Lockstep(header)
    lockstep.learner.decays[:] = 2e-20, 1e-20
    code(lockstep, TEXT[:320])
    assert lockstep.learner.decays.tolist() == [0, 0]


def test_products_too_long_to_be_exact_are_refused():
    with pytest.raises(ValueError, match="2,048"):
        Header(streams=64, segment=64, frame_size=4096, model=TINY)
    with pytest.raises(ValueError, match="may round"):
        Products("float32").add(*(np.zeros(shape, np.float32) for shape in ((8, 4096), (4096, 8), (8, 8))))


def test_memory_does_not_grow_with_the_data():
    lockstep = Lockstep(Header(segment=16, frame_size=4096, model=TINY, replay=1))
    held = []
    tracemalloc.start()
    for start in range(0, 2560, 640):
        code(lockstep, TEXT[start : start + 640])
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[-1] - held[1] < 200_000  # a leak in every step would be 160 of them; small things settle slowly


def test_replay_and_the_seed_change_the_transcript():
    transcripts = {
        code(Lockstep(Header(segment=16, frame_size=4096, model=TINY, replay=r, seed=s)), TEXT[:800])[1]
        for r, s in ((0, 0), (1, 0), (0, 1))
    }
    assert len(transcripts) == 3


def test_the_coded_loss_is_the_loss_whose_gradient_trains_the_model():
    """Finite differences: the gradient of the head's bias is that of the segment's code length."""
    header = Header(segment=16, frame_size=4096, model=TINY)
    lockstep = Lockstep(header)
    code(lockstep, TEXT[:640])
    model, learner = lockstep.model, lockstep.learner
    history, begin, position = lockstep.history, np.zeros(1, np.int64), np.array([640])
    segment = TEXT[640:656]
    lockstep.put(640, np.frombuffer(segment, np.uint8))

    def nats(byte, nudge):
        model.net.head_bias[byte] += np.float32(nudge)
        hash_contexts(history, begin, position, 0, 16, TINY.table_bits, model.net.contexts)
        model.predict(model.caches, int(model.past[0]))
        model.net.head_bias[byte] -= np.float32(nudge)
        f = model.net.frequencies[0, np.arange(16), list(segment)]
        return -np.log(f / (1 << 24)).sum()

    numeric = {byte: (nats(byte, 1 / 8) - nats(byte, -1 / 8)) * 4 for byte in b"tae q"}
    nats(0, 0)
    learner.learn(history, begin, position)
    clipped = [float(learner.gradients.head_bias[byte]) for byte in numeric]
    factor = clipped[0] / numeric[ord("t")]
    assert 0.3 < factor < 1.02
    assert clipped == pytest.approx([slope * factor for slope in numeric.values()], rel=0.03, abs=3e-3)


def test_every_segment_trains_by_the_gradient_of_what_it_was_charged():
    lockstep = Lockstep(Header(segment=16, frame_size=4096, model=TINY))
    encoding, charged, at = lockstep.encode(np.frombuffer(TEXT[:640], np.uint8)), 0, np.arange(16)
    while not encoding.done:
        encoding.advance(1)
        p = lockstep.model.net.frequencies[0] / (1 << 24)
        targets = np.frombuffer(TEXT[encoding.position - 16 : encoding.position], np.uint8)
        assert (encoding.nll - charged) / (1 << 20) == pytest.approx(-np.log2(p[at, targets]).sum(), abs=1e-4)
        charged = encoding.nll
        p[at, targets] -= 1
        clip = min(1, 0.75 * 4 / np.sqrt((p * p).sum()))
        assert lockstep.learner.gradients.head_bias == pytest.approx(p.sum(0) * clip, abs=1e-5)


def test_prediction_and_training_pass_the_guard():
    header = Header(segment=16, frame_size=4096, model=DEEP, replay=1)
    sender, receiver = Lockstep(header), Lockstep(header)
    with guarded():
        _, transcript = code(sender, TEXT[:400])
        assert decode(receiver, transcript, 400).data.tobytes() == TEXT[:400]


def test_the_guard_stops_a_library_softmax_in_place_of_ours(monkeypatch):
    import torch

    lockstep = Lockstep(Header(segment=16, frame_size=4096, model=TINY))
    products = lockstep.learner.products
    monkeypatch.setattr(products, "multiply", lambda a, b, out: out.copy_(torch.softmax((a @ b).float(), -1)))
    with guarded(), pytest.raises(ContractError, match="softmax"):
        code(lockstep, TEXT[:64])


def test_experts_refuse_several_streams():
    with pytest.raises(ValueError, match="single stream"):
        Lockstep(Header(segment=8, streams=2, frame_size=4096, experts=EXPERTS))
