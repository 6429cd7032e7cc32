"""An interrupted run goes on where it was, and ends in the same bytes."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import toy

import lmzip
from lmzip import checkpoint, pool
from lmzip.codec.message import Header
from lmzip.codec.settings import ExpertSettings, ModelSettings
from lmzip.errors import Interrupted, ResumeError
from lmzip.limits import Limits
from lmzip.progress import Watch
from lmzip.receiver import Receiver
from lmzip.sender import Sender
from lmzip.session import Session

TOY = [sys.executable, str(Path(__file__).with_name("toy.py"))]
REAL = [sys.executable, "-m", "lmzip"]


class StopAt(Watch):
    """Saves and interrupts when so many bytes are done."""

    def __init__(self, place: int) -> None:
        self.place = place

    def step(self, done, bits, save=None):
        if save and done >= self.place:
            save()
            raise Interrupted("here")


def run_twice(make, folder: Path, place: int) -> bytes:
    """`make(sink, watch, snapshot, resume)`, interrupted once at `place`, with some junk written after."""
    out, snapshot = folder / "out", folder / "state"
    checkpoint.remove(snapshot)
    with open(out, "w+b") as sink:
        try:
            make(sink, StopAt(place), snapshot, False)
            return out.read_bytes()
        except Interrupted:
            sink.write(b"what came after the checkpoint")
    with open(out, "r+b") as sink:
        make(sink, Watch(), snapshot, True)
    return out.read_bytes()


def check_both_ways(data: bytes, header: Header, folder: Path, places: list[int]) -> None:
    archive = io.BytesIO()
    Sender(archive, header, b"", Watch(), session=Session()).run(io.BytesIO(data))

    def encode(sink, watch, snapshot, resume):
        Sender(sink, header, b"", watch, snapshot, session=Session()).run(io.BytesIO(data), resume)

    def decode(sink, watch, snapshot, resume):
        Receiver(io.BytesIO(archive.getvalue()), sink, Limits(), watch, snapshot, session=Session()).run(resume)

    for place in places:
        assert run_twice(encode, folder, place) == archive.getvalue()
        assert run_twice(decode, folder, place) == data


@pytest.mark.parametrize("independent", [True, False])
def test_everywhere_between_segments(toy_predictor, text, tmp_path, independent):
    data = text[:600] + bytes(256) + random.Random(0).randbytes(700) + text[600:700]
    header = Header(segment=4096, frame_size=8192, independent_frames=independent)
    check_both_ways(data * 6, header, tmp_path, [1, 4097, 8192])


@pytest.mark.parametrize("parts", [{"model": 1}, {"experts": 1}, {"model": 1, "experts": 1}])
def test_the_real_predictors(text, tmp_path, monkeypatch, parts):
    """Within the first frame, between two, and within the second."""
    monkeypatch.setattr("lmzip.frames.steps", lambda header: 32)
    monkeypatch.setattr("lmzip.codec.receive.steps", lambda header: 32)
    model = ModelSettings(layers=1, width=32, heads=1, hidden=32, window=16, table_bits=10)
    kinds = {"model": model, "experts": ExpertSettings(slots=64, contexts=0b1111)}
    header = Header(segment=16, frame_size=1024, replay=1, **{name: kinds[name] for name in parts})
    check_both_ways(text[:2200], header, tmp_path, [512, 1024, 1536])


def test_another_input_or_other_options_are_refused(toy_predictor, text, tmp_path):
    header = Header(segment=16, frame_size=1024)
    snapshot, out = tmp_path / "state", tmp_path / "out"
    with open(out, "w+b") as sink, pytest.raises(Interrupted):
        Sender(sink, header, b"", StopAt(2048), snapshot, session=Session()).run(io.BytesIO(text[:5000]))
    for other, data in (
        (Header(segment=16, frame_size=1024, seed=1), text[:5000]),
        (header, b"!" + text[1:5000]),
    ):
        with open(out, "r+b") as sink, pytest.raises(ResumeError, match="interrupted run"):
            Sender(sink, other, b"", Watch(), snapshot, session=Session()).run(io.BytesIO(data), True)


def test_a_snapshot_is_plain_data(toy_predictor, text, tmp_path):
    snapshot = tmp_path / "state"
    with open(tmp_path / "out", "w+b") as sink, pytest.raises(Interrupted):
        Sender(sink, Header(segment=16, frame_size=1024), b"", StopAt(2048), snapshot, session=Session()).run(
            io.BytesIO(text[:5000])
        )
    with np.load(snapshot, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)
        assert json.loads(arrays["meta"].tobytes())["what"] == "encode"


def test_a_snapshot_that_is_not_whole_is_refused(toy_predictor, text, tmp_path):
    snapshot, header = tmp_path / "state", Header(segment=16, frame_size=1024)
    with open(tmp_path / "out", "w+b") as sink, pytest.raises(Interrupted):
        Sender(sink, header, b"", StopAt(2048), snapshot, session=Session()).run(io.BytesIO(text[:5000]))
    whole = snapshot.read_bytes()
    at = whole.index(b"state.odds") + 5000  # inside the array
    np.savez(tmp_path / "pickle.npz", meta=np.array([{"version": checkpoint.VERSION}], object))
    for broken in (
        whole[:-100],
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        b"",
        (tmp_path / "pickle.npz").read_bytes(),
    ):
        snapshot.write_bytes(broken)
        with pytest.raises(ResumeError, match="can't be resumed from"):
            checkpoint.Checkpoint(snapshot).restore_state(toy.ToyLockstep(header))


def test_an_interrupted_run_is_not_lost_by_mistake(toy_predictor, run, text, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(text[:3000])
    state = tmp_path / "x.lmz.lmzip-state"
    with open(tmp_path / "x.lmz.lmzip-part", "w+b") as sink, pytest.raises(Interrupted):
        Sender(sink, Header(segment=16, frame_size=1024), b"", StopAt(2048), state, session=Session()).run(
            io.BytesIO(path.read_bytes())
        )
    result = run("encode", path)
    assert result.status == 1
    assert "add --resume to go on" in result.stderr
    result = run("encode", path, "--resume", "--seed", "1")
    assert result.status == 2
    assert "repeat those, or begin again with -f" in result.stderr
    assert state.exists()
    assert run("encode", path, "-f").status == 0
    assert not state.exists()


def test_resume_without_a_checkpoint_begins_at_the_beginning(toy_predictor, run, text, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(text[:3000])
    assert run("encode", path, "--resume").status == 0
    assert run("verify", f"{path}.lmz", path).status == 0
    assert run("encode", path, "--resume", "-c").status == 2


class Pipe(io.RawIOBase):
    """Gives `data` up to a place, then is interrupted."""

    def __init__(self, data: bytes, stop: int) -> None:
        self.data, self.stop = io.BytesIO(data), stop

    def read(self, count: int = -1) -> bytes:
        if self.data.tell() + count > self.stop:
            raise Interrupted("here")
        return self.data.read(count)


@pytest.mark.parametrize("independent", [True, False])
@pytest.mark.parametrize("place", [512, 1024])
def test_interrupted_while_resuming(toy_predictor, text, tmp_path, monkeypatch, independent, place):
    """What was done is read again before it goes on: an interruption there leaves the checkpoint as it was."""
    monkeypatch.setattr("lmzip.frames.steps", lambda header: 1)
    monkeypatch.setattr("lmzip.codec.receive.steps", lambda header: 1)
    data, header = text[:4096], Header(segment=256, frame_size=1024, independent_frames=independent)
    sink = io.BytesIO()
    Sender(sink, header, b"", Watch(), session=Session()).run(io.BytesIO(data))
    archive = sink.getvalue()

    def encode(source, sink, watch, resume, snapshot):
        Sender(sink, header, b"", watch, snapshot, session=Session()).run(source, resume)

    def decode(source, sink, watch, resume, snapshot):
        Receiver(source, sink, Limits(), watch, snapshot, session=Session()).run(resume)

    for do, given, expected in ((encode, data, archive), (decode, archive, data)):
        for stop in range(30, len(given), 593):
            out, snapshot = tmp_path / "out", tmp_path / "state"
            checkpoint.remove(snapshot)
            with open(out, "w+b") as sink:
                with pytest.raises(Interrupted):
                    do(io.BytesIO(given), sink, StopAt(2048 + place), False, snapshot)
                with pytest.raises(Interrupted):
                    do(Pipe(given, stop), sink, Watch(), True, snapshot)
                do(io.BytesIO(given), sink, Watch(), True, snapshot)
            assert out.read_bytes() == expected


BY_SIGNALS = ["--no-code", "--preset", "fast", "--frame-size", "8K"]


@pytest.fixture(scope="module")
def uninterrupted(text) -> bytes:
    """The archive of what signals interrupt."""
    command = [*TOY, "encode", "-", "-c", *BY_SIGNALS]
    return subprocess.run(command, input=text[:28_000], check=True, capture_output=True).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_state_to_resume_from(text, uninterrupted, tmp_path, number):
    """The input doesn't end before the signal comes, so the run can't be over."""
    data, archive = text[:28_000], tmp_path / "x.lmz"
    command = [*TOY, "encode", "-", "-o", str(archive), *BY_SIGNALS]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    part = tmp_path / "x.lmz.lmzip-part"

    def heed() -> None:
        """Whoever started us may ignore the signal, as nohup does, and children inherit that."""
        signal.signal(number, signal.SIG_DFL)

    with subprocess.Popen(command, preexec_fn=heed, **pipes) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(data)
        process.stdin.flush()
        while not (part.exists() and part.stat().st_size) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        message = process.stderr.read().decode()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    assert process.returncode == 130
    assert f"the same command with --resume goes on ({part} is kept)" in message
    assert sorted(os.listdir(tmp_path)) == ["x.lmz.lmzip-part", "x.lmz.lmzip-state"]
    subprocess.run([*command, "--resume"], input=data, check=True, stderr=subprocess.DEVNULL)
    assert os.listdir(tmp_path) == ["x.lmz"]
    assert archive.read_bytes() == uninterrupted


def kill_often(command: list[str], result: Path, expected: bytes, count: int, choose: random.Random) -> int:
    """SIGKILL `command` at random moments, `count` times in all, resuming it each time until it is done, and again.

    Returns how many runs had a checkpoint to go on from.
    """
    snapshot, kills, resumed = result.with_name(result.name + ".lmzip-state"), 0, 0
    started = time.monotonic()
    subprocess.run([*command, "-f"], check=True, capture_output=True)
    took = time.monotonic() - started
    while kills < count:
        result.unlink(missing_ok=True)
        status, patience = None, took
        while status != 0:
            resumed += snapshot.exists()
            patience *= 1.1  # starting and resuming alone may take longer than the whole did
            with subprocess.Popen([*command, "--resume"], stderr=subprocess.DEVNULL) as process:
                try:
                    process.wait(patience * choose.uniform(0.1, 1.1))
                except subprocess.TimeoutExpired:
                    process.kill()
            status = process.returncode
            if result.exists():  # whole, or not there at all, even if it was killed
                assert result.read_bytes() == expected
                break
            assert status == -signal.SIGKILL
            kills += 1
    if status != 0:
        result.unlink()
        subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert result.read_bytes() == expected
    return resumed


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(
    ("program", "preset", "size", "checkpoint", "count"),
    [(TOY, "fast", 60_000, 0.2, 50), (REAL, "fast", 200_000, 1, 50), (REAL, "default", 200_000, 1, 5)],
    ids=["toy", "fast", "default"],
)
def test_kills(text, tmp_path, program, preset, size, checkpoint, count):
    """SIGKILL at random moments of encode and decode, then --resume: the same bytes as uninterrupted."""
    path, archive, back = tmp_path / "x", tmp_path / "x.lmz", tmp_path / "back"
    path.write_bytes((text * 3)[:size])
    options = ["-q", "--checkpoint", str(checkpoint)]
    encode = [*program, "encode", str(path), "--preset", preset, "--no-code", "--frame-size", "48K", *options]
    decode = [*program, "decode", str(archive), "-o", str(back), *options]
    subprocess.run([*encode, "-o", f"{archive}.whole", "--checkpoint", "0"], check=True, capture_output=True)
    choose, whole = random.Random(0), Path(f"{archive}.whole").read_bytes()
    resumed = kill_often(encode, archive, whole, count, choose)
    again = kill_often(decode, back, path.read_bytes(), count, choose)
    print(
        f"{preset}: {count} kills of encode, {resumed} runs resumed; {count} of decode, {again} resumed; all the same"
    )
    assert resumed > 0
    assert again > 0
    assert sorted(os.listdir(tmp_path)) == ["back", "x", "x.lmz", "x.lmz.whole"]


@pytest.mark.parametrize("what", ["encode", "decode"])
def test_a_worker_goes_on_within_its_frame(toy_predictor, text, tmp_path, monkeypatch, what):
    """However large the frames are, there are checkpoints inside them when there are several processes."""
    data, header = text[:13_000], Header(segment=16, frame_size=32_000, independent_frames=True)
    keep = pool.Keep(tmp_path / "x.lmzip-state", 1e-9)
    path, coded = checkpoint.of_frame(keep.snapshot, 3), pool.encode(Session(), header, 3, data)

    def do(keep: pool.Keep | None = None):
        if what == "encode":
            return pool.encode(Session(), header, 3, data, keep)
        return pool.decode(Session(), header, coded.frame, coded.payload, keep)

    begun: list[int] = []
    advance, save = toy._ToyFrame.advance, checkpoint.save

    def noted(frame, segments):
        begun.append(frame.position)
        advance(frame, segments)

    def interrupted(*arguments):
        save(*arguments)
        if begun[-1] >= 4096:
            raise Interrupted("here")

    expected = do()
    monkeypatch.setattr(toy._ToyFrame, "advance", noted)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", interrupted)
        with pytest.raises(Interrupted):
            do(keep)
    saved = path.read_bytes()
    for found, position in (
        (saved, 2 * 4096),
        (saved[:-200], 0),  # not whole: no loss but of time
        (saved.replace(b"identity", b"identify"), 0),
        (b"", 0),
    ):
        path.write_bytes(found)
        begun.clear()
        assert do(keep) == expected
        assert begun[0] == position
    checkpoint.remove(keep.snapshot)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_several_processes_keep_what_they_have_done(text, tmp_path):
    """Killed before every frame is whole: the main checkpoint misses some, those of the workers are taken up."""
    path, archive = tmp_path / "x", tmp_path / "x.lmz"
    path.write_bytes((text * 4)[:100_000])
    command = [*TOY, "encode", "-q", "-1", "--no-code", "--independent-frames", "--frame-size", "64K", str(path)]
    state = tmp_path / "x.lmz.lmzip-state"

    def kept() -> list[bool]:
        return [checkpoint.of_frame(state, frame).exists() for frame in range(2)]

    with subprocess.Popen([*command, "-T", "2", "--checkpoint", "0.05"], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (state.exists() and any(kept())):
            time.sleep(0.02)
        workers = children(process.pid)
        process.kill()
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        time.sleep(0.05)
    written = len(json.loads(checkpoint.Checkpoint(state)._read("meta").tobytes())["sizes"])
    assert written < 2
    subprocess.run([*command, "-T", "2", "--resume"], check=True)
    assert sorted(os.listdir(tmp_path)) == ["x", "x.lmz"]
    expected = subprocess.run([*command, "-c"], check=True, capture_output=True).stdout
    assert archive.read_bytes() == expected


def children(pid: int) -> list[int]:
    """The worker processes of a run; not the tracker that multiprocessing starts as well."""
    found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_resuming_several_processes(text, tmp_path, number):
    """Killed or stopped, no worker is left behind; frames that were written are not done again, others are."""
    data, size = (text * 3)[:400_000], 16 << 10
    path, archive, back = tmp_path / "x", tmp_path / "x.lmz", tmp_path / "back"
    path.write_bytes(data)
    whole = lmzip.compress(data, preset="fast", code=False, frame_size=size, independent_frames=True)
    encode = ["encode", "-", "-o", str(archive), "--preset", "fast", "--no-code", "--frame-size", str(size)]
    for command, result, given, expected in (
        ([*REAL, *encode, "--independent-frames"], archive, data, whole),
        ([*REAL, "decode", "-", "-o", str(back)], back, whole, data),
    ):
        snapshot = result.with_name(result.name + ".lmzip-state")
        for after in (["-T", "2"], ["-T", "1"]):
            started = [*command, "-q", "-T", "2", "--checkpoint", "0.001"]
            with subprocess.Popen(started, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                assert process.stdin
                process.stdin.write(given[: len(given) // 2])
                process.stdin.flush()
                while not snapshot.exists() and process.poll() is None:
                    time.sleep(0.05)
                workers = children(process.pid)
                process.send_signal(number)
                process.wait()
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
            assert len(workers) == 2
            while any(Path(f"/proc/{worker}").exists() for worker in workers):  # however long: no test fails for that
                time.sleep(0.05)
            assert snapshot.stat().st_size < 100_000  # at a boundary there is nothing to remember
            subprocess.run([*command, "-q", *after, "--resume"], input=given, check=True)
            assert result.read_bytes() == expected
            assert not snapshot.exists()
            result.unlink()
        result.write_bytes(expected)
