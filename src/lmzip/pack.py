"""Packs `codec/` into `codec.zip`, the code that archives carry. Run after every change: `python -m lmzip.pack`.

The zip is committed, so every archive of a release carries the same bytes whatever library squeezed them;
CI compares what it unpacks to with the folder. Source is sent without comments and docstrings, in one
tar.bz2, which is a quarter smaller than deflating file by file.
"""

from __future__ import annotations

import ast
import bz2
import hashlib
import io
import tarfile
import tokenize
import zipfile
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "codec"
BLOB = Path(__file__).parent / "codec.zip"
START = "__main__.py"


def strip(source: str) -> str:
    """Python source without comments, docstrings and blank lines; everything else as written."""
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


def members() -> dict[str, bytes]:
    """The sources of the codec by name, but for `__main__.py`, with which the zip begins."""
    paths = sorted(FOLDER.glob("*.py"))
    return {f"codec/{path.name}": strip(path.read_text("utf-8")).encode() for path in paths if path.name != START}


def packed() -> bytes:
    """The zip: nothing in it tells when, where or by whom it was made."""
    inner, out = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members().items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    start = strip((FOLDER / START).read_text("utf-8")).encode()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for name, content in ((START, start), ("codec.tar.bz2", bz2.compress(inner.getvalue()))):
            info = zipfile.ZipInfo(name)  # 1980-01-01
            info.create_system, info.external_attr = 3, 0o644 << 16
            file.writestr(info, content)
    return out.getvalue()


def unpacked(blob: bytes) -> tuple[bytes, bytes]:
    """What a packed zip holds: the start, and the tar of the sources."""
    with zipfile.ZipFile(io.BytesIO(blob)) as file:
        return file.read(START), bz2.decompress(file.read("codec.tar.bz2"))


@cache
def code() -> bytes:
    """The committed blob."""
    return BLOB.read_bytes()


def release(blob: bytes) -> str | None:
    """The name of the release whose code these bytes are, or None: then they are unknown, and not to be trusted."""
    return "this lmzip's own" if blob == code() else None


def is_current() -> bool:
    """Does the blob hold the code in the folder?"""
    return unpacked(code()) == unpacked(packed())


def main() -> None:
    if not BLOB.exists() or not is_current():
        BLOB.write_bytes(packed())
    blob = BLOB.read_bytes()
    print(f"{BLOB.name}: {len(blob):,} bytes, SHA-256 {hashlib.sha256(blob).hexdigest()}")


if __name__ == "__main__":
    main()
