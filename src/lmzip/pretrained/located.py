"""Where a GGUF file is: the file itself, the only one of a folder, or what a manifest of ollama's store names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..errors import PriorError
from .configuration import refused
from .gguf import is_gguf

SUFFIX = ".gguf"
MANIFEST_LIMIT = 1 << 16
LAYER = "application/vnd.ollama.image."
DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")


def gguf_file(path: Path) -> Path | None:
    """The GGUF file that a path means; None: none. Raises PriorError for a manifest that can't be followed."""
    if path.is_dir():
        files = [file for file in path.glob(f"*{SUFFIX}") if is_gguf(file)]
        return files[0] if len(files) == 1 else None
    if is_gguf(path):
        return path
    manifest = _manifest(path)
    return None if manifest is None else _blob(path, manifest)


def _manifest(path: Path) -> list[dict[str, Any]] | None:
    """Layers of a manifest of ollama's store; None: this is none."""
    try:
        if not path.is_file() or path.stat().st_size > MANIFEST_LIMIT:
            return None
        layers = json.loads(path.read_bytes())["layers"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        return None
    return layers if any(layer.get("mediaType") == f"{LAYER}model" for layer in layers) else None


def _blob(path: Path, layers: list[dict[str, Any]]) -> Path:
    """The file of a manifest's model: in the folder `blobs` of the store that the manifest is in. Raises PriorError."""
    models = [layer for layer in layers if layer.get("mediaType") == f"{LAYER}model"]
    if len(models) != 1 or any(layer.get("mediaType") == f"{LAYER}adapter" for layer in layers):
        raise refused(path, "a manifest of several models, or of an adapter,")
    digest = DIGEST.fullmatch(str(models[0].get("digest")))
    if digest is None:
        raise PriorError(f"{path} names no blob by its sha256")
    for folder in path.resolve().parents:
        blob = folder / "blobs" / f"sha256-{digest[1]}"
        if is_gguf(blob):
            return blob
    raise PriorError(f"{path} names the blob sha256-{digest[1]}, which no folder blobs above it holds as GGUF")
