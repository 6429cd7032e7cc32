"""The command line: gzip's and xz's manners, whole outputs or none, one line for every error."""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import lmzip
from lmzip import pack
from lmzip.cli import main, parsers
from lmzip.sender import Sender

REAL = [sys.executable, "-m", "lmzip"]
TOY = [sys.executable, str(Path(__file__).with_name("toy.py"))]
pytestmark = pytest.mark.usefixtures("toy_predictor")


@pytest.fixture
def book(tmp_path, text) -> Path:
    path = tmp_path / "book.txt"
    path.write_bytes(text[:3000])
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_computes_here_is_shown(run):
    done = run("info", "--backend")
    assert done.status == 0
    assert "exact too: " in done.stdout.decode()
    assert run("info").status == 2


def test_there_and_back(run, book, tmp_path):
    data = book.read_bytes()
    assert run("encode", book).status == 0
    assert run("decode", f"{book}.lmz", "-o", tmp_path / "back").status == 0
    assert (tmp_path / "back").read_bytes() == data
    assert book.read_bytes() == data
    assert names(tmp_path) == ["back", "book.txt", "book.txt.lmz"]
    assert run("verify", f"{book}.lmz", book).status == 0
    assert run("verify", f"{book}.lmz").status == 0


def test_pipes(run, book):
    data = book.read_bytes()
    run("encode", book)
    archive = Path(f"{book}.lmz").read_bytes()
    piped = run("encode", stdin=data)
    assert piped.stdout == archive
    for arguments in (["decode"], ["decode", "-"], ["-d"], ["-dc", "-"]):
        assert run(*arguments, stdin=archive).stdout == data
    assert run(stdin=data).stdout == archive
    assert run("encode", "-c", book).stdout == archive


def test_an_existing_output_is_safe_without_force(run, book, tmp_path):
    out = tmp_path / "book.txt.lmz"
    out.write_bytes(b"precious")
    result = run("encode", book)
    assert result.status == 1
    assert "exists; add -f" in result.stderr
    assert out.read_bytes() == b"precious"
    assert run("encode", book, "-f").status == 0
    assert lmzip.decompress(out.read_bytes()) == book.read_bytes()


def test_no_half_output_is_left(run, book, tmp_path):
    run("encode", book, "-q")
    archive = Path(f"{book}.lmz")
    archive.write_bytes(archive.read_bytes()[:-5])
    result = run("decode", archive, "-o", tmp_path / "out")
    assert result.status == 1
    assert result.stderr.count("\n") == 1
    assert "ends early" in result.stderr
    assert names(tmp_path) == ["book.txt", "book.txt.lmz"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["decode", "missing.lmz"], "No such file or directory; check the path"),
        (["encode", "missing"], "No such file or directory; check the path"),
        (["encode", "."], "tar -I lmzip -cf"),
        (["info", "book.txt"], "not an lmzip archive"),
        (["encode", "book.txt", "-o", "missing/out"], "can't write missing/out: No such file"),
        (["decode", "book.txt", "-o", "out"], "not an lmzip archive"),
    ],
)
def test_errors_are_one_line_with_a_remedy(run, book, monkeypatch, arguments, words):
    monkeypatch.chdir(book.parent)
    result = run(*arguments)
    assert result.status == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert "Traceback" in run(*arguments, "-v").stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "--preset", "huge"],
        ["--no-such"],
        ["encode", "book.txt", "--seed", "99999999999"],
        ["encode", "book.txt", "--replay", "17"],
        ["decode", "a", "b", "-o", "c"],
        ["encode", "book.txt", "--preset", "fast", "--experts", "none"],
        ["encode", "book.txt", "--frame-size", "x"],
        ["encode", "--verify", "-c", "book.txt"],
        ["decode", "book.txt"],
    ],
)
def test_usage_errors_have_status_2(run, book, monkeypatch, arguments):
    monkeypatch.chdir(book.parent)
    assert run(*arguments).status == 2


def test_mode_and_time_of_change_are_handed_on(run, book, tmp_path):
    book.chmod(0o640)
    os.utime(book, ns=(10**18, 10**18 + 123))
    run("encode", book)
    run("decode", f"{book}.lmz", "-o", tmp_path / "back")
    for name in ("book.txt.lmz", "back"):
        status = (tmp_path / name).stat()
        assert stat.S_IMODE(status.st_mode) == 0o640
        assert status.st_mtime_ns == 10**18 + 123


def test_several_files_and_an_error_among_them(run, book, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    result = run("encode", book, tmp_path / "missing", other)
    assert result.status == 1
    assert names(tmp_path) == ["book.txt", "book.txt.lmz", "other", "other.lmz"]
    listed = run("list", f"{book}.lmz", f"{other}.lmz").stdout.decode()
    assert len(listed.splitlines()) == 3
    assert run("-l", f"{book}.lmz").stdout.decode().splitlines()[1] in listed


def test_levels_are_presets(run, book):
    for level, preset in ((0, "fast"), (1, "fast"), (5, "default"), (9, "max")):
        assert run(f"-{level}", "-c", book).stdout == run("encode", "-c", "--preset", preset, book).stdout


def test_xz_manners(run, book, tmp_path):
    assert run("-k", book).status == 0
    assert run("-t", f"{book}.lmz").status == 0
    assert run("-z", "-f", book).status == 0
    assert run("-d", "-f", "-k", "-T0", f"{book}.lmz").status == 0
    assert run("--decompress", "--force", f"{book}.lmz").stderr == ""
    Path(f"{book}.lmz").write_bytes(b"broken")
    assert run("-t", f"{book}.lmz").status == 1


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar")
def test_tar_uses_it_as_a_filter(book, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(book.read_bytes())
    (folder / "empty").write_bytes(b"")
    filter_ = tmp_path / "filter"
    filter_.write_text(f'#!/bin/sh\nexec {TOY[0]} {TOY[1]} -1 "$@"\n')
    filter_.chmod(0o755)
    subprocess.run(["tar", "-I", str(filter_), "-b", "1", "-cf", "x.tar.lmz", "folder"], cwd=tmp_path, check=True)
    shutil.move(folder, tmp_path / "before")
    subprocess.run(["tar", "-I", str(filter_), "-xf", "x.tar.lmz"], cwd=tmp_path, check=True)
    assert (folder / "a").read_bytes() == book.read_bytes()
    assert names(folder) == ["a", "empty"]


def test_dev_null(run, book):
    assert run("encode", "/dev/null", "-c").status == 0
    assert run("encode", book, "-o", "/dev/null").status == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_verify_finds_another_original(run, book, tmp_path):
    run("encode", book)
    for change in (b"longer" + book.read_bytes(), book.read_bytes() + b"!", book.read_bytes()[:-1]):
        other = tmp_path / "other"
        other.write_bytes(change)
        result = run("verify", f"{book}.lmz", other)
        assert result.status == 1
        assert "the original" in result.stderr


def test_verify_after_encoding(run, book, monkeypatch, tmp_path):
    assert run("encode", book, "--verify").status == 0
    from lmzip import cli

    def fails(*_):
        raise lmzip.DamageError("found; out")

    monkeypatch.setattr(cli, "_decode_to", fails)
    assert run("encode", book, "--verify", "-f", "-o", tmp_path / "new").status == 1
    assert not (tmp_path / "new").exists()


def test_long_work_is_announced(run, tmp_path):
    path = tmp_path / "long"
    with open(path, "wb") as file:
        file.truncate(100 << 20)
    result = run("encode", path)
    assert re.search(r"this takes about \d+ (s|min|h) and up to [\d,]+ MB", result.stderr)
    assert "this takes" not in run("encode", path, "-q", "-f").stderr
    assert re.search(r"this takes up to [\d,]+ MB of memory, and about \d+ s per MB", run("encode", stdin=b"a").stderr)


def test_what_an_interruption_may_cost_is_said(run, tmp_path, monkeypatch):
    """Several processes have no checkpoints inside frames."""
    monkeypatch.setattr(Sender, "run_parallel", lambda self, source, count, resume: self.run(source, resume))
    options = ["-c", "--independent-frames", "--frame-size", "16M"]
    assert "a frame takes about" in run("encode", *options, "-T", "2", stdin=b"a").stderr
    assert "a frame takes about" not in run("encode", *options, stdin=b"a").stderr
    assert "a frame takes about" not in run("encode", *options[:2], "-T", "2", stdin=b"a").stderr


def test_nothing_but_the_archive_is_written_when_quiet(run, book):
    result = run("encode", "-q", book)
    assert (result.status, result.stdout, result.stderr) == (0, b"", "")


def test_run_embedded_needs_the_right_digest(run, book, tmp_path):
    run("encode", book)
    right = hashlib.sha256(pack.committed("whole")).hexdigest()
    result = run("decode", f"{book}.lmz", "-o", tmp_path / "out", f"--run-embedded={'0' * 64}")
    assert result.status == 2
    assert right in result.stderr
    assert not (tmp_path / "out").exists()


def test_help_stands_alone(run):
    """Every option is explained; every example is one that lmzip takes."""
    table = parsers()
    for command, parser in table.items():
        shown = run(*([command] if command else []), "--help")
        assert shown.status == 0
        assert b"usage: lmzip" in shown.stdout
        assert all(action.help for action in parser._actions)
        # Two spaces or more set off what an example does; tar and pipes hand lmzip its options themselves.
        for line in shown.stdout.decode().splitlines():
            if found := re.search(r"(?:^ {2}|\| |\(|  )lmzip (\S.*?)(?:  |\)|>|$)", line.partition("usage:")[0]):
                words = shlex.split(found[1])
                name = words[0] if words[0] in table else ""
                table[name].parse_args(words[1:] if name else words)
    help_ = run("--help").stdout.decode()
    assert all(f"  {name} " in help_ for name in table if name)
    for words in ("exit status: 0", "XDG_CACHE_HOME", "tar -I lmzip -cf", "lmzip-state"):
        assert words in help_


def test_any_terminal_can_show_it(book):
    odd = os.fsencode(book.parent) + b"/\xff.lmz"
    with open(odd, "wb") as file:
        file.write(lmzip.compress(b"a", code=False))
    for encoding in ("ascii", "latin-1", "utf-8"):
        for command in (["--help"], ["info", odd], ["list", odd]):
            done = subprocess.run(
                [*TOY, *command], env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, b"")


def test_completion_knows_every_option(run):
    for shell in ("bash", "zsh", "fish"):
        script = run("completion", shell).stdout.decode()
        for parser in parsers().values():
            for option in (option for action in parser._actions for option in action.option_strings):
                assert (f"-l {option[2:]}" if shell == "fish" and option[:2] == "--" else option.lstrip("-")) in script


def test_archives_are_not_written_one_behind_the_other(run, book):
    assert run("encode", "-c", book, book).status == 2
    assert run("-c", book, book).status == 2
    archive = run("-c", book).stdout
    Path(f"{book}.lmz").write_bytes(archive)
    assert run("-dc", f"{book}.lmz", f"{book}.lmz").stdout == 2 * book.read_bytes()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_completion_completes(run):
    script = run("completion", "bash").stdout.decode()
    script += '\nCOMP_WORDS=(lmzip encode --pre); COMP_CWORD=2; _lmzip; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--preset"]


def test_looking_at_archives_needs_neither_torch_nor_numba(run, book):
    run("encode", book, "-q")
    script = (
        "import sys; from lmzip.cli import main; status = main(sys.argv[1:]);"
        "sys.exit(status or any(name in sys.modules for name in ('torch', 'numba')))"
    )
    for arguments in (["info", f"{book}.lmz"], ["list", f"{book}.lmz"], ["completion", "bash"]):
        done = subprocess.run([sys.executable, "-c", script, *arguments], stdout=subprocess.DEVNULL, check=False)
        assert done.returncode == 0


def test_a_reader_that_leaves_early_gets_no_complaint(tmp_path):
    path = tmp_path / "x.lmz"
    path.write_bytes(lmzip.compress(os.urandom(500_000), frame_size=1 << 16))
    with subprocess.Popen([*TOY, "-dc", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk(run, book):
    result = run("encode", book, "-o", "/dev/full")
    assert result.status == 1
    assert "No space left on device; free some space" in result.stderr


def test_the_module_runs(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"lmzip {lmzip.__version__}\n"


def peak_memory(command: list[str], **options) -> int:
    """Run a command that must succeed; its peak memory in bytes."""
    with subprocess.Popen(command, **options) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss << 10


@pytest.mark.slow
def test_zeros_take_little_memory(tmp_path):
    zeros, archive, back = tmp_path / "zeros", tmp_path / "zeros.lmz", tmp_path / "back"
    with open(zeros, "wb") as file:
        file.truncate(64 << 20)
    started = time.monotonic()
    peaks = [
        peak_memory([*REAL, "encode", "-q", "--preset", "fast", str(zeros)]),
        peak_memory([*REAL, "decode", "-q", str(archive), "-o", str(back)]),
    ]
    print(
        f"64 MB of zeros: {archive.stat().st_size:,} bytes, {time.monotonic() - started:.1f} s both ways, peaks {peaks}"
    )
    assert filecmp.cmp(zeros, back, shallow=False)
    assert max(peaks) < 600 << 20


@pytest.mark.slow
def test_pipe_and_file_and_nothing_at_all(book, tmp_path):
    """A pipe of unknown length gives the archive that the file gives, with the real codec and several frames."""
    options = ["-q", "--preset", "fast", "--frame-size", "1K"]
    archive = subprocess.run([*REAL, "encode", *options, "-c", str(book)], check=True, capture_output=True).stdout
    script = f'cat "$0" | "$@" {" ".join(options)} | cat'
    piped = subprocess.run(["bash", "-c", script, str(book), *REAL, "encode"], check=True, capture_output=True).stdout
    assert piped == archive
    back = subprocess.run([*REAL, "-d"], input=archive, check=True, capture_output=True).stdout
    assert back == book.read_bytes()
    nothing = subprocess.run([*REAL, "encode", *options, "-c", "/dev/null"], check=True, capture_output=True).stdout
    assert nothing == subprocess.run([*REAL, "encode", *options], input=b"", check=True, capture_output=True).stdout
    assert subprocess.run([*REAL, "-dc"], input=nothing, check=True, capture_output=True).stdout == b""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar")
def test_a_folder_through_tar(tmp_path):
    """`tar -I lmzip`, with the real command on the path."""
    shutil.copytree(Path(__file__).parent, tmp_path / "folder", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    command = tmp_path / "lmzip"
    command.write_text(f'#!/bin/sh\nexec {" ".join(REAL)} "$@"\n')
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for program in ("lmzip -1", "lmzip -3 -T2 --independent-frames"):
        tar = ["tar", "-I", program, "-cf", "x.tar.lmz", "folder"]
        subprocess.run(tar, cwd=tmp_path, env=environment, check=True)
        shutil.rmtree(tmp_path / "back", ignore_errors=True)
        (tmp_path / "back").mkdir()
        tar = ["tar", "-C", "back", "-I", "lmzip", "-xf", "x.tar.lmz"]
        subprocess.run(tar, cwd=tmp_path, env=environment, check=True)
        subprocess.run(["diff", "-r", "folder", "back/folder"], cwd=tmp_path, check=True)
