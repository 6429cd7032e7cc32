"""Commands are files: what one dropped into the folder becomes; what every command says of itself; manners."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lmzip
from lmzip import cli
from lmzip.cli import remarks
from lmzip.cli.completion import script

TOY = [sys.executable, str(Path(__file__).with_name("toy.py"))]

EXERCISE = '''\
"""Count the bytes of a file."""

OVERVIEW = "how long it is                    lmzip count book.txt"
EXAMPLES = "example:\\n  lmzip count book.txt\\n"
ORDER = 55


def add(parser):
    parser.add_argument("file")
    parser.add_argument("--twice", action="store_true", help="count them again")


def run(args, console):
    with open(args.file, "rb") as file:
        console.show(str(len(file.read()) * (1 + args.twice)))
'''


@pytest.fixture
def folder(tmp_path) -> Path:
    """The commands, and one more."""
    place = tmp_path / "commands"
    shutil.copytree(cli.COMMANDS, place, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "count.py").write_text(EXERCISE)
    return place


def test_a_file_dropped_into_the_folder_is_a_command(folder, tmp_path, capsys):
    assert list(cli.list_commands(folder)) == [*list(cli.list_commands())[:5], "count", *list(cli.list_commands())[5:]]
    with pytest.raises(SystemExit):
        cli.main(["--help"], folder)
    assert "  count     how long it is                    lmzip count book.txt\n" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["count", "--help"], folder)
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("usage: lmzip count", "Count the bytes of a file.", "--twice", "example:"))
    (tmp_path / "book.txt").write_bytes(b"12345")
    assert cli.main(["count", "--twice", str(tmp_path / "book.txt")], folder) == 0
    assert capsys.readouterr().out == "10\n"
    assert cli.main(["count", str(tmp_path / "absent")], folder) == 1
    assert "lmzip: " in capsys.readouterr().err
    for shell in ("bash", "zsh", "fish"):
        text = script(shell, cli.parsers(folder))
        assert "count" in text and "twice" in text
        assert "twice" not in script(shell, cli.parsers())


def test_every_command_says_what_it_is():
    def all_of(table):
        for command in table.values():
            yield command
            yield from all_of(command.members)

    for command in all_of(cli.list_commands()):
        assert command.about.endswith(".")
        assert command.examples.startswith("example")
        assert command.order != cli.LAST


def test_only_the_command_asked_for_is_imported():
    code = (
        "import sys; from lmzip.cli import main; main(sys.argv[1:]);"
        "print([name for name in sys.modules if name.startswith('lmzip.cli.commands.')], 'numpy' in sys.modules)"
    )

    def imported(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
        ).stdout.splitlines()[-1]

    assert imported("--version") == "[] False"
    assert (
        imported("prior", "list", "--prior-path", "nowhere")
        == "['lmzip.cli.commands.prior', 'lmzip.cli.commands.prior.list'] True"
    )


def test_a_group_asks_for_a_command(run):
    for words in (["prior"], ["prior", "nope"]):
        assert run(*words).status == 2
    assert "train|build|export|list|info|verify" in run("prior", "--help").stdout.decode()


# A reader that leaves


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize("command", ["decode -c x.lmz", "-dc x.lmz", "encode -qc noise", "list x.lmz"])
def test_a_reader_that_leaves_early_shows_in_the_status(command, tmp_path):
    """As of gzip, xz and cat: a truncated output must not look whole to a script."""
    data = os.urandom(400_000)
    (tmp_path / "noise").write_bytes(data)
    (tmp_path / "x.lmz").write_bytes(lmzip.compress(data, frame_size=1 << 16))
    reader = "true" if command == "list x.lmz" else "head -c 1 >/dev/null"
    wait = "sleep 2; " if command == "list x.lmz" else ""  # until the reader is surely gone
    line = f'({wait}exec "$0" "$@" {command}) | {reader}; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", line, *TOY], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


# What does nothing


NOTHING = {
    "threads for frames that build on each other": (["--preset", "fast", "-T", "2"], "-T changes nothing here"),
    "a device without a model": (["--preset", "fast", "--device", "cuda"], "--device changes nothing here"),
    "checkpoints of a pipe": (["--preset", "fast", "-c", "--checkpoint", "9"], "--checkpoint changes nothing here"),
}


@pytest.mark.parametrize(("words", "remark"), NOTHING.values(), ids=NOTHING)
def test_what_changes_nothing_is_remarked_on(run, toy_predictor, tmp_path, words, remark):
    path = tmp_path / "file"
    path.write_bytes(b"some text " * 30)
    done = run("encode", path, *words)
    assert done.status == 0
    assert done.stderr.count(remark) == 1
    assert remark not in run("encode", path, "-f", "-q", *words).stderr
    assert len(remarks.ENCODING) == len(NOTHING)


@pytest.mark.parametrize(
    "words", [["--preset", "fast"], ["-T", "2"], ["--preset", "fast", "-T", "2", "--independent-frames"]]
)
def test_what_has_an_effect_is_not(run, toy_predictor, tmp_path, words, monkeypatch):
    monkeypatch.setattr("lmzip.sender.Sender.run_parallel", lambda self, source, resume: self.finish())
    (tmp_path / "file").write_bytes(b"some text " * 30)
    assert "changes nothing" not in run("encode", tmp_path / "file", *words).stderr


def test_results_and_remarks_go_different_ways(run, toy_predictor, tmp_path):
    archive = io.BytesIO(lmzip.compress(b"text" * 100, preset="fast")).getvalue()
    done = run("decode", stdin=archive)
    assert done.stdout == b"text" * 100
    assert run("list", "/dev/null").status == 1


def test_outputs_go_into_a_folder_that_is_there(run, toy_predictor, tmp_path):
    names = ["one", "two"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 50)
    (tmp_path / "archives").mkdir()
    (tmp_path / "back").mkdir()
    done = run("encode", *(tmp_path / name for name in names), "-o", tmp_path / "archives")
    assert done.status == 0
    assert [done.stderr.count(f"{name} → ") for name in names] == [1, 1]  # whose ledger it is
    archives = sorted((tmp_path / "archives").iterdir())
    assert [path.name for path in archives] == ["one.lmz", "two.lmz"]
    assert run("decode", *archives, "-o", tmp_path / "back").status == 0
    assert [(tmp_path / "back" / name).read_bytes() for name in names] == [name.encode() * 50 for name in names]
    assert run("decode", *archives, "-o", tmp_path / "nothing").status == 2


def test_what_cannot_be_resumed_is_refused_before_anything_is_said(run, toy_predictor, text, tmp_path, monkeypatch):
    from lmzip.progress import Bar

    path = tmp_path / "file"
    path.write_bytes(text[:20_000])
    step = Bar.step

    def interrupt(self, done, bits, save=None):
        save()
        raise lmzip.Interrupted("interrupted")

    monkeypatch.setattr(Bar, "step", interrupt)
    assert run("encode", path, "--preset", "fast").status == 130
    monkeypatch.setattr(Bar, "step", step)
    done = run("encode", path, "--resume", "-v", "-v", "--preset", "default")
    assert done.status == 2
    assert "had other options" in done.stderr
    assert "this takes" not in done.stderr
    assert run("encode", path, "--resume", "--preset", "fast").status == 0
