"""A directory of transformers as a prior: config.json, safetensors, tokenizer.json; no code is run, no pickle read.

A header names it by a digest of everything that bears on a prediction: the version of the arithmetic, the architecture,
the table of tokens, every stored tensor, the precision of the weights and whether biases adapt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import pack, presets
from ..codec.message import Header
from ..errors import PriorError, UsageError
from . import families, table, tensors
from .families import BITS, Architecture
from .table import Table, Trie
from .tensors import Tensor

if TYPE_CHECKING:
    from ..options import EncodeOptions
    from ..session import Session

FORMAT = "lmzip-foreign 2"  # changes whenever a coded probability may
SENDERS = {"__init__", "tokens", "export"}  # modules of this folder that no receiver runs
PIECE = 1 << 24


@dataclass(frozen=True)
class ModelFiles:
    """A model's directory, read and checked, its weights not loaded."""

    path: Path
    architecture: Architecture
    table: Table
    tensors: dict[str, Tensor]
    identity: bytes
    size: int  # bytes of the files that it takes


@dataclass(frozen=True)
class Pretrained:
    """A directory with the options under which it predicts."""

    files: ModelFiles
    bits: int = 8
    adapt: bool = False
    rebuilt: None = None  # nobody can rebuild it from an archive

    @property
    def path(self) -> Path:
        return self.files.path

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def architecture(self) -> Architecture:
        return self.files.architecture

    @property
    def table(self) -> Table:
        return self.files.table

    @property
    def size(self) -> int:
        return self.files.size

    @cached_property
    def digest(self) -> bytes:
        options = f"{FORMAT}\nbits {self.bits}\nadapt {int(self.adapt)}\n".encode()
        return hashlib.blake2b(options + self.files.identity, digest_size=32).digest()

    @cached_property
    def trie(self) -> Trie:
        return self.table.trie()

    @cached_property
    def tokens(self) -> Any:
        """Cuts data into tokens; the sender's."""
        from .tokens import Tokens  # start-up: loads numba

        return Tokens(self.table, self.trie, self.architecture.vocabulary, self.path)

    @property
    def parameters(self) -> int:
        sizes = self.architecture
        attention = sizes.width * sizes.size * (2 * sizes.heads + 2 * sizes.shared)
        layer = attention + (2 + sizes.gated) * sizes.width * sizes.hidden
        return sizes.layers * layer + sizes.vocabulary * sizes.width

    @property
    def memory(self) -> int:
        """Bytes that coding with it takes, about, torch among them."""
        sizes = self.architecture
        cache = 8 * sizes.layers * sizes.shared * sizes.size * sizes.context
        rows = 128 * 4 * (2 * sizes.vocabulary + 8 * sizes.width + 4 * sizes.hidden)
        nodes = 17 * sum(map(len, self.table.tokens))
        largest = 8 * max(sizes.vocabulary * sizes.width, (1 + sizes.gated) * sizes.width * sizes.hidden)
        weights = (1 if self.bits == 8 else 2) * self.parameters + 20 * sizes.vocabulary
        return 250_000_000 + weights + cache + rows + nodes + largest

    @property
    def work(self) -> int:
        """Operations per byte, at the rate that limits.py assumes: as if every token were a single byte."""
        sizes = self.architecture
        attention = 2 * sizes.layers * sizes.heads * sizes.size * sizes.context
        return self.parameters * (1 if self.bits == 8 else 2) + attention + 20 * sizes.vocabulary + 1_000_000

    def header(self, options: EncodeOptions) -> Header:
        """The header of an archive that it predicts. Raises UsageError for options that don't go with it."""
        if options.seed is not None or options.replay is not None:
            raise UsageError("a model of transformers has no --seed and is not trained by --replay; leave them out")
        experts = presets.PRESETS[options.preset or "fast"][1] if options.experts is None else options.experts
        return self.archive_header(presets.EXPERTS[experts], options.frame_size, options.independent_frames)

    def archive_header(self, experts: Any, frame_size: int, independent_frames: bool = False) -> Header:
        """The same, with these ExpertSettings or without experts, None. Raises UsageError."""
        segment = 32
        try:
            header = Header(
                segment=segment, frame_size=max(segment, frame_size - frame_size % segment),
                independent_frames=independent_frames, experts=experts, prior=self.digest,
            )  # fmt: skip
            header.pack()
        except ValueError as error:
            raise UsageError(str(error)) from None
        return header

    def network(self, products: str | None = None) -> Any:
        """The network, its weights loaded and checked."""
        from .inference import Network  # start-up: loads numba

        weights = families.Weights(self.architecture, self.files.tensors, self.path)
        return Network(self.architecture, weights, self.bits, products)

    @cached_property
    def _networks(self) -> dict[str | None, Any]:
        return {}

    def lockstep(self, header: Header, session: Session) -> Any:
        """A predictor at its beginning. The weights are loaded once: nothing that a network remembers changes a bit."""
        from ..codec.cache import load_lockstep  # start-up: what follows loads numba

        load_lockstep()  # looks at numba's settings
        session.announce()
        session.load_torch(session.threads)
        from .lockstep import PretrainedLockstep  # start-up: loads numba

        products = session.products()
        if products not in self._networks:
            self._networks[products] = self.network(products)
        return PretrainedLockstep(header, self, self._networks[products])

    def code_size(self, header: Header) -> int:
        """Bytes of the code that a receiver of such an archive must run."""
        ours = [path for path in Path(__file__).parent.glob("*.py") if path.stem not in SENDERS]
        return len(pack.committed("whole")) + len(pack.squeezed(ours))

    def fingerprint(self) -> None:
        """Nobody knows the corpus."""
        return None

    def description(self) -> dict[str, str]:
        """Rows for people; loads and checks the weights. Raises PriorError."""
        self.network()
        sizes, tokens = self.architecture, self.table
        adaptation = "adaptation of the head" if self.adapt else "no adaptation"
        escaped = "" if tokens.complete else "; bytes that are no tokens are escaped"
        return {
            "digest": f"{self.digest.hex()}, with {self.bits} bits and {adaptation}",
            "stored": f"{self.size:,} bytes",
            "model": f"{sizes.family}, {self.parameters:,} parameters in {sizes.layers} layers, {sizes.width} wide",
            "window": f"{sizes.context:,} tokens of the model's {sizes.positions:,}",
            "tokens": f"{len(tokens.tokens):,} of {sizes.vocabulary:,} ids, {tokens.kind}{escaped}",
        }

    def as_dict(self) -> dict[str, Any]:
        """The same for programs."""
        return {"path": str(self.path), "stored": self.size, "digest": self.digest.hex()} | asdict(self.architecture)


def is_model(path: Path) -> bool:
    """Does this look like a model's directory?"""
    return path.is_dir() and (path / "config.json").is_file()


def read(path: Path) -> ModelFiles:
    """A model's directory, everything in it that matters hashed; raises PriorError if it is unsound or unsupported."""
    if not is_model(path):
        raise PriorError(f"{path} is no directory of transformers: it has no config.json")
    weights = tensors.tensors(path)
    paths = sorted({tensor.path for tensor in weights.values()} | {path / "config.json", path / table.FILE})
    return _read(path, tuple((str(file), *_stamp(file)) for file in paths))


@cache
def _read(path: Path, stamps: tuple[tuple[str, int, int], ...]) -> ModelFiles:
    """A model's directory; hashed once while names, sizes and times of its files, the stamps, stay the same."""
    architecture, weights = families.architecture(path), tensors.tensors(path)
    tokens = table.read(path, architecture.vocabulary)
    identity, size = _identity(architecture, tokens, weights), sum(stamp[1] for stamp in stamps)
    return ModelFiles(path, architecture, tokens, weights, identity, size)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _identity(architecture: Architecture, tokens: Table, weights: dict[str, Tensor]) -> bytes:
    """Digest of the architecture, the table and every tensor's name, type, shape and bytes."""
    state = hashlib.blake2b(json.dumps(asdict(architecture), sort_keys=True).encode() + b"\n", digest_size=32)
    packed = tokens.packed()
    state.update(b"%d\n" % len(packed) + packed)
    for name in sorted(weights):
        tensor = weights[name]
        state.update(f"{name} {tensor.kind} {tensor.shape}\n".encode())
        raw = tensor.raw
        for start in range(0, len(raw), PIECE):
            state.update(np.ascontiguousarray(raw[start : start + PIECE]).data)
    return state.digest()


def open_model(path: Path, bits: int = 8, adapt: str = "none") -> Pretrained:
    """The model of a directory, with options of encode. Raises PriorError if it is unsound or unsupported."""
    return Pretrained(read(path), bits, adapt == "head")


def variants(files: ModelFiles) -> Iterator[Pretrained]:
    """The model under all options there are."""
    for bits in BITS:
        for adapt in (False, True):
            yield Pretrained(files, bits, adapt)


# As a source of knowledge, see prior/registry.py


def open_named(name: str, places: list[Path], bits: int | None, adapt: str | None) -> Pretrained | None:
    """The model in this directory; they have no other names."""
    return open_model(Path(name), bits or 8, adapt or "none") if Path(name).is_dir() else None


def find(digest: bytes, places: list[Path]) -> Pretrained | None:
    """The model of this digest among directories, and directories in them."""
    for path in _directories(places):
        try:
            files = read(path)
        except PriorError:
            continue
        for pretrained in variants(files):
            if pretrained.digest == digest:
                return pretrained
    return None


def listed(places: list[Path]) -> Iterator[Pretrained]:
    """None: what a directory holds is known once all of it was hashed, which a list is not worth."""
    return iter(())


def _directories(places: Iterable[Path]) -> Iterator[Path]:
    for place in filter(Path.is_dir, places):
        yield from filter(is_model, [place, *sorted(place.iterdir())])
