"""Whatever happens to an archive, the result is the original or one clear line, never something else."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import random
import subprocess
import sys
import tracemalloc
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import toy
from attacks.make import ATTACKS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lmzip
from lmzip import pack, session
from lmzip.codec import message
from lmzip.codec.message import Frame, Header
from lmzip.codec.settings import ModelSettings
from lmzip.errors import ArchiveError, ArithmeticDiffers, DamageError, LimitError, LmzipError
from lmzip.limits import Cost, Limits
from lmzip.receiver import Receiver
from lmzip.salvage import find_footer, salvage
from lmzip.session import Session
from lmzip.survey import Survey

free = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def mixed(text: bytes) -> bytes:
    """Data whose frames of 512 bytes are of every kind: coded, coded, filled, coded, stored, coded."""
    return text[:1024] + bytes(512) + text[1024:1536] + random.Random(0).randbytes(512) + text[1536:1700]


def archive_of(data: bytes, **options) -> bytes:
    return lmzip.compress(data, frame_size=512, **options)


def starts(archive: bytes) -> list[int]:
    """Where each frame's head begins, and the footer."""
    survey = Survey(io.BytesIO(archive), session=Session())
    result = [len(survey.header.pack())]
    for size in survey.footer.sizes:
        result.append(result[-1] + size)
    return result


@pytest.mark.parametrize("code", [True, False])
def test_no_flipped_bit_goes_unnoticed(toy_predictor, text, code):
    archive = archive_of(text[:560], code=code)
    places = range(len(archive)) if not code else [*range(0, len(archive) - 1, 293), len(archive) - 1]
    for place in places:
        broken = bytearray(archive)
        broken[place] ^= 1 << place % 8
        with pytest.raises(ArchiveError):
            lmzip.decompress(bytes(broken))


def test_no_cut_goes_unnoticed(toy_predictor, text):
    archive = archive_of(text[:560], code=False)
    for place in range(len(archive)):
        with pytest.raises(ArchiveError):
            lmzip.decompress(archive[:place])


def test_nothing_may_follow(toy_predictor, text):
    for code in (True, False):
        archive = archive_of(text[:560], code=code)
        for tail in (b"\0", archive, pack.committed("whole")):
            with pytest.raises(DamageError, match="follows the end"):
                lmzip.decompress(archive + tail)


def test_frames_can_not_be_repeated_left_out_or_exchanged(toy_predictor, text):
    for independent in (True, False):
        archive = archive_of(text[:2048], independent_frames=independent, code=False)
        place = starts(archive)
        head, tail = archive[: place[0]], archive[place[-1] :]
        frames = [archive[a:b] for a, b in pairwise(place)]
        for order in ([0, 0, 1, 2, 3], [0, 2, 3], [1, 0, 2, 3], [0, 1, 2], [3], []):
            with pytest.raises(DamageError):
                lmzip.decompress(head + b"".join(frames[i] for i in order) + tail)


def test_frames_of_another_archive_do_not_fit(toy_predictor, text):
    one, other = archive_of(text[:1024], code=False), archive_of(text[:1024], code=False, seed=1)
    a, b = starts(one), starts(other)
    with pytest.raises(DamageError):
        lmzip.decompress(one[: a[1]] + other[b[1] :])


def test_other_arithmetic_is_not_called_damage(monkeypatch, toy_predictor, text):
    archive = archive_of(text[:2048])

    class Wrong(toy.ToyLockstep):
        def __init__(self, header: Header) -> None:
            super().__init__(header)
            self.odds[ord("e") << 8 | 2] += 100  # met in some later frame, perhaps

    monkeypatch.setattr(session, "lockstep_class", lambda *_: Wrong)
    with pytest.raises(ArithmeticDiffers, match="arithmetic differs from the sender's at frame 0"):
        lmzip.decompress(archive)


@free
@given(st.data())
def test_mutations_are_noticed_or_harmless(toy_predictor, data):
    """Hypothesis: cut, splice, repeat, and flip at will; whatever still decodes is the original."""
    check_mutation(data.draw(st.integers(0, 1 << 32)))


def check_mutation(seed: int) -> bool:
    """One random mutation of a random archive; True if it was refused."""
    choose = random.Random(seed)
    data, archive = CASES[choose.randrange(len(CASES))]
    broken = mutate(archive, choose)
    try:
        result = lmzip.decompress(broken)
    except (ArchiveError, LimitError):
        return True
    assert result == data or (result, broken) in CASES  # a splice may give another archive as a whole
    return False


def mutate(archive: bytes, choose: random.Random, *, splices: bool = True) -> bytes:
    """Bytes changed as accident would; and pieces of other archives, which are well signed."""
    out = bytearray(archive)
    for _ in range(choose.randint(1, 3)):
        a, b = sorted(choose.randrange(len(out) + 1) for _ in range(2))
        action = choose.randrange(8)
        if action == 0 and out:
            out[choose.randrange(len(out))] ^= 1 << choose.randrange(8)
        elif action == 1:
            del out[a:]
        elif action == 2:
            del out[a : min(b, a + 64)]
        elif action == 3:
            out[a:a] = out[a : min(b, a + 64)]
        elif action == 4:
            out[a:a] = choose.randbytes(choose.randint(1, 20))
        elif action == 5:
            out[a : a + 8] = choose.choice([b"\0", b"\xff"]) * 8
        elif action == 6 and splices:
            other = CASES[choose.randrange(len(CASES))][1]
            out[a:] = other[choose.randrange(len(other)) :]
        elif out:
            out[a % len(out)] = (out[a % len(out)] + choose.choice([1, 255])) & 255
    return bytes(out)


class Cases(list):
    """Small archives of every kind, made when first asked for."""

    def __len__(self) -> int:
        if not super().__len__():
            noise = random.Random(5)
            for data in (b"", b"a", b"abc" * 50, noise.randbytes(300), bytes(500), bytes(range(200)) * 2):
                for independent in (True, False):
                    archive = lmzip.compress(data, code=False, frame_size=256, independent_frames=independent)
                    self.append((data, archive))
        return super().__len__()


CASES = Cases()


def resigned(archive: bytes, choose: random.Random) -> bytes:
    """The first frame's head with a changed field and a good check: what only an attacker does."""
    survey = Survey(io.BytesIO(archive), session=Session())
    place = len(survey.header.pack())
    frame = survey.frames[0]
    field = choose.choice(["number", "length", "size", "nll", "kind", "data_digest"])
    value = choose.choice([0, 1, 2, 3, 255, 256, 1 << 20, 1 << 40])
    if field == "kind":
        value %= 4
    new = frame._replace(**{field: choose.randbytes(8) if field == "data_digest" else value})
    return archive[:place] + new.pack(survey.header.key) + archive[survey.offsets[0] :]


def test_well_signed_nonsense_is_refused(toy_predictor):
    assert len(CASES) > 0
    for seed in range(300):
        choose = random.Random(seed)
        data, archive = choose.choice([case for case in CASES if case[0]])
        try:
            assert lmzip.decompress(resigned(archive, choose)) == data
        except (ArchiveError, LimitError):
            continue


def rebuilt(archive: bytes, choose: random.Random) -> bytes:
    """An archive changed in its structure and well signed again: what only an attacker does.

    Frames are left out, repeated, exchanged and numbered anew, numbers are off by one or extreme, the code is another.
    """
    survey = Survey(io.BytesIO(archive), session=Session())
    header, footer, code = survey.header, survey.footer, b""
    frames = [(frame, archive[at : at + frame.size]) for frame, at in zip(survey.frames, survey.offsets)]

    def odd(value: int) -> int:
        return max(0, choose.choice([value - 1, value + 1, 2 * value, 0, 1, 255, 1 << 20, 1 << 40, (1 << 62) + 1]))

    def number_anew() -> None:
        frames[:] = [(frame._replace(number=i), payload) for i, (frame, payload) in enumerate(frames)]

    for _ in range(choose.randint(1, 2)):
        action, i = choose.randrange(9), choose.randrange(len(frames) or 1)
        if action == 0:
            frames = choose.choices(frames, k=choose.randrange(len(frames) + 2)) if frames else []
        elif action == 1:
            frames = choose.choices(frames, k=choose.randrange(len(frames) + 2)) if frames else []
            number_anew()
        elif action <= 4 and frames:
            frame, payload = frames[i]
            field = choose.choice(["number", "length", "size", "nll", "kind"])
            value = choose.randrange(4) if field == "kind" else odd(getattr(frame, field))
            frames[i] = frame._replace(**{field: value}), payload
        elif action == 5 and frames:
            frame, payload = frames[i]
            payload = choose.choice([payload[:-1], payload + b"\0", b"", choose.randbytes(len(payload))])
            whole = message.digest(payload, 4) if frame.kind == message.CODED else b""
            frames[i] = frame._replace(size=len(payload), transcript_digest=whole), payload
        elif action == 6:
            field = choose.choice(["segment", "frame_size", "streams", "replay", "seed", "independent_frames"])
            with contextlib.suppress(ValueError):  # some go nowhere
                changed = dataclasses.replace(header, **{field: max(1, odd(getattr(header, field)))})
                changed.pack()
                header = changed
        elif action == 7:
            code = choose.choice([b"PK", pack.committed("model"), pack.committed("model") * 2, choose.randbytes(30)])
    key = header.key
    packed = [frame.pack(key) + payload for frame, payload in frames]
    if choose.random() < 0.7:  # else the totals are the old ones
        footer = footer._replace(
            length=sum(frame.length for frame, _ in frames),
            nll=sum(frame.nll for frame, _ in frames),
            sizes=list(map(len, packed)),
        )
    footer = footer._replace(code_size=len(code), code_digest=message.digest(code, 8))
    if choose.random() < 0.3:
        field = choose.choice(["length", "nll", "code_size", "sizes", "whole"])
        value = {"sizes": [odd(300) for _ in frames], "whole": bytes(16)}.get(field)
        footer = footer._replace(**{field: odd(getattr(footer, field)) if value is None else value})
    return header.pack() + b"".join(packed) + footer.pack(key) + code + choose.choice([b"", b"", b"", b"\0", code])


def check_rebuilt(seed: int) -> bool:
    """One such archive: whatever reads it gives a result or a clear error. True if it was refused."""
    choose = random.Random(seed)
    broken = rebuilt(choose.choice(CASES)[1], choose)
    with contextlib.suppress(ArchiveError, LimitError):
        Survey(io.BytesIO(broken), session=Session())
    with contextlib.suppress(ArchiveError, LimitError):
        salvage(io.BytesIO(broken), io.BytesIO(), STRICT, Session())
    with contextlib.suppress(ArchiveError, LimitError), lmzip.open(io.BytesIO(broken), limits=STRICT) as file:
        file.seek(choose.randrange(600))
        file.read()
    try:
        lmzip.decompress(broken, max_output=STRICT.output)
    except (ArchiveError, LimitError):
        return True
    return False


def check_salvage(seed: int) -> None:
    """What is saved of an archive that accident has hurt is the original, and what is lost is said."""
    choose = random.Random(seed)
    data, archive = choose.choice(CASES)
    broken, sink = mutate(archive, choose, splices=False), io.BytesIO()
    try:
        _, count, lost = salvage(io.BytesIO(broken), sink, STRICT, Session())
    except (ArchiveError, LimitError):  # the header is gone
        return
    kept = np.ones(len(data), bool)
    for start, stop in lost:
        kept[start:stop] = False
    saved = np.frombuffer(sink.getvalue().ljust(len(data), b"\0")[: len(data)], np.uint8)
    assert (saved == np.frombuffer(data, np.uint8))[kept].all()
    assert count >= kept.sum()


STRICT = Limits(output=2000)
SHARES = ((check_mutation, 0.6), (check_rebuilt, 0.25), (check_salvage, 0.15))


@pytest.mark.parametrize("count", [300, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.long])])
def test_mutations(toy_predictor, count):
    """Parser and container: refused, or the original; memory stays within the cap."""
    assert len(CASES) > 0
    tracemalloc.start()
    done = {check: [check(seed) for seed in range(round(share * count))] for check, share in SHARES}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    accidents, attacks, saved = done.values()
    print(
        f"{len(accidents):,} mutated archives: {sum(accidents):,} refused, the others the original; "
        f"{len(attacks):,} rebuilt and well signed: {sum(attacks):,} refused, the others decode; "
        f"{len(saved):,} times saved what was left; peak {peak / 1e6:.1f} MB"
    )
    assert sum(accidents) > len(accidents) * 0.9
    assert sum(attacks) > len(attacks) // 2
    assert peak < 64 << 20


@pytest.mark.parametrize("count", [100, pytest.param(5000, marks=pytest.mark.slow)])
def test_mutated_transcripts(toy_predictor, count):
    """Through the predictor: the transcript is changed and signed anew, so that it is decoded."""
    data = (b"the cat sat on the mat, " * 8)[:160]
    header = Header(segment=16, frame_size=256)
    different = sum(decode_forged(header, data, random.Random(seed)) for seed in range(count))
    print(f"{count:,} forged transcripts decoded: {different:,} refused as other arithmetic")
    assert different > 4 * count // 5


def decode_forged(header: Header, data: bytes, choose: random.Random) -> int:
    from lmzip.frames import encode_frame
    from lmzip.progress import Watch
    from lmzip.sender import Sender

    coded = encode_frame(header, 0, data, False, Session().predictor(header))
    payload = mutate(coded.payload, choose)[: 32 * len(data)]
    frame = coded.frame._replace(size=len(payload), transcript_digest=message.digest(payload, 4))
    sink = io.BytesIO()
    sender = Sender(sink, header, b"", Watch(), session=Session())
    sender.write(header.pack())
    coded.frame, coded.payload = frame, payload
    sender.add(coded)
    sender.finish()
    try:
        assert lmzip.decompress(sink.getvalue()) == data
    except ArithmeticDiffers:
        return 1
    return 0


@pytest.mark.parametrize("independent", [True, False])
def test_what_a_damaged_archive_still_holds_is_saved(toy_predictor, text, independent):
    data = mixed(text)
    archive = archive_of(data, independent_frames=independent)
    place = starts(archive)
    for number in range(6):
        for inside in (2, place[number + 1] - place[number] - 1):  # in the head; in the payload
            broken = bytearray(archive)
            broken[place[number] + inside] ^= 255
            sink = io.BytesIO()
            frames, count, lost = salvage(io.BytesIO(broken), sink, Limits(), Session())
            result = sink.getvalue().ljust(len(data), b"\0")
            begin, end = 512 * number, min(512 * number + 512, len(data))
            if independent:
                assert lost == [(begin, end)]
                assert frames == 5
                assert count == len(data) - (end - begin)
            assert result[:begin] == data[:begin]
            ranges = [(a, len(data) if b is None else b) for a, b in lost]
            kept = np.ones(len(data), bool)
            for a, b in ranges:
                kept[a:b] = False
            assert all(result[i] == data[i] for i in np.flatnonzero(kept))


def test_a_cut_archive_gives_what_came_before(toy_predictor, text):
    archive = archive_of(text[:2048], code=False)
    place = starts(archive)
    sink = io.BytesIO()
    frames, count, lost = salvage(io.BytesIO(archive[: place[2] + 5]), sink, Limits(), Session())
    assert (frames, count, lost) == (2, 1024, [(1024, None)])
    assert sink.getvalue() == text[:1024]


def test_the_footer_is_found_from_behind(toy_predictor, text):
    for code in (True, False):
        archive = archive_of(text[:1024], code=code)
        survey = Survey(io.BytesIO(archive), session=Session())
        assert find_footer(io.BytesIO(archive), survey.header) == survey.footer


def test_keep_going_on_the_command_line(toy_predictor, run, text, tmp_path):
    path = tmp_path / "x.lmz"
    archive = bytearray(archive_of(text[:2048], independent_frames=True))
    archive[starts(bytes(archive))[1] + 60] ^= 1
    path.write_bytes(archive)
    result = run("decode", path)
    assert result.status == 1
    assert "frame 1 is damaged; at least bytes 512 to 1,024 of the original are lost" in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.lmz"]
    result = run("decode", path, "--keep-going")
    assert result.status == 1
    assert "lost: bytes 512 to 1,024" in result.stderr
    assert (tmp_path / "x.partial").read_bytes() == text[:512] + bytes(512) + text[1024:2048]
    assert not (tmp_path / "x").exists()


def test_damage_is_located(toy_predictor, text):
    """The frame, and which bytes of the original it concerns."""
    for independent in (True, False):
        archive = archive_of(text[:2048], independent_frames=independent, code=False)
        place = starts(archive)
        for number in range(4):
            lost = f"at least bytes {512 * number:,} to {512 * number + 512:,} of the original are lost"
            if not independent:
                lost = f"the original is lost from byte {512 * number:,} on"
            for inside in (2, place[number + 1] - place[number] - 1):  # in the head; in the payload
                broken = bytearray(archive)
                broken[place[number] + inside] ^= 1
                with pytest.raises(DamageError, match=lost):
                    lmzip.decompress(bytes(broken))
        with pytest.raises(DamageError) as caught:  # in the footer: nothing of the original
            lmzip.decompress(archive[:-9] + b"!" + archive[-8:])
        assert "lost" not in str(caught.value)


def test_very_many_tiny_frames(toy_predictor):
    """The time is in proportion to their number, and what is remembered of them counts as memory."""
    header, count = Header(segment=1, frame_size=1), 6000
    frame = [(Frame.plain(message.FILLED, i, 1, message.leaf(b"a")[:8]), b"a") for i in range(count)]
    packed = [head.pack(header.key) + payload for head, payload in frame]
    whole = message.whole_digest(message.leaf(b"a") * count)
    footer = message.Footer(count, 8 * count << 20, list(map(len, packed)), whole, 0, message.digest(b"", 8))
    archive = header.pack() + b"".join(packed) + footer.pack(header.key)
    tracemalloc.start()
    assert lmzip.decompress(archive, max_memory=Cost(header).memory() + 129 * count) == b"a" * count
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 129 * count + (1 << 20)
    with pytest.raises(LimitError, match="--max-memory"):
        lmzip.decompress(archive, max_memory=Cost(header).memory() + 100 * count)


def test_work_counts_segments_and_frames():
    """What a setting costs besides its bytes: a training step for every segment, a predictor for every frame."""
    large, small = (Header(segment=segment, model=ModelSettings()) for segment in (256, 1))
    assert Cost(small).work > 5 * Cost(large).work
    carried, alone = (Header(segment=16, frame_size=16, independent_frames=each) for each in (False, True))
    limits = Limits()
    limits.check_length(Cost(carried), 16 * 10_000, 16 * 10_000, 10_000, 1_000)
    with pytest.raises(LimitError, match="--max-work"):
        limits.check_length(Cost(alone), 16 * 10_000, 16 * 10_000, 10_000, 1_000)


def test_memory_is_bounded_for_all_processes_together(run, monkeypatch, text, tmp_path):
    """`-T 8 --max-memory`: as many processes as fit, one at least."""
    path = tmp_path / "x.lmz"
    path.write_bytes(archive_of(text[:1000], independent_frames=True))
    chosen = []
    monkeypatch.setattr(Receiver, "rebuild_frames", lambda self, saved: chosen.append(1))
    monkeypatch.setattr(Receiver, "run_parallel", lambda self, count, resume: chosen.append(count))
    need = Cost(Survey(io.BytesIO(path.read_bytes()), session=Session()).header).memory()
    for limit in (need, 2 * need, 5 * need, 100 * need):
        run("decode", path, "-T", "8", "--max-memory", limit, "-o", tmp_path / f"{limit}")
    assert chosen == [1, 2, 5, 8]


def test_limits_hold_before_anything_is_allocated(monkeypatch, text):
    monkeypatch.setattr(session, "lockstep_class", lambda *_: pytest.fail("refuse first"))
    huge = Header(model=ModelSettings(layers=128, width=512, heads=2, hidden=2048, table_bits=24))
    with pytest.raises(LimitError, match="MB of memory"):
        lmzip.decompress(huge.pack())
    zeros = lmzip.compress(bytes(4 << 20), code=False)
    with pytest.raises(LimitError, match="--max-output"):
        lmzip.decompress(zeros, max_output=1 << 20)
    frame = Frame(message.CODED, 0, 1 << 20, bytes(8), 3, 0, bytes(8), message.digest(b"abc", 4))
    slow = Header(model=ModelSettings(layers=60, width=256, heads=2, hidden=1024))
    with pytest.raises(LimitError, match="--max-work"):
        lmzip.decompress(slow.pack() + frame.pack(slow.key) + b"abc")


def test_the_zip_behind_is_never_looked_into(toy_predictor, text):
    """Any bytes may stand where the code stands, if the footer knows them: decoding doesn't care, `info` warns."""
    evil = io.BytesIO()
    with zipfile.ZipFile(evil, "w") as file:
        file.writestr("__main__.py", "raise SystemExit('never run')")
    from lmzip.progress import Watch
    from lmzip.sender import Sender

    for code in (evil.getvalue(), b"no zip at all", pack.committed("whole") * 2):
        sink = io.BytesIO()
        Sender(sink, Header(segment=16, frame_size=512), code, Watch(), session=Session()).run(io.BytesIO(text[:600]))
        assert lmzip.decompress(sink.getvalue()) == text[:600]
        assert pack.release(Survey(io.BytesIO(sink.getvalue()), session=Session()).code) is None


def test_every_error_says_what_to_do():
    for archive in (b"", b"x", b"\x8aLMZ", Header().pack(), Header().pack()[:4] + b"\5"):
        with pytest.raises(LmzipError) as caught:
            lmzip.decompress(archive)
        assert ";" in str(caught.value)
        assert "\n" not in str(caught.value)


def attack(name: str) -> bytes:
    return Path(__file__).with_name("attacks").joinpath(f"{name}.lmz").read_bytes()


@pytest.mark.parametrize("name", list(ATTACKS))
def test_attacks(monkeypatch, name):
    """Each is refused before it costs anything, with the right error."""
    _, error, build = ATTACKS[name]
    archive = attack(name)
    assert archive == build(), "run: python tests/attacks/make.py"
    if error is None:
        assert lmzip.decompress(archive) == b"abc"
        assert pack.release(Survey(io.BytesIO(archive), session=Session()).code) is None
        return
    if name != "streams-and-experts":
        monkeypatch.setattr(session, "lockstep_class", lambda *_: pytest.fail("refuse first"))
    tracemalloc.start()
    with pytest.raises(LmzipError) as caught:
        lmzip.decompress(archive)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert type(caught.value).__name__ == error
    assert peak < 300 << 20


def test_attacks_on_salvage(tmp_path):
    """Saving what is left of a hostile file costs no more than decoding it."""
    for name in ATTACKS:
        if name == "streams-and-experts":
            continue
        with open(tmp_path / name, "w+b") as sink, contextlib.suppress(LmzipError):
            salvage(io.BytesIO(attack(name)), sink, Limits(), Session())


@pytest.mark.slow
@pytest.mark.long
def test_random_settings_and_noise_through_the_real_codec():
    """With bounds checks in every kernel; see fuzz.py."""
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1"}
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), "5000"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
