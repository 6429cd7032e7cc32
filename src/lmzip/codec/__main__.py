"""Where `python FILE.lmz [OUT]` begins: unpack the codec beside this file in the zip, and run its receiver.

It runs from a real folder, for numba can't cache kernels of code inside a zip.
"""

import bz2
import hashlib
import importlib
import os
import sys
import zipfile


def unpacked(archive: str) -> str:
    """A private folder that holds the package `codec` of this archive."""
    with zipfile.ZipFile(archive) as code:
        blob = code.read("codec.bz2")
    files = dict(part.split(b"\n", 1) for part in bz2.decompress(blob).split(b"\0")[1:])  # by name: see pack.py
    cache: dict = {"__file__": archive, "__name__": "cache"}
    exec(files[b"cache.py"], cache)
    folder = cache["private_folder"]("code-" + hashlib.blake2b(blob, digest_size=12).hexdigest())
    os.makedirs(os.path.join(folder, "codec"), exist_ok=True)
    for name, content in files.items():
        path = os.path.join(folder, "codec", name.decode())
        if not os.path.exists(path):
            with open(f"{path}.{os.getpid()}", "wb") as file:
                file.write(content)
            os.replace(file.name, path)
    return folder


sys.path.insert(0, unpacked(sys.argv[0]))
importlib.import_module("codec.receive").main()
