"""Where figures come from: command, commit, versions and machine, as the files in benchmarks/results hold them."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("lmzip", "torch", "numpy", "numba", "scipy", "matplotlib", "transformers", "brotli", "zstandard")
ROOT = Path(__file__).resolve().parents[3]


def about(words: Sequence[str]) -> dict[str, Any]:
    """Of the figures that this command line makes; words lose the folders of this machine."""
    return {
        "command": shlex.join(map(short, words)),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": versions(),
        "machine": machine(),
    }


def short(word: str) -> str:
    """A word of a command line without the folders of this machine."""
    return " ".join(part.rsplit("/", 1)[-1] for part in word.split(" "))


def commit() -> str:
    """The commit that is run, `+` behind it when the tree differs from it; "none" without a repository."""
    if not (ROOT / ".git").exists():
        return "none"
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def versions() -> dict[str, str]:
    """Of Python and of the packages that are there."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        text = Path("/proc/cpuinfo").read_text()
        model = next((line.split(":")[1].strip() for line in text.splitlines() if "model name" in line), model)
    known = hasattr(os, "sysconf")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if known else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
