"""The compressors lmzip is measured beside: commands with {in} and {out}, run in a scratch folder.

Libraries are called through this file (`python peers.py xz encode IN OUT`), so that every compressor is one child
process whose CPU time and memory the kernel counts; the interpreter's own start (about 0.05 s, 10 MB) is in their
figures, as it is in lmzip's.
"""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Compressor:
    """One row of the table. `decode` is None where only the size is wanted."""

    name: str
    encode: str
    decode: str | None
    program: str | None = None  # the executable that the receiver needs; its size stands beside the result
    is_lmzip: bool = False
    prior: str | None = None  # the file of lmzip's prior: its size is not in the archive's, which is conditional


# Programs taken when they are on PATH, each at its strongest usual setting and on one thread. PPMd is 7-Zip's: the
# binding pyppmd 1.3.1 did not give the bytes back on 4 of 15 corpus files, at order 16 or at 8.
PROGRAMS = {
    "zpaq -m5": ("zpaq add {out} {in} -m5 -t1", "zpaq extract {in} original -to {out} -force -t1"),
    "bsc -e2": ("bsc e {in} {out} -b100 -e2 -T", "bsc d {in} {out} -T"),
    "bzip3 -b 100": ("bzip3 -e -f -b 100 {in} {out}", "bzip3 -d -f {in} {out}"),
    "7zz LZMA2 ultra": ("7zz a -mx=9 -mmt=1 -bd {out}.7z {in}", "7zz e -y -bd -so {in} original > {out}"),
    "7zz PPMd -o16 -m256": (
        "7zz a -m0=PPMd:o=16:mem=256m -mmt=1 -bd {out}.7z {in}",
        "7zz e -y -bd -so {in} original > {out}",
    ),
    "lpaq1 9": ("lpaq1 9 {in} {out}", "lpaq1 d {in} {out}"),
    "paq8px -8": ("paq8px -8 {in} {out}", "paq8px -d {in} {out}"),
    "cmix": ("cmix -c {in} {out}", "cmix -d {in} {out}"),
    "lstm-compress": ("lstm-compress -c {in} {out}", "lstm-compress -d {in} {out}"),
}
SLOW = {"paq8px -8", "cmix", "lstm-compress"}  # under 10 KB/s: only when named

LIBRARIES = {
    "gzip -9": ("gzip", "gzip"),
    "bzip2 -9": ("bz2", "bz2"),
    "xz -9e": ("lzma", "lzma"),
    "zstd -22 --ultra --long": ("zstd", "zstandard"),
    "brotli -q 11 -w 24": ("brotli", "brotli"),
}


def available() -> tuple[list[Compressor], list[str]]:
    """Every peer that this machine has, and the names of those it lacks."""
    found, missing = [], []
    for name, (library, module) in LIBRARIES.items():
        if importlib.util.find_spec(module) is None:
            missing.append(name)
            continue
        call = f"{shlex.quote(sys.executable)} {shlex.quote(__file__)} {library}"
        found.append(Compressor(name, f"{call} encode {{in}} {{out}}", f"{call} decode {{in}} {{out}}"))
    for name, (encode, decode) in PROGRAMS.items():
        program = shutil.which(encode.split()[0])
        if program is None:
            missing.append(name)
        else:
            found.append(Compressor(name, encode, decode, program))
    return found, missing


def parse(text: str) -> Compressor:
    """A peer from the command line: `NAME=encode {in} {out}` or `NAME=encode {in} {out} :: decode {in} {out}`."""
    name, separator, commands = text.partition("=")
    encode, _, decode = commands.partition(" :: ")
    if not separator or "{in}" not in encode or "{out}" not in encode:
        raise ValueError(f"not a peer: {text!r}; write 'NAME=encode {{in}} {{out}} :: decode {{in}} {{out}}'")
    program = shutil.which(shlex.split(encode)[0])
    return Compressor(name.strip(), encode.strip(), decode.strip() or None, program)


def call_library(library: str, direction: str, data: bytes) -> bytes:
    """Code `data` with one library at its strongest setting."""
    encode = direction == "encode"
    if library == "gzip":
        import gzip

        return gzip.compress(data, 9, mtime=0) if encode else gzip.decompress(data)
    if library == "bz2":
        import bz2

        return bz2.compress(data, 9) if encode else bz2.decompress(data)
    if library == "lzma":
        import lzma

        return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME) if encode else lzma.decompress(data)
    if library == "zstd":
        import zstandard

        if not encode:
            return zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress(data)
        parameters = zstandard.ZstdCompressionParameters.from_level(
            22, window_log=27, enable_ldm=True, source_size=len(data)
        )
        return zstandard.ZstdCompressor(compression_params=parameters).compress(data)
    if library == "brotli":
        import brotli

        return brotli.compress(data, quality=11, lgwin=24) if encode else brotli.decompress(data)
    raise ValueError(f"unknown library {library!r}")


if __name__ == "__main__":
    _, library, direction, source, target = sys.argv
    with open(source, "rb") as file:
        result = call_library(library, direction, file.read())
    with open(target, "wb") as file:
        file.write(result)
