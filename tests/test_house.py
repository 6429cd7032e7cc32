"""The structure of the package, read off its sources: rules that no reader can hold in mind for every line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import house
import pytest
from house import Excuse, Source

import lmzip

FOLDER = Path(lmzip.__file__).parent
ROOT = Path(__file__).parent.parent
CODEC = "the codec of format 1 is released and can't change until format 2"

PRIVATE_NAMES = (  # of other modules, that a module may use
    Excuse("checkpoint.py", ("_state", "_message"), CODEC),
    Excuse("prior/state.py", ("_COUNTS", "_LINE", "_LINE_ABOVE", "_NEXT", "_SHORTEST", "_fold"), CODEC),
    Excuse("prior/state.py", ("_RATE", "_WEIGHT"), CODEC),
    Excuse("pretrained/mixing.py", ("_2BYTES", "_BRACKET", "_BYTE", "_CLASSES", "_MATCHED", "_POINTER"), CODEC),
    Excuse("pretrained/mixing.py", ("_RECENT", "_WORD_LENGTH", "_charge", "_cost", "_final", "_find_slots"), CODEC),
    Excuse("pretrained/mixing.py", ("_fold", "_gather", "_hash_contexts", "_learn_bit", "_learn_byte"), CODEC),
    Excuse("pretrained/mixing.py", ("_learn_final",), CODEC),
    Excuse("pretrained/lockstep.py", ("_position",), CODEC),
    Excuse("pretrained/lockstep.py", ("_MATCHED", "_MATCH_MASK", "_MEMORY", "_SLOT_MASK"), CODEC),
    Excuse("accel/panels.py", ("_int_mm",), "torch has no other name for products of int8 matrices"),
    Excuse("accel/cuda.py", ("_int_mm",), "torch has no other name for products of int8 matrices"),
    Excuse("cli/completion.py", ("_actions",), "argparse has no other name for the options of a parser"),
    Excuse("pool.py", ("_processes",), "concurrent.futures has no other way to end its workers at once"),
)
STATE = (  # of modules, that lives as long as the process
    Excuse("progress.py", ("_stop",), "a process has one set of signal handlers"),
    Excuse("accel/cuda.py", ("BACKENDS",), "where the codec looks for what multiplies; the entry is always the same"),
    Excuse("kernels.py", ("config",), "numba's cache has its folder from there; it gets its own back at once"),
    Excuse("pack.py", ("PARSING",), "Python 3.11's parser is one for the process, and not for two threads at once"),
    Excuse("released/pretrained.py", ("sys",), "as in released/__init__.py"),
    Excuse("released/__init__.py", ("sys",), "a released codec is a package that Python must find among its modules"),
)


@pytest.fixture(scope="module")
def tree() -> list[Source]:
    return house.read(FOLDER)


def report(offenders: list[str]) -> None:
    """Fails with every offender, a line each."""
    assert not offenders, f"{len(offenders)} offenders:\n" + "\n".join(offenders)


def files() -> list[tuple[str, str]]:
    """Name and text of every file that a person reads from top to bottom, but for the codec and tests."""
    patterns = ("src/**/*.py", "benchmarks/**/*.py", "docs/**/*.py", "scripts/*.py", "scripts/*.sh", "benchmarks/*.sh")
    paths = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    names = {path.relative_to(ROOT).as_posix(): path for path in paths}
    return [(name, path.read_text("utf-8")) for name, path in names.items() if not name.startswith("src/lmzip/codec/")]


# The tree


def test_no_modules_import_each_other(tree):
    report(house.circles(tree))


def test_the_codec_imports_nothing_of_lmzip_but_itself(tree):
    report(house.codec_imports(tree))


def test_imports_inside_functions_say_why(tree):
    """`# start-up: …`, `# extra: …` or `# platform: …` on the line of the import."""
    report(house.late_imports(tree))


def test_no_module_takes_the_place_of_a_name_of_its_package(tree):
    report(house.hidden_names(tree))


def test_private_names_stay_in_their_modules(tree):
    report(house.private_names(tree, PRIVATE_NAMES))


def test_no_file_is_too_long():
    report(house.long_files(files()))


def test_nothing_is_global(tree):
    report(house.globals_(tree) + house.states(tree, STATE))


def test_what_is_public_says_what_it_is(tree):
    report(house.undocumented(tree))


def test_docstrings_name_the_errors_raised(tree):
    report(house.unsaid_errors(tree))


# The rules, on sources made up


def sources(texts: dict[str, str]) -> list[Source]:
    """Modules by path."""
    return [Source(f"{path}.py", text) for path, text in texts.items()]


def test_a_circle_is_found_through_functions_and_packages():
    texts = {"a": "def f():\n    from .p.b import g", "p/b": "from . import c", "p/c": "from ..a import f"}
    offenders = house.circles(sources(texts))
    assert len(offenders) == 1 and offenders[0].splitlines() == [
        "a circle of 3: lmzip.a, lmzip.p.b, lmzip.p.c",
        "    a.py:2 (in a function): lmzip.a imports lmzip.p.b",
        "    p/b.py:1: lmzip.p.b imports lmzip.p.c",
        "    p/c.py:1: lmzip.p.c imports lmzip.a",
    ]


def test_two_circles_are_two_and_what_hangs_on_them_is_in_none():
    texts = {"a": "import lmzip.b", "b": "from . import a, c", "c": "from . import d", "d": "from . import c"}
    offenders = house.circles(sources(texts | {"e": "import lmzip.a"}))
    assert [group.splitlines()[0] for group in offenders] == [
        "a circle of 2: lmzip.a, lmzip.b",
        "a circle of 2: lmzip.c, lmzip.d",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import x",
        "import typing\nif typing.TYPE_CHECKING:\n    from .b import x",
        "import b",  # another package's
        "from os.b import x",
    ],
)
def test_what_a_type_checker_or_another_package_reads_closes_no_circle(text):
    assert house.circles(sources({"a": text, "b": "from .a import y"})) == []


def test_a_name_of_a_package_is_an_import_of_the_package():
    texts = {"p/__init__": "from .a import f", "p/b": ""}
    assert len(house.circles(sources(texts | {"p/a": "from . import VERSION"}))) == 1
    assert house.circles(sources(texts | {"p/a": "from . import b"})) == []


def test_circles_within_the_codec_are_its_own():
    assert house.circles(sources({"codec/a": "from . import b", "codec/b": "from . import a"})) == []


def test_the_codec_is_alone():
    texts = {"codec/a": "from . import b\nfrom ..errors import E", "codec/b": "import lmzip.pack, numpy, lmzip.codec.a"}
    assert house.codec_imports(sources(texts)) == [
        "codec/a.py:2: the codec imports lmzip.errors",
        "codec/b.py:1: the codec imports lmzip.pack",
    ]


def test_late_imports_need_a_reason_on_their_line():
    text = """
import os
def f():
    import torch  # start-up: seconds
    from .b import (  # extra: brotli
        x,
    )
    from c import y  # noqa: F401  # platform: Windows
    if os:
        import json
    from .d import z  # because
    # start-up: on the line before
    import e
    import k  # start-up: `x`
class A:
    import g
    async def h(self):
        from ..i import j  # start-up:
"""
    expected = ["a.py:10: import json", "a.py:11: from .d import z", "a.py:13: import e", "a.py:18: from ..i import j"]
    assert house.late_imports(sources({"a": text})) == expected
    assert house.late_imports(sources({"codec/a": text})) == []


def test_names_that_a_module_would_hide_are_found():
    package = "from .a import b, x\nfrom . import d\nfrom .e import f as c\ndef a(): pass\nb = 1\ny: int = 2"
    texts = {"p/__init__": package, "p/a": "", "p/b": "", "p/c/__init__": "", "p/d": "", "p/e": "", "x": ""}
    assert house.hidden_names(sources(texts)) == [
        "p/__init__.py:1: b", "p/__init__.py:3: c", "p/__init__.py:4: a", "p/__init__.py:5: b"
    ]  # fmt: skip


def test_private_names_of_others_are_found():
    text = """
from .b import _x, y
from ._c import z
import b
class A:
    def __init__(self):
        self._own = b._there
        self._base()
        super()._base()
        self.other._own = 1
    def f(self, other):
        other._own, other._foreign, other.__class__
        getattr(other, "_text")
        getattr(self, "_text")
        return _ and y._z, other._replace(x=1)
"""
    assert house.private_names(sources({"a": text})) == [
        "a.py:2: from lmzip.b import _x", "a.py:3: from _c import …", "a.py:7: b._there", "a.py:12: other._foreign",
        "a.py:13: getattr(other, '_text')", "a.py:15: y._z",
    ]  # fmt: skip


def test_excuses_are_for_one_module_and_end_with_their_need():
    text = "import b\nb._x\nb._y"
    excuses = [Excuse("a.py", ("_x", "_gone"), "why"), Excuse("c.py", ("_y",), "why")]
    assert house.private_names(sources({"a": text}), excuses) == [
        "a.py:3: b._y", "a.py: no excuse is needed for _gone", "c.py: no excuse is needed for _y"
    ]  # fmt: skip


def test_a_file_may_have_so_many_lines_and_no_more():
    assert house.long_files([("a", "x\n" * 450), ("b", "x\n" * 451)]) == ["b: 451 lines"]


def test_state_of_modules_is_found():
    text = """
import signal, torch
from functools import cache
TABLE = {"a": 1}
LIST = [1]
cache_of_files: dict[str, int] = {}
event = threading.Event()
flag = False
box = Box()
def f(parameter):
    global flag
    flag = True
    LIST.append(2)
    box.value = 3
    torch.threads = 4
    local = {}
    local["x"] = TABLE["a"]
    parameter.append(1)
def g(LIST):
    LIST.append(1)
    TABLE = {}
    TABLE["b"] = 2
@cache
def h():
    return {}
LIST.append(5)
"""
    assert house.globals_(sources({"a": text})) == ["a.py:11: global flag"]
    assert house.states(sources({"a": text})) == [
        "a.py:6: cache_of_files: dict[str, int] = {}", "a.py:7: event = threading.Event()", "a.py:13: LIST.append(2)",
        "a.py:14: box.value", "a.py:15: torch.threads",
    ]  # fmt: skip
    excuses = [Excuse("a.py", ("LIST", "box", "torch", "event", "cache_of_files", "gone"), "why")]
    assert house.states(sources({"a": text}), excuses) == ["a.py: no excuse is needed for gone"]
    assert house.states(sources({"codec/a": text})) == []


def test_what_is_public_needs_a_docstring():
    text = """
def f(): pass
def _g(): pass
class A:
    def method(self): pass
class B:
    "Says."
def h():
    "Says."
    def inside(): pass
"""
    assert house.undocumented(sources({"a": text})) == ["a.py:1: the module", "a.py:2: f", "a.py:4: A"]
    assert house.undocumented(sources({"a": '"""Says."""'})) == []


def test_errors_raised_must_be_named():
    text = '''
def f():
    """Does. Raises ValueError if not, and so does the other: OSError."""
    raise OSError if x else y
def g():
    """Raises ValueError."""
    raise errors.PriorError("x") from None
def h():
    """May well be a PriorError."""
    raise PriorError
def i():
    """Raises what the path says."""
    raise refused("x")
class A:
    """Raises KeyError."""
    def __init__(self):
        raise KeyError(1)
    def j(self):
        def inside():
            raise OSError
        raise AssertionError
    def k(self):
        """No."""
        try:
            pass
        except OSError:
            raise
        raise refused("x")
    def _l(self):
        raise OSError
'''
    assert house.unsaid_errors(sources({"a": text})) == [
        "a.py:5: g raises PriorError", "a.py:8: h raises PriorError"
    ]  # fmt: skip
    assert house.unsaid_errors(sources({"a": "def m():\n    raise refused(1)"})) == ["a.py:1: m raises its error"]


# The documents


def test_the_map_of_the_layout_is_true():
    """Every module stands in CONTRIBUTING.md with its first docstring line."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "layout.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 130
