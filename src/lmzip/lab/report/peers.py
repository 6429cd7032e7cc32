"""Other compressors beside ours: libraries that are at hand, and whatever commands are named. Sizes only."""

from __future__ import annotations

import importlib.util
import io
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...ledger import peers

TIMEOUT = 3600.0  # seconds


def parse(text: str) -> tuple[str, str]:
    """Name and command of `NAME=command {in} {out}`. Raises UsageError, also where there is no such program."""
    name, separator, command = text.partition("=")
    if not separator or not name.strip() or "{in}" not in command or "{out}" not in command:
        raise UsageError(f"{text!r} is no peer; write 'NAME=command {{in}} {{out}}'")
    try:
        program = shlex.split(command)[0]
    except ValueError as error:
        raise UsageError(f"{text!r} is no peer: {error}; write 'NAME=command {{in}} {{out}}'") from None
    if shutil.which(program) is None:
        raise UsageError(f"there is no program {program!r} for peer {name.strip()}; install it, or leave the peer out")
    return name.strip(), command.strip()


def sizes(data: bytes, commands: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Bytes of `data` by each; `bytes` is None where a command failed, and `error` says how."""
    rows: list[dict[str, Any]] = [{"name": name, "bytes": size} for name, size in peers(io.BytesIO(data)).items()]
    if importlib.util.find_spec("zstandard"):
        import zstandard  # extra: bench

        parameters = zstandard.ZstdCompressionParameters.from_level(
            22, window_log=27, enable_ldm=True, source_size=len(data)
        )
        size = len(zstandard.ZstdCompressor(compression_params=parameters).compress(data))
        rows.append({"name": "zstd -22 --ultra --long", "bytes": size})
    if importlib.util.find_spec("brotli"):
        import brotli  # extra: bench

        rows.append({"name": "brotli -q 11 -w 24", "bytes": len(brotli.compress(data, quality=11, lgwin=24))})
    return rows + [_run(name, command, data) for name, command in commands]


def _run(name: str, command: str, data: bytes) -> dict[str, Any]:
    """In a scratch folder; programs may add a suffix of their own to {out}."""
    row: dict[str, Any] = {"name": name, "command": command, "bytes": None}
    with tempfile.TemporaryDirectory(prefix="lmzip-peer-") as folder:
        original = Path(folder, "original")
        original.write_bytes(data)
        words = [word.replace("{in}", "original").replace("{out}", "archive") for word in shlex.split(command)]
        try:
            done = subprocess.run(words, cwd=folder, capture_output=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired) as error:
            return row | {"error": str(error)}
        archive = next(iter(sorted(Path(folder).glob("archive*"))), None)
        if done.returncode or archive is None:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            return row | {"error": f"status {done.returncode}: {lines[-1] if lines else 'wrote no archive'}"[:200]}
        return row | {"bytes": archive.stat().st_size}
