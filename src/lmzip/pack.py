"""Packs `codec/` into zips, the code that archives carry. Run after every change: `python -m lmzip.pack`.

With --release they become the code of a released format version: see released/.

There are three, for an archive carries what its receiver must run and no more: the codec without the experts, without
the language model, and whole.

The zips are committed, so every archive of a release carries the same bytes whatever library squeezed them;
CI compares what it unpacks to with the folder. Source is sent without comments and docstrings, in one
bz2 stream, which is a quarter smaller than deflating file by file: a zero byte, name, line feed and content of each.
"""

from __future__ import annotations

import ast
import bz2
import hashlib
import io
import sys
import threading
import tokenize
import zipfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from . import kept, released
from .codec.message import VERSION, Header

FOLDER = Path(__file__).parent / "codec"
EXPERTS, MODEL = {"experts", "mixer", "numeric"}, {"exact", "learner", "model", "product", "rng"}
LEFT_OUT = {"model": {*EXPERTS, "mixed"}, "experts": {*MODEL, "mixed"}, "whole": set()}
START = "__main__.py"
PARSING = threading.Lock()  # Python 3.11 fails where two threads parse at once, with "recursion depth mismatch"


def strip(source: str) -> str:
    """Python source without comments, docstrings and blank lines; everything else as written.

    Raises ValueError if the result were another program, which would be a bug here.
    """
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    raw = source.encode()
    cuts: list[tuple[int, int, bytes]] = []
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body or not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        first = body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            begin = starts[first.lineno - 1] + first.col_offset
            end = starts[(first.end_lineno or 0) - 1] + (first.end_col_offset or 0)
            cuts.append((begin, end, b"pass" if len(body) == 1 and not isinstance(node, ast.Module) else b""))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            begin = starts[row - 1] + len(lines[row - 1][:column].encode())
            cuts.append((begin, begin + len(token.string.encode()), b""))
    for begin, end, instead in sorted(cuts, reverse=True):
        raw = raw[:begin] + instead + raw[end:]
    result = "".join(line.rstrip() + "\n" for line in raw.decode().splitlines() if line.strip())
    if _shape(result) != _shape(source):
        raise ValueError("stripping changed the program")
    return result


def _shape(source: str) -> str:
    """The program without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and isinstance(body, list) and body:
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                body[:1] = [] if isinstance(node, ast.Module) or len(body) > 1 else [ast.Pass()]
    return ast.dump(tree)


def blob(kind: str) -> Path:
    """Where the committed zip of a kind lies."""
    return FOLDER.with_name(f"codec-{kind}.zip")


def members(kind: str) -> dict[str, bytes]:
    """The sources by name that this kind of code needs, but for `__main__.py`, with which the zip begins."""
    paths = [path for path in sorted(FOLDER.glob("*.py")) if path.stem not in LEFT_OUT[kind] and path.name != START]
    return {path.name: strip(path.read_text("utf-8")).encode() for path in paths}


def packed(kind: str) -> bytes:
    """The zip: nothing in it tells when, where or by whom it was made."""
    return zipped(strip((FOLDER / START).read_text("utf-8")).encode(), members(kind))


def zipped(start: bytes, sources: dict[str, bytes]) -> bytes:
    """A zip of these."""
    out = io.BytesIO()
    joined = b"".join(b"\0%s\n%s" % (name.encode(), content) for name, content in sources.items())
    with zipfile.ZipFile(out, "w") as file:
        for name, content, how in (
            (START, start, zipfile.ZIP_DEFLATED),  # what Python itself unpacks
            ("codec.bz2", bz2.compress(joined), zipfile.ZIP_STORED),
        ):
            info = zipfile.ZipInfo(name)  # 1980-01-01
            info.create_system, info.external_attr = 3, 0o644 << 16
            file.writestr(info, content, how, 9)
    return out.getvalue()


def kind_of(header: Header) -> str:
    """Which code the receiver of such a message must run."""
    return "model" if header.experts is None else "experts" if header.model is None else "whole"


@cache
def committed(kind: str) -> bytes:
    """The committed zip."""
    return blob(kind).read_bytes()


REFUSAL = """\
import sys
sys.exit(sys.argv[0] + ": this archive builds on a prior, which is not in it, so it takes lmzip to open it: "
"lmzip decode FILE --prior-path FOLDER")
"""


@cache
def refusal() -> bytes:
    """What an archive with a prior carries in place of the decoder, which could not decode it: it says what to do."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        info = zipfile.ZipInfo(START)  # 1980-01-01
        info.create_system, info.external_attr = 3, 0o644 << 16
        file.writestr(info, REFUSAL)
    return out.getvalue()


def code(header: Header) -> bytes:
    """The code that an archive with this header carries."""
    return refusal() if header.prior is not None else decoder(header)


def decoder(header: Header) -> bytes:
    """The code that rebuilds a message with this header, unless it has a prior."""
    kind, version = kind_of(header), header.format_version
    return committed(kind) if version == VERSION else released.blob(version, kind)


def squeezed(paths: Iterable[Path]) -> bytes:
    """Sources as they would be sent, in one bz2 stream."""
    with PARSING:
        return _squeezed(tuple(sorted(paths)))


@cache
def _squeezed(paths: tuple[Path, ...]) -> bytes:
    texts = [path.read_bytes() for path in paths]
    key = hashlib.blake2b(b"".join(texts) + Path(__file__).read_bytes(), digest_size=16).hexdigest()
    return kept.once("squeezed", key, lambda: bz2.compress(b"".join(strip(text.decode()).encode() for text in texts)))


def release(code: bytes) -> str | None:
    """The name of the release whose code these bytes are, or None: then they are unknown, and not to be trusted."""
    if any(code == own for own in (refusal(), *map(committed, LEFT_OUT))):
        return "this lmzip's own"
    version = released.version_of(code)
    return None if version is None else f"released with format version {version}"


def is_current(kind: str) -> bool:
    """Does the committed zip hold the code in the folder?"""
    return blob(kind).exists() and released.unpacked(committed(kind)) == released.unpacked(packed(kind))


def release_all() -> None:
    """Keep the committed zips for ever, as code of the present format version."""
    if not all(map(is_current, LEFT_OUT)):
        sys.exit("the zips are not those of codec/: first python -m lmzip.pack")
    for kind in LEFT_OUT:
        path = released.FOLDER / released.name(VERSION, kind, committed(kind))
        path.write_bytes(committed(kind))
        print(f"released/{path.name}: keep this file, unchanged, in every later lmzip")


def main() -> None:
    """`python -m lmzip.pack`."""
    if sys.argv[1:] == ["--release"]:
        return release_all()
    for kind in LEFT_OUT:
        if not is_current(kind):
            blob(kind).write_bytes(packed(kind))
        content = blob(kind).read_bytes()
        print(f"{blob(kind).name}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
