"""The documents are true: links lead somewhere, commands and options exist, the recipes of a user's day work."""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import lmzip
from lmzip import cli

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
HOWTO = ROOT / "docs" / "howto.md"
# lmzip with its words: those in quotes behind tar's -I, or all up to the end of the command. `-I lmzip` has none.
CALL = re.compile(r"-I 'lmzip ([^']*)'|(?:^|[|;&$(] *)lmzip( [^|;&<>()]*|$)")
# A line of a recipe that ends otherwise says so in its comment: "status 1: …".
STATUS = re.compile(r"#.*\bstatus (\d+)")
# Recipes that this test can't run as they stand there, and who holds them instead.
ELSEWHERE = {"Before the first": "scripts/try.sh", "Go on after Ctrl-C": "test_resume.py"}
NEEDED = {"A table, into pandas and back": ["pandas"], "A report": ["jinja2", "matplotlib", "scipy"]}


# Pages: headings, links, blocks


def pages() -> Iterator[tuple[str, str]]:
    """Name and text of every page for people."""
    for path in PAGES:
        yield str(path.relative_to(ROOT)), path.read_text("utf-8")


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Heading, language and text of every fenced block."""
    heading = ""
    for part in re.finditer(r"^#+ ([^\n]*)$|^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if part[1] is not None:
            heading = part[1]
        else:
            yield heading, part[2], part[3]


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """What links into a page may name: its headings, as GitHub spells them."""
    names = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", name).strip().lower().replace(" ", "-") for name in names}


def broken_links(path: Path, text: str) -> list[str]:
    """Links of a page to files and headings that there aren't."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = path.parent / name if name else path
        exists = place == path or place.exists()
        if exists and anchor and place.suffix == ".md":
            exists = anchor in anchors(text if place == path else place.read_text("utf-8"))
        if not exists:
            broken.append(target)
    return broken


def test_links_lead_somewhere():
    broken = {name: broken_links(ROOT / name, text) for name, text in pages()}
    assert {name: targets for name, targets in broken.items() if targets} == {}


def test_a_broken_link_is_seen(tmp_path):
    text = "# One, two!\n[a](#one-two) [b](#three) [c](there.md) [d](here.md#x) [e](https://x.org)\n```\n[f](g)\n```\n"
    (tmp_path / "here.md").write_text("# Y")
    assert broken_links(tmp_path / "page.md", text) == ["#three", "there.md", "here.md#x"]


def test_every_document_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    documents = [path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"]
    assert [name for name in documents if f"]({name})" not in index] == []


# Commands and their options


@cache
def options() -> dict[str, frozenset[str]]:
    """The options of every command, "prior train" and its like too; "" has those without a command.

    The one place that knows how the command line's parsers are reached.
    """
    table: dict[str, frozenset[str]] = {}

    def add(name: str, parser: argparse.ArgumentParser) -> None:
        table[name] = frozenset(word for action in parser._actions for word in action.option_strings)
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for member, inner in action.choices.items():
                    add(f"{name} {member}".strip(), inner)

    for name, parser in cli.parsers().items():
        add(name, parser)
    return table


def calls(text: str) -> Iterator[list[str]]:
    """The words behind `lmzip` wherever a page calls it: in blocks for the shell, and between backquotes."""
    code = [block for _, language, block in blocks(text) if language in ("sh", "bash", "console")]
    code += re.findall(r"`([^`\n]+)`", prose(text))
    for line in "\n".join(code).replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*", "", line)
        for quoted, plain in CALL.findall(line):
            yield shlex.split((quoted or plain).replace("…", ""))


def unknown(words: list[str]) -> list[str]:
    """Commands and options among the words of a call that lmzip doesn't have."""
    name = ""
    while words and f"{name} {words[0]}".strip() in options():
        name, words = f"{name} {words[0]}".strip(), words[1:]
    if words and not name and re.fullmatch("[a-z]+", words[0]):
        return [words[0]]
    flags = [word.partition("=")[0] for word in words if re.match("--?[a-zA-Z0-9]", word)]
    return [f"{name} {flag}".strip() for flag in flags if not is_option(flag, options()[name])]


def is_option(flag: str, names: frozenset[str]) -> bool:
    """Is it an option, a short one with its value (-T4), or several in one word (-dc)?"""
    letters = re.fullmatch("-([a-zA-Z]+)[0-9]*", flag)
    return flag in names or (letters is not None and all(f"-{letter}" in names for letter in letters[1]))


def test_every_command_and_option_named_exists():
    wrong = {name: [word for words in calls(text) for word in unknown(words)] for name, text in pages()}
    assert {name: words for name, words in wrong.items() if words} == {}
    assert sum(1 for _, text in pages() for _ in calls(text)) > 60  # the pattern still sees them


def test_every_option_named_alone_exists():
    """An option between backquotes is one of some command."""
    every = frozenset().union(*options().values()) | {"-n"}  # of pytest
    wrong = {}
    for name, text in pages():
        spans = " ".join(re.findall(r"`(--?[a-zA-Z0-9][^`\n]*)`", prose(text))).split()
        flags = [word.partition("=")[0] for word in spans if re.match("--?[a-zA-Z0-9]", word)]
        if name == "docs/figures.md":  # it names the options of others
            continue
        if strange := [flag for flag in flags if flag not in every]:
            wrong[name] = strange
    assert wrong == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("lmzip encode a --frobnicate", ["encode --frobnicate"]),
        ("cat a | lmzip encode - -c | lmzip decode - --time 3", ["decode --time"]),
        ("lmzip prior train a -o b --adapt head", ["prior train --adapt"]),
        ("lmzip invent a", ["invent"]),
        ("tar -I 'lmzip --rpeset fast' -cf a.tar.lmz a", ["--rpeset"]),
        ("lmzip a.txt -k # lmzip nothing --of-the-kind", []),
        ("zcat a | lmzip -0 -T4 | lmzip -dxc > b", ["-dxc"]),
        ("decode --run-embedded=SHA256; lmzip decode --run-embedded=SHA256 x", []),
    ],
)
def test_an_option_that_there_is_not_is_seen(line, wrong):
    assert [word for words in calls(f"```sh\n{line}\n```\n") for word in unknown(words)] == wrong


# The recipes


def log(lines: int, day: int) -> str:
    """Lines as of a web server, some of them 404."""
    dice = random.Random(day)
    page = ["", "login", "api/items", "static/app.js"]
    text = ""
    for second in range(lines):
        text += f"10.0.{dice.randrange(4)}.{dice.randrange(250)} - - "
        text += f"[{day:02d}/Nov/2026:00:{second // 60:02d}:{second % 60:02d} +0000] "
        text += f'"GET /{dice.choice(page)} HTTP/1.1" {dice.choice([200, 200, 304, 404])} {dice.randrange(9999)}\n'
    return text


@pytest.fixture
def place(tmp_path, text) -> Path:
    """What the recipes take for granted: their inputs, and lmzip and python on the path."""
    here = tmp_path / "here"
    for folder in ("notes", "letters", "logs"):
        (here / folder).mkdir(parents=True)
    (here / "notes" / "chapter.txt").write_bytes(text[:9000])
    (here / "notes" / "todo.txt").write_text("whitewash the fence\n")
    for number in range(4):
        (here / "letters" / f"{number}.txt").write_bytes(text[number * 3000 :][: 500 + 700 * number])
    for day in (1, 2):
        (here / "logs" / f"day-{day}.log").write_text(log(250, day))
    (here / "today.log").write_text(log(400, 3))
    (here / "access.log.gz").write_bytes(gzip.compress(log(100, 4).encode()))
    rows = [f"2026-11-{day:02d},{shop},{day * 1.25}" for day in range(1, 29) for shop in ("north", "south")]
    (here / "prices.csv").write_text("\n".join(["day,shop,price", *rows, ""]))
    archive = bytearray(lmzip.compress(text[:8192], preset="fast", frame_size=4096, independent_frames=True))
    archive[1000] ^= 1
    (here / "damaged.lmz").write_bytes(archive)
    (tmp_path / "bin").mkdir()
    for name, call in (("lmzip", f"{shlex.quote(sys.executable)} -m lmzip"), ("python", shlex.quote(sys.executable))):
        script = tmp_path / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {call} "$@"\n')
        script.chmod(0o755)
    return here


def recipes() -> dict[str, list[tuple[str, str]]]:
    """The blocks under each heading of docs/howto.md."""
    chapters: dict[str, list[tuple[str, str]]] = {}
    for heading, language, block in blocks(HOWTO.read_text("utf-8")):
        chapters.setdefault(heading, []).append((language, block))
    return chapters


def test_there_are_ten_recipes():
    assert len(set(recipes()) - {"Before the first"}) == 10
    assert set(ELSEWHERE) | set(NEEDED) <= set(recipes())


@pytest.mark.slow
@pytest.mark.parametrize("job", [job for job in recipes() if job not in ELSEWHERE])
def test_a_recipe_works_as_it_stands(job, place):
    for module in NEEDED.get(job, []):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"this recipe needs {module}")
    source = str(Path(lmzip.__file__).parent.parent)
    environment = os.environ | {
        "PATH": f"{place.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")])),
    }
    for language, block in recipes()[job]:
        if language == "python":
            (place / "recipe.py").write_text(block)
            done = subprocess.run(
                [sys.executable, "recipe.py"], cwd=place, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            continue
        for line in block.splitlines():
            if line.startswith("pip install "):
                continue
            shell = ["bash", "-o", "pipefail", "-c", line]
            done = subprocess.run(shell, cwd=place, env=environment, capture_output=True, text=True)
            status = STATUS.search(line)
            assert done.returncode == int(status[1] if status else 0), f"{line}\n{done.stdout}{done.stderr}"
