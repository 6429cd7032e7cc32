"""The compressors lmzip is measured beside: commands with {in} and {out}, run in a scratch folder.

Libraries are called through this file (`python peers.py 'xz -9e' encode IN OUT`), so that every compressor is one child
process whose CPU time and memory the kernel counts; the interpreter's own start (about 0.05 s, 10 MB) is in their
figures, as it is in lmzip's. A name is a setting: what the tables name is what this file runs.

What is best differs by file, so a compressor stands here with several settings, and the table of sizes takes the best
of each `family`. All run on one thread, windows and blocks as large as any file of the corpus. PPMd is 7-Zip's: the
binding pyppmd 1.3.1 did not give the bytes back on 4 of 15 corpus files, at order 16 or at 8. OpenZL's wheel (openzl
0.3.0) is not here: without a graph it compresses nothing, and with those it has for bytes of any kind (Compress, Zstd)
its frames are zstd's of the same level plus 27 bytes.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Compressor:
    """One row of the table. `decode` is None where only the size is wanted."""

    name: str
    encode: str
    decode: str | None
    program: str | None = None  # the executable that the receiver needs; its size stands beside the result
    is_lmzip: bool = False
    prior: str | None = None  # the file of lmzip's prior: its size is not in the archive's, which is conditional


@dataclass(frozen=True)
class Library:
    """A setting of a library: the module that is called, and the options that this setting adds to the strongest."""

    module: str
    options: dict[str, Any] = field(default_factory=dict)


def _ppmd(order: int, variant: str = "I") -> tuple[str, str]:
    """PPMd of 7-Zip: variant H in its own container, I in a zip; memory enough for a model that is never begun anew."""
    kind, method = ("7z", "m0=PPMd:") if variant == "H" else ("zip", "mm=PPMd:")
    return (
        f"7zz a -t{kind} -{method}o={order}:mem=256m -mmt=1 -bd {{out}}.{kind} {{in}}",
        "7zz e -y -bd -so {in} original > {out}",
    )


# Programs taken when they are on PATH.
PROGRAMS = {
    "zpaq -m5": ("zpaq add {out} {in} -m5 -t1", "zpaq extract {in} original -to {out} -force -t1"),
    "bsc -e2": ("bsc e {in} {out} -b100 -e2 -T", "bsc d {in} {out} -T"),
    "bzip3 -b 100": ("bzip3 -e -f -b 100 {in} {out}", "bzip3 -d -f {in} {out}"),
    "7zz LZMA2 ultra": ("7zz a -mx=9 -mmt=1 -bd {out}.7z {in}", "7zz e -y -bd -so {in} original > {out}"),
    **{f"7zz PPMd -o{order} -m256 zip": _ppmd(order) for order in (4, 6, 8, 12, 16)},
    "7zz PPMd -o8 -m256": _ppmd(8, "H"),
    "7zz PPMd -o16 -m256": _ppmd(16, "H"),
    "lpaq1 9": ("lpaq1 9 {in} {out}", "lpaq1 d {in} {out}"),
    "paq8px -8": ("paq8px -8 {in} {out}", "paq8px -d {in} {out}"),
    "cmix": ("cmix -c {in} {out}", "cmix -d {in} {out}"),
    "lstm-compress": ("lstm-compress -c {in} {out}", "lstm-compress -d {in} {out}"),
}
SLOW = {"paq8px -8", "cmix", "lstm-compress"}  # under 10 KB/s: only when named

# The binding zpaq (PyPI, 0.3.7) cuts its input into as many blocks as there are processors unless told `threads=1`:
# one block gives the size that every machine gives. Its method says what the file is (block size 6: 64 MB, redundancy,
# which level 5 does not look at, then 0, 1 for text or 2 for code of x86), where level 5 guesses from the input.
LIBRARIES = {
    "gzip -9": Library("gzip"),
    "bzip2 -9": Library("bz2"),
    "xz -9e": Library("lzma"),
    "xz -9e pb=0": Library("lzma", {"pb": 0}),
    "xz -9e lc=4 pb=0": Library("lzma", {"lc": 4, "pb": 0}),
    "xz -9e lp=1 pb=1": Library("lzma", {"lp": 1, "pb": 1}),
    "xz -9e x86": Library("lzma", {"x86": True}),
    "zstd -22 --ultra --long": Library("zstandard", {"enable_ldm": True}),
    "brotli -q 11 -w 24": Library("brotli"),
    "zpaq -m5 binding": Library("zpaq", {"method": "56,0,0"}),
    "zpaq -m5 binding text": Library("zpaq", {"method": "56,0,1"}),
    "zpaq -m5 binding exe": Library("zpaq", {"method": "56,0,2"}),
}


def version(library: Library) -> dict[str, str]:
    """Of the module's package, by its name; the standard library is named by Python's."""
    try:
        return {library.module: importlib.metadata.version(library.module)}
    except importlib.metadata.PackageNotFoundError:
        return {}


def family(name: str) -> str:
    """What the settings of one compressor have in common: the column that the best of them stands in."""
    words = name.split()
    return " ".join(words[:2]) if words[0] in ("7zz", "lmzip") else words[0]


def available() -> tuple[list[Compressor], list[str]]:
    """Every peer that this machine has, and the names of those it lacks."""
    present, missing = [], []
    for name, library in LIBRARIES.items():
        if importlib.util.find_spec(library.module) is None:
            missing.append(name)
            continue
        call = shlex.join([sys.executable, __file__, name])
        present.append(Compressor(name, f"{call} encode {{in}} {{out}}", f"{call} decode {{in}} {{out}}"))
    for name, (encode, decode) in PROGRAMS.items():
        program = shutil.which(encode.split()[0])
        if program is None:
            missing.append(name)
        else:
            present.append(Compressor(name, encode, decode, program))
    return present, missing


def parse(text: str) -> Compressor:
    """A peer from the command line: `NAME=encode {in} {out}` or `NAME=encode {in} {out} :: decode {in} {out}`."""
    name, separator, commands = text.partition("=")
    encode, _, decode = commands.partition(" :: ")
    if not separator or "{in}" not in encode or "{out}" not in encode:
        raise ValueError(f"not a peer: {text!r}; write 'NAME=encode {{in}} {{out}} :: decode {{in}} {{out}}'")
    program = shutil.which(shlex.split(encode)[0])
    return Compressor(name.strip(), encode.strip(), decode.strip() or None, program)


def call_library(name: str, direction: str, data: bytes) -> bytes:
    """Code `data` with one setting of LIBRARIES; `direction` is encode or decode. Raises KeyError for another name."""
    library, encode = LIBRARIES[name], direction == "encode"
    return _CODERS[library.module](data, encode, **library.options)


def _gzip(data: bytes, encode: bool) -> bytes:
    import gzip

    return gzip.compress(data, 9, mtime=0) if encode else gzip.decompress(data)


def _bz2(data: bytes, encode: bool) -> bytes:
    import bz2

    return bz2.compress(data, 9) if encode else bz2.decompress(data)


def _lzma(data: bytes, encode: bool, x86: bool = False, **options: int) -> bytes:
    import lzma

    if not encode:
        return lzma.decompress(data)
    filters: list[dict[str, Any]] = [{"id": lzma.FILTER_X86}] if x86 else []
    filters.append({"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, **options})
    return lzma.compress(data, filters=filters)


def _zstd(data: bytes, encode: bool, **options: Any) -> bytes:
    import zstandard

    if not encode:
        return zstandard.ZstdDecompressor(max_window_size=1 << 27).decompress(data)
    parameters = zstandard.ZstdCompressionParameters.from_level(22, window_log=27, source_size=len(data), **options)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def _brotli(data: bytes, encode: bool) -> bytes:
    import brotli

    return brotli.compress(data, quality=11, lgwin=24) if encode else brotli.decompress(data)


def _zpaq(data: bytes, encode: bool, **options: Any) -> bytes:
    import zpaq

    return zpaq.compress(data, threads=1, **options) if encode else zpaq.decompress(data, threads=1)


_CODERS = {"gzip": _gzip, "bz2": _bz2, "lzma": _lzma, "zstandard": _zstd, "brotli": _brotli, "zpaq": _zpaq}


if __name__ == "__main__":
    _, name, direction, source, target = sys.argv
    with open(source, "rb") as file:
        result = call_library(name, direction, file.read())
    with open(target, "wb") as file:
        file.write(result)
