"""A pretrained model as a prior: a directory of transformers, or a GGUF file; no code is run, no pickle read.

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

from .. import pack, presets
from ..codec.message import Header
from ..errors import PriorError, UsageError
from ..prior.model_options import ModelOptions
from . import digests, families, gguf, located, table, tensors, translation
from .families import BITS, WINDOWS, Architecture
from .table import Table, Trie
from .tensors import Tensor

if TYPE_CHECKING:
    from ..options import EncodeOptions
    from ..session import Session

FORMAT = "lmzip-pretrained 2"  # changes whenever a coded probability may
SENDERS = {"__init__", "tokens", "tokenizer", "export"}  # modules of this folder that no receiver runs


@dataclass(frozen=True)
class ModelFiles:
    """A model's directory or GGUF file, read and checked, its weights not loaded."""

    path: Path
    architecture: Architecture
    table: Table
    tensors: dict[str, Tensor]
    identity: bytes
    size: int  # bytes of the files that it takes


@dataclass(frozen=True)
class Pretrained:
    """A model with the options under which it predicts."""

    files: ModelFiles
    bits: int = 8
    adapt: bool = False
    window: int = families.CONTEXT  # positions that one sees, itself included, where the model was made for so many
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
        options = f"{FORMAT}\nbits {self.bits}\nadapt {int(self.adapt)}\nwindow {self.context}\n".encode()
        return hashlib.blake2b(options + self.files.identity, digest_size=32).digest()

    @property
    def context(self) -> int:
        """Positions that one sees, itself included."""
        return min(self.window, self.architecture.positions)

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

    def memory(self, streams: int = 1) -> int:
        """Bytes that coding with it takes, about."""
        sizes = self.architecture
        held = (1 if self.bits == 8 else 2) * sizes.size + 4  # of a position's key, or value
        cache = 2 * held * sizes.layers * sizes.shared * (self.context + 256) * streams
        rows = 128 * 4 * (2 * sizes.vocabulary + 8 * sizes.width + 4 * sizes.hidden)
        nodes = 17 * sum(map(len, self.table.tokens))
        largest = 8 * max(sizes.vocabulary * sizes.width, (1 + sizes.gated) * sizes.width * sizes.hidden)
        weights = (1 if self.bits == 8 else 2) * self.parameters + 20 * sizes.vocabulary
        return 250_000_000 + weights + cache + rows + nodes + largest

    @property
    def work(self) -> int:
        """Operations per byte, at the rate that limits.py assumes: as if every token were a single byte."""
        sizes = self.architecture
        attention = 2 * sizes.layers * sizes.heads * sizes.size * self.context
        return self.parameters * (1 if self.bits == 8 else 2) + attention + 20 * sizes.vocabulary + 1_000_000

    def header(self, options: EncodeOptions) -> Header:
        """The header of an archive that it predicts. Raises UsageError for options that don't go with it."""
        if options.seed is not None or options.replay is not None:
            raise UsageError("a model of transformers has no --seed and is not trained by --replay; leave them out")
        experts = presets.PRESETS[options.preset or "fast"][1] if options.experts is None else options.experts
        return self.archive_header(
            presets.EXPERTS[experts], options.frame_size, options.independent_frames, options.streams or 1
        )

    def archive_header(
        self, experts: Any, frame_size: int, independent_frames: bool = False, streams: int = 1
    ) -> Header:
        """The same, with these ExpertSettings or without experts, None. Raises UsageError."""
        segment = 32
        together = streams * segment
        try:
            header = Header(
                streams=streams, segment=segment, frame_size=max(together, frame_size - frame_size % together),
                independent_frames=independent_frames, experts=experts, prior=self.digest,
            )  # fmt: skip
            header.pack()
        except ValueError as error:
            raise UsageError(str(error)) from None
        return header

    @cached_property
    def _networks(self) -> dict[str, Any]:
        return {}

    def network(self, device: str = "cpu") -> Any:
        """The network, its weights loaded and checked once; what it remembers lies in windows, so one serves all."""
        if device not in self._networks:
            self._networks[device] = self._loaded(device)
        return self._networks[device]

    def _loaded(self, device: str) -> Any:
        from . import numbers, product  # start-up: loads numba
        from .inference import Network, context_and_span  # start-up: loads numba

        weights, products = families.Weights(self.architecture, self.files.tensors, self.path), None
        if device != "cpu":
            from ..accel.panels import products_of  # start-up: loads torch

            products = products_of(device)
        span = context_and_span(self.architecture, self.window)[1]
        held = numbers.of_model(self.architecture, weights, self.files.identity, self.bits, span)
        return Network(
            self.architecture, held, weights.embedding(), self.bits, self.window, products or product.multiply
        )

    def lockstep(self, header: Header, session: Session) -> Any:
        """A predictor at its beginning."""
        from ..codec.cache import load_lockstep  # start-up: what follows loads numba

        load_lockstep()  # looks at numba's settings
        session.announce()
        from .lockstep import PretrainedLockstep  # start-up: loads numba

        return PretrainedLockstep(header, self, self.network(session.device))

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
            "window": f"{self.context:,} tokens of the model's {sizes.positions:,}",
            "tokens": f"{len(tokens.tokens):,} of {sizes.vocabulary:,} ids, {tokens.kind}{escaped}",
        }

    def as_dict(self) -> dict[str, Any]:
        """The same for programs."""
        return {"path": str(self.path), "stored": self.size, "digest": self.digest.hex()} | asdict(self.architecture)


def is_model(path: Path) -> bool:
    """Does this look like a model: its directory, a GGUF file, or what leads to one, soundly or not?"""
    try:
        return _is_directory(path) or located.gguf_file(path) is not None
    except PriorError:
        return True


def read(path: Path) -> ModelFiles:
    """A model, everything in it that matters hashed; raises PriorError if it is unsound or unsupported."""
    if _is_directory(path):
        weights = tensors.tensors(path)
        files = {tensor.path for tensor in weights.values()} | {path / families.CONFIGURATION, path / table.FILE}
        return _read(path, digests.stamps(files))
    file = located.gguf_file(path)
    if file is None:
        raise PriorError(f"{path} is no directory of transformers (it has no config.json) and no GGUF file")
    return _read(file, digests.stamps({file}))


def _is_directory(path: Path) -> bool:
    """Is it one of transformers, and not a GGUF file with a configuration beside it?"""
    weights = any((path / name).is_file() for name in (tensors.INDEX, tensors.SINGLE))
    return (path / families.CONFIGURATION).is_file() and (weights or located.gguf_file(path) is None)


@cache
def _read(path: Path, stamps: tuple[digests.Stamp, ...]) -> ModelFiles:
    """A model; hashed once while names, sizes and times of its files, the stamps, stay the same."""
    if path.is_file():
        file = gguf.read(path)
        architecture = translation.architecture(file)
        weights = translation.tensors(file, architecture)
        tokens = table.made(translation.vocabulary(file), architecture.vocabulary, path)
    else:
        architecture, weights = families.architecture(path), tensors.tensors(path)
        tokens = table.read(path, architecture.vocabulary)
    about = json.dumps(asdict(architecture), sort_keys=True).encode() + b"\n"
    packed = tokens.packed()
    identity = digests.digest(about + b"%d\n" % len(packed) + packed, weights, stamps)
    return ModelFiles(path, architecture, tokens, weights, identity, sum(stamp.size for stamp in stamps))


def open_model(path: Path, bits: int = 8, adapt: str = "none", window: int = families.CONTEXT) -> Pretrained:
    """The model of a directory or file, with options of encode. Raises PriorError if it is unsound or unsupported."""
    return Pretrained(read(path), bits, adapt == "head", window)


def variants(files: ModelFiles) -> Iterator[Pretrained]:
    """The model under all options there are."""
    for bits in BITS:
        for adapt in (False, True):
            for window in WINDOWS:
                yield Pretrained(files, bits, adapt, window)


# As a source of knowledge, see prior/registry.py


def open_named(name: str, places: list[Path], how: ModelOptions) -> Pretrained | None:
    """The model in this directory or file; they have no other names. Raises UsageError for a window it has not."""
    path = Path(name)
    if not path.is_dir() and not is_model(path):
        return None
    model = open_model(path, how.bits or 8, how.adapt or "none", how.window or families.CONTEXT)
    if how.window is not None and how.window > model.context:
        raise UsageError(f"--window {how.window} is more than the {model.context:,} tokens that the model was made for")
    return model


def find(digest: bytes, places: list[Path]) -> Pretrained | None:
    """The model of this digest among these paths, and what lies in them."""
    for path in models(places):
        try:
            files = read(path)
        except PriorError:
            continue
        for pretrained in variants(files):
            if pretrained.digest == digest:
                return pretrained
    return None


def listed(places: list[Path]) -> Iterator[Pretrained]:
    """None: what a model is, is known once all of it was hashed, which a list is not worth."""
    return iter(())


def models(places: Iterable[Path]) -> Iterator[Path]:
    """What looks like a model among these paths, and what lies in them."""
    for place in filter(Path.exists, places):
        yield from filter(is_model, [place, *(sorted(place.iterdir()) if place.is_dir() else [])])
