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
    for command in ("list", "info"):
        assert run(command, "-", stdin=archive).stdout == run(command, f"{book}.lmz").stdout.replace(
            os.fsencode(f"{book}.lmz"), b"-"
        )
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
        (["encode", "-", "-o", "."], "is a directory; name a file with -o"),
        (["encode", ""], "No such file or directory; check the path"),
        (["encode", "book.txt", "-o", 300 * "x"], "File name too long; choose a shorter one with -o"),
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
        ["encode", "book.txt", "--frame-size", "infK"],
        ["encode", "book.txt", "-c", "-o", "out"],
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


@pytest.mark.parametrize("command", [[], ["encode"]])
def test_levels_belong_to_encoding(run, book, command):
    assert run(*command, "-3", "-c", book).stdout == run("encode", "-c", "--preset", "fast", book).stdout


def test_closed_standard_streams(book, tmp_path):
    """No file takes the place of a stream that was closed, and no message gets into an archive."""

    def closed(streams: str, *arguments: object) -> subprocess.CompletedProcess:
        script = f'exec "$0" "$@" {streams}'
        command = ["bash", "-c", script, *TOY, "encode", "-1", "--no-code", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, check=False)

    expected = lmzip.compress(book.read_bytes(), preset="fast", code=False)
    assert closed("2>&-", "-c", book).stdout == expected
    assert closed("<&- >&- 2>&-", book).returncode == 0
    assert Path(f"{book}.lmz").read_bytes() == expected
    for streams, words in (("<&-", "can't read it"), (">&-", "can't write to standard output")):
        done = closed(streams, "-q", *([book, "-c"] if streams == ">&-" else ["-"]))
        assert done.returncode == 1
        assert f"{words}".encode() in done.stderr
        assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_what_can_not_be_shown_is_an_error(book):
    archive = Path(f"{book}.lmz")
    archive.write_bytes(lmzip.compress(b"a", code=False))
    with open("/dev/full", "wb") as full:
        for command in (["info", archive], ["list", archive], ["completion", "bash"]):
            done = subprocess.run([*TOY, *command], stdout=full, stderr=subprocess.PIPE, check=False)
            assert done.returncode == 1
            assert b"No space left on device" in done.stderr
            assert done.stderr.count(b"\n") == 1


def test_an_interruption_stops_the_rest(run, book, tmp_path, monkeypatch):
    from lmzip.cli.commands import encode

    tried = []

    def interrupted(args, console, session, name, output):
        tried.append(name)
        raise lmzip.Interrupted("interrupted")

    monkeypatch.setattr(encode, "encode", interrupted)
    assert run("encode", book, book).status == 130
    assert len(tried) == 1


def test_names_do_not_command_the_terminal(run, tmp_path):
    path = tmp_path / "a\x1b[2J\nb"
    path.write_bytes(b"a")
    assert run("encode", path, "-q").status == 0
    result = run("encode", path)
    shown = run("list", f"{path}.lmz").stdout.decode() + result.stderr
    assert "\x1b" not in shown
    assert result.stderr.count("\n") == 1
    assert shown.count("a\\x1b[2J\\nb") >= 2


def test_links_are_not_followed_to_what_they_name(run, book, tmp_path):
    """Whoever may write in the folder can't have another file overwritten."""
    precious, part = tmp_path / "precious", Path(f"{book}.lmz.lmzip-part")
    precious.write_bytes(b"precious")
    os.link(precious, part)
    assert run("encode", book, "-q").status == 0
    part.symlink_to(precious)
    assert run("encode", book, "-q", "-f").status == 1
    part.unlink()
    archive = Path(f"{book}.lmz")
    archive.write_bytes(archive.read_bytes()[:-9])
    partial = tmp_path / "out.partial"
    for target in (precious, tmp_path / "nothing"):
        partial.symlink_to(target)
        for force in ([], ["-f"]):
            assert run("decode", archive, "--keep-going", "-o", tmp_path / "out", *force).status == 1
        assert partial.read_bytes() == book.read_bytes()
        assert not partial.is_symlink()
        partial.unlink()
    assert precious.read_bytes() == b"precious"
    assert not (tmp_path / "nothing").exists()


def test_a_named_standard_output(book, tmp_path):
    """/dev/stdout is a link that no file may replace."""
    if not os.path.exists("/dev/stdout"):
        pytest.skip("there is none")
    with open(tmp_path / "out", "wb") as out:
        subprocess.run([*TOY, "-1", "-f", "-o", "/dev/stdout", str(book)], stdout=out, check=True)
    assert lmzip.decompress((tmp_path / "out").read_bytes()) == book.read_bytes()
    assert os.path.islink("/dev/stdout")


@pytest.mark.skipif(not hasattr(os, "chown"), reason="no groups")
def test_no_other_group_may_read_more(run, book, monkeypatch):
    """As xz does: if the output can't have the input's group, its own may do what all may."""

    def refused(path, user, group):
        raise PermissionError

    monkeypatch.setattr(os, "chown", refused)
    for mode, expected in ((0o640, 0o600), (0o664, 0o644), (0o755, 0o755), (0o604, 0o600)):
        book.chmod(mode)
        assert run("encode", book, "-q", "-f").status == 0
        assert stat.S_IMODE(Path(f"{book}.lmz").stat().st_mode) == expected


def test_a_file_system_without_modes_and_times(run, book, monkeypatch):
    def refused(*_, **__):
        raise PermissionError

    for name in ("chown", "chmod", "utime"):
        monkeypatch.setattr(os, name, refused, raising=False)
    assert run("encode", book, "-q").status == 0


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
    from lmzip.cli.commands import encode

    def fails(*_, **options):
        raise lmzip.DamageError("found; out")

    monkeypatch.setattr(encode, "decode_to", fails)
    assert run("encode", book, "--verify", "-f", "-o", tmp_path / "new").status == 1
    assert not (tmp_path / "new").exists()


def test_long_work_is_announced(run, tmp_path):
    path = tmp_path / "long"
    with open(path, "wb") as file:
        file.truncate(100 << 20)
    result = run("encode", path)
    assert re.search(r"this takes about \d+ (s|min|h) and up to [\d,]+ MB", result.stderr)
    assert "this takes" not in run("encode", path, "-q", "-f").stderr
    said = re.compile(r"this takes up to [\d,]+ MB of memory, and about \d+ s per MB")
    assert said.search(run("encode", stdin=b"a").stderr)
    assert said.search(run("decode", stdin=lmzip.compress(b"a")).stderr)


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
    run("encode", book, "--no-code", "-f")
    result = run("decode", f"{book}.lmz", "-o", tmp_path / "out", f"--run-embedded={hashlib.sha256().hexdigest()}")
    assert result.status == 2
    assert "carries no code" in result.stderr


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
    commands = ["--help"], ["info", odd], ["list", odd]
    for encoding, command in [
        *(("ascii", each) for each in commands),
        ("latin-1", commands[0]),
        ("utf-8", commands[1]),
    ]:
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
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lmzip enc", "encode"),
        ("lmzip encode --pre", "--preset"),
        ("lmzip decode --max-m", "--max-memory"),
        ("lmzip encode --preset d", "default"),
        ("lmzip completion z", "zsh"),
        ("lmzip --decom", "--decompress"),
        ("lmzip encode some-fi", ""),  # then bash completes names of files
    ],
)
def test_completion_completes(run, line, expected):
    script = run("completion", "bash").stdout.decode()
    script += f'\nCOMP_WORDS=({line}); COMP_CWORD={line.count(" ")}; _lmzip; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


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
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lmzip {lmzip.__version__}\n"


MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_memory(command: list[str]) -> int:
    """Run a command that must succeed; its peak memory in bytes.

    From a small process in between: Linux counts what the parent held when it forked as the child's.
    """
    done = subprocess.run([sys.executable, "-c", MEASURE, *command], check=True, capture_output=True)
    return int(done.stdout) << 10


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
