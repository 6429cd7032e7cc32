"""What can go wrong around a run: one clear line, a status that isn't zero, nothing lost and nothing half done."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_resume import children

from lmzip.errors import FileError
from lmzip.files import Output

TOY = [sys.executable, str(Path(__file__).with_name("toy.py"))]
REAL = [sys.executable, "-m", "lmzip"]
ENCODE = ["encode", "--no-code", "--preset", "fast", "--frame-size", "8K"]
NOBODY = 65534


def call(*command: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([str(part) for part in command], capture_output=True, check=False, **options)


def one_line(result: subprocess.CompletedProcess, *words: str) -> None:
    """It failed, and said so in one line that has these words."""
    message = result.stderr.decode()
    assert result.returncode == 1, message
    assert message.count("\n") == 1, message
    for word in words:
        assert word in message


@pytest.fixture
def book(tmp_path, text) -> Path:
    path = tmp_path / "book"
    path.write_bytes(text[:20_000])
    return path


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def encode_from_terminal(data: bytes, *options: object) -> subprocess.CompletedProcess:
    """Encode what comes through a terminal that is closed behind it: after the data, reading fails with EIO."""
    import pty
    import tty

    master, slave = pty.openpty()
    tty.setraw(slave)

    def feed() -> None:
        with os.fdopen(slave, "wb") as file:
            file.write(data)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        return call(*TOY, *ENCODE, "-", *options, stdin=master)
    finally:
        feeder.join()
        os.close(master)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a closed terminal ends like a file")
def test_a_read_error_midway_keeps_what_was_done(book, tmp_path):
    data, out = book.read_bytes(), tmp_path / "out"
    part = f"{out}.lmzip-part"
    result = encode_from_terminal(data[:17_500], "-q", "-o", out)
    one_line(result, "can't read it to its end: Input/output error", f"--resume goes on ({part} is kept)")
    assert names(tmp_path) == ["book", "out.lmzip-part", "out.lmzip-state"]
    assert call(*TOY, *ENCODE, "-", "-o", out, "--resume", input=data).returncode == 0
    assert call(*TOY, "verify", out, book).returncode == 0
    assert out.read_bytes() == call(*TOY, *ENCODE, "-c", book).stdout
    assert names(tmp_path) == ["book", "out"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/mem can be opened but not read")
def test_a_read_error_at_once_leaves_nothing(tmp_path):
    for command in ("encode", "decode"):
        one_line(call(*TOY, command, "/proc/self/mem", "-o", tmp_path / "out"), "can't read it", "Input/output error")
    assert names(tmp_path) == []


def test_the_output_folder_vanishes(book, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with subprocess.Popen(
        [*TOY, *ENCODE, "-", "-q", "-o", str(folder / "out")], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(book.read_bytes()[:10_000])
        process.stdin.flush()
        while not names(folder) and process.poll() is None:
            time.sleep(0.02)
        shutil.rmtree(folder)
        process.stdin.close()
        message = process.stderr.read().decode()
    assert process.returncode == 1
    assert "No such file or directory" in message
    assert message.count("\n") == 1
    assert names(tmp_path) == ["book"]


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Root may do everything: inside, be somebody else."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_two_runs_for_one_output(tmp_path):
    """The second is told; what the first has left when it was killed is no hindrance."""
    target = tmp_path / "out"
    first = Output(target)
    with pytest.raises(FileError, match="another lmzip is writing"):
        Output(target)
    first.file.close()  # as when it is killed
    assert names(tmp_path) == ["out.lmzip-part"]
    second = Output(target)
    second.file.write(b"whole")
    second.publish()
    assert names(tmp_path) == ["out"]
    assert target.read_bytes() == b"whole"


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_a_worker_that_dies(text, tmp_path):
    """As when the system kills it for want of memory."""
    book, out = tmp_path / "book", tmp_path / "out"
    book.write_bytes(text * 5)
    command = [*TOY, *ENCODE, "-q", "--independent-frames", "-T", "2", "-o", str(out), str(book)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr
        while not (begun := [one for one in children(process.pid) if len(os.listdir(f"/proc/{one}/task")) > 1]):
            time.sleep(0.02)
        os.kill(begun[0], signal.SIGKILL)
        message = process.stderr.read().decode()
    assert process.returncode == 1
    assert "a process died, perhaps for want of memory; take fewer threads, -T" in message
    assert message.count("\n") == 1
    assert names(tmp_path) == ["book"]


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no users to change to")
def test_missing_rights(toy_predictor, run, text, tmp_path):
    run("encode", "-c", stdin=text[:100])  # so that everything is imported
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        book, archive, inside = folder / "book", folder / "inside" / "archive", folder / "inside"
        inside.mkdir()
        book.write_bytes(text[:100])
        archive.write_bytes(b"precious")
        if not os.geteuid():
            for path in (folder, book, inside, archive):
                os.chown(path, NOBODY, NOBODY)
        with nobody():
            inside.chmod(0o500)
            results = [run("encode", book, "-o", inside / "out"), run("encode", book, "-f", "-o", archive)]
            book.chmod(0)
            results.append(run("encode", book))
            inside.chmod(0o700)
        for result in results:
            assert result.status == 1
            assert "Permission denied; check the rights" in result.stderr
            assert result.stderr.count("\n") == 1
        assert names(inside) == ["archive"]
        assert archive.read_bytes() == b"precious"


def test_files_may_not_grow(book, tmp_path):
    """A full disk, as far as a process can tell, and what an earlier run has left is there when space is."""
    out = tmp_path / "out"
    limited = ["bash", "-c", 'ulimit -f 4; exec "$0" "$@"']
    one_line(call(*limited, *TOY, *ENCODE, "-q", book, "-o", out), f"can't write {out}: File too large")
    assert names(tmp_path) == ["book"]
    data = book.read_bytes()
    assert encode_from_terminal(data[:17_500], "-q", "-o", out).returncode == 1
    resume = [*TOY, *ENCODE, "-q", "-", "-o", out, "--resume"]
    one_line(call(*limited, *resume, input=data), "File too large", "--resume goes on")
    assert names(tmp_path) == ["book", "out.lmzip-part", "out.lmzip-state"]
    assert call(*resume, input=data).returncode == 0
    assert out.read_bytes() == call(*TOY, *ENCODE, "-c", book).stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_behind_standard_output(book, tmp_path):
    archive = tmp_path / "archive"
    assert call(*TOY, *ENCODE, book, "-o", archive).returncode == 0
    with open("/dev/full", "wb") as full:
        for command in ([*ENCODE, "-q", "-c", str(book)], ["decode", "-q", "-c", str(archive)]):
            done = subprocess.run([*TOY, *command], stdout=full, stderr=subprocess.PIPE, check=False)
            one_line(done, "can't write to standard output: No space left on device; free some space")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root mounts")
def test_a_full_disk(book, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if call("mount", "-t", "tmpfs", "-o", "size=8k", "none", disk).returncode:
        pytest.skip("no mounting here")
    try:
        one_line(call(*TOY, *ENCODE, "-q", book, "-o", disk / "out"), "No space left on device; free some space")
        assert names(disk) == []
    finally:
        call("umount", disk)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v is not heeded everywhere")
def test_too_little_memory(text, tmp_path):
    """The real command in address spaces of every size: it says what is wrong, or it does its work."""
    book, out = tmp_path / "book", tmp_path / "out"
    book.write_bytes(text[:5000])
    outcomes = []
    for preset in ("fast", "default"):
        command = [*REAL, "encode", "-q", "--no-code", "--preset", preset, book, "-f", "-o", out]
        assert call(*command).returncode == 0  # compiles what is not compiled yet
        whole = out.read_bytes()
        for megabytes in range(200, 2001, 100):
            out.unlink(missing_ok=True)
            limited = ["bash", "-c", f'ulimit -v {megabytes << 10}; exec "$0" "$@"']
            result = call(*limited, *command)
            if result.returncode:
                one_line(result, "memory")
                assert names(tmp_path) == ["book"]
            else:
                assert out.read_bytes() == whole
            outcomes.append(result.returncode)
    print(f"{outcomes.count(1)} runs without enough memory said so, {outcomes.count(0)} had enough")
    assert set(outcomes) == {0, 1}
