"""Decode golden archives with whatever Python and libraries run this: python tests/golden/check.py [PATTERN …]"""

import platform
import sys
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import lmzip

HERE = Path(__file__).parent


def version(package: str) -> str:
    return f"{package} {metadata.version(package)}" if package in sys.modules else f"no {package}"


def main() -> None:
    patterns = sys.argv[1:] or ["*"]
    archives = [path for path in sorted(HERE.glob("*.lmz")) if any(fnmatch(path.stem, p) for p in patterns)]
    for path in archives:
        original = HERE.joinpath(path.name.partition(".")[0]).read_bytes()
        if lmzip.decompress(path.read_bytes()) != original:
            sys.exit(f"{path.name} does not come back")
        print(path.name, "came back", flush=True)
    libraries = ", ".join(map(version, ("numpy", "numba", "torch")))
    print(f"{len(archives)} archives: {platform.machine()}, Python {platform.python_version()}, {libraries}")


if __name__ == "__main__":
    main()
