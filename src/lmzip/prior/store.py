"""Priors as files: a safetensors file with a manifest, where they are looked for, and how one is read with suspicion.

A prior is data, never code: arrays and JSON. It is known by the digest of its settings and arrays, 32 bytes, which the
header of an archive names; the manifest beside them is for people and for the ledger, and nothing coded depends on it.
Arrays that zlib makes smaller are stored as it made them; the digest is that of what comes out.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import pack, presets
from ..codec.cache import source_digest
from ..codec.message import Header, Reader, VersionError
from ..errors import PriorError, UsageError
from ..limits import Cost
from ..pretrained.located import gguf_file
from .fingerprint import LENGTH, SAMPLED
from .model_options import USUAL, ModelOptions

if TYPE_CHECKING:
    from ..options import EncodeOptions
    from ..session import Session

SUFFIX = ".prior"
EXPORTED = "model.safetensors"  # a prior in a directory of its own, see pretrained/export.py
FORMAT = "lmzip-prior"
VERSION = 1
SMALL, WORTH = 1024, 0.75  # zlib is not tried on fewer bytes, and must take a quarter off: reading it takes time
MANIFEST_LIMIT, TENSORS_LIMIT = 1 << 16, 1 << 12
FINGERPRINT = "fingerprint"  # the one array that is no part of the state
LOADER = Path(__file__).with_name("state.py")  # turns a prior's arrays into a state
KINDS = {"|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4", "<i8", "<f4", "<f8"}  # of arrays, as numpy spells them
STORED = {"U8", "U16", "U32", "U64", "I8", "I16", "I32", "I64", "F32", "F64"}  # and as safetensors does


def settings(header: Header) -> Header:
    """Of a header what a prior is made for: all but the frames' size and independence."""
    together = header.streams * header.segment
    return replace(header, frame_size=together, independent_frames=False, prior=None)


def digest(header: Header, packed: dict[str, np.ndarray]) -> bytes:
    """What a prior is known by, 32 bytes: of its settings, and of every array's name, type, shape and bytes."""
    state = hashlib.blake2b(f"{FORMAT} {VERSION}\n".encode() + settings(header).pack(), digest_size=32)
    for name in sorted(packed):
        array = np.ascontiguousarray(packed[name], packed[name].dtype.newbyteorder("<"))
        state.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        state.update(array.reshape(-1).view(np.uint8).data)
    return state.digest()


@dataclass(frozen=True)
class Manifest:
    """What is said of a prior. Digests in hexadecimal, lengths in bytes; nothing coded depends on any of it."""

    state: str  # the digest it is known by
    settings: str  # a message's header
    corpus: str  # the digest of the corpus, as in the footer of its archive
    length: int  # of the corpus
    transcript: int  # of the corpus
    rebuilt: int  # the corpus's archive without code: what it takes to rebuild this prior
    codec: str  # digest of the codec's source that made it
    version: str  # of the lmzip that made it
    strings: int = LENGTH  # what the fingerprint holds hashes of, see fingerprint.py
    sampled: int = SAMPLED
    licence: str = ""
    source: str = ""

    BOUNDS: ClassVar[dict[str, int]] = {"state": 64, "settings": 2048, "corpus": 32, "codec": 64, "version": 64}

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Raises ValueError, KeyError or TypeError."""
        if len(text) > MANIFEST_LIMIT:
            raise ValueError("its manifest is too long")
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("its manifest is no object")
        for field in fields(cls):
            value = values[field.name]
            if field.type == "int" and not (type(value) is int and 0 <= value < 1 << 62):
                raise ValueError(f"{field.name} is no length")
            if field.type == "str" and not (isinstance(value, str) and len(value) <= cls.BOUNDS.get(field.name, 4096)):
                raise ValueError(f"{field.name} is no text, or too long")
        for name in ("state", "settings", "corpus"):
            bytes.fromhex(values[name])
        if len(values["state"]) != 64:
            raise ValueError("its digest is cut")
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def header(self) -> Header:
        """The settings. Raises ValueError."""
        packed = bytes.fromhex(self.settings)
        header = Reader(io.BytesIO(packed)).read_header()
        if header != settings(header) or header.pack() != packed:
            raise ValueError("they are not a prior's settings")
        return header


@dataclass(frozen=True)
class Prior:
    """A prior's file, of which the manifest has been read and nothing else."""

    path: Path
    size: int
    manifest: Manifest
    settings: Header  # frames' size and independence apart
    squeezed: dict[str, tuple[str, tuple[int, ...]]]  # type and shape of arrays stored as zlib made them

    work: ClassVar[int] = 0  # operations for every byte, beyond those of the settings

    @property
    def rebuilt(self) -> int:
        """Bytes of the archive that it can be rebuilt from."""
        return self.manifest.rebuilt

    def memory(self, streams: int = 1) -> int:
        """Bytes that its file and its arrays take, at most, while it is read."""
        return 2 * self.size + sum(_bytes(*what) for what in self.squeezed.values())

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.manifest.state)

    @property
    def name(self) -> str:
        return self.path.resolve().parent.name if self.path.name == EXPORTED else self.path.name.removesuffix(SUFFIX)

    def arrays(self) -> dict[str, np.ndarray]:
        """Its arrays, compared with its digest; the fingerprint is among them no more. Raises PriorError."""
        with _opened(self.path) as file:
            packed = {name: self._array(name, file) for name in file.keys() if name != FINGERPRINT}  # noqa: SIM118
        if digest(self.settings, packed) != self.digest:
            raise PriorError(f"{self.path} is damaged: its digest is another; get it again, or rebuild it")
        return packed

    def _array(self, name: str, file: Any) -> np.ndarray:
        stored = file.get_tensor(name)
        if name not in self.squeezed:
            return stored
        kind, shape = self.squeezed[name]
        stream, size = zlib.decompressobj(), _bytes(kind, shape)
        try:
            data = stream.decompress(stored.tobytes(), size + 1)
        except zlib.error:
            data = b""
        if len(data) != size or not stream.eof:
            raise PriorError(f"{self.path} is damaged: {name} is not as long as it says")
        return np.frombuffer(data, kind).reshape(shape)

    def fingerprint(self) -> np.ndarray:
        """Hashes of strings of its corpus, see fingerprint.py. Raises PriorError."""
        if (self.manifest.strings, self.manifest.sampled) != (LENGTH, SAMPLED):
            raise PriorError(f"{self.path}: its fingerprint is of another kind")
        with _opened(self.path) as file:
            strings = file.get_tensor(FINGERPRINT)
        if strings.dtype != np.uint32 or strings.ndim != 1:
            raise PriorError(f"{self.path}: its fingerprint makes no sense")
        return strings

    def begin(self, state: Any) -> None:
        """Bring a fresh predictor of the same settings to where the prior ends. Raises PriorError."""
        from .state import restore  # start-up: loads numba

        if settings(state.header) != self.settings:
            raise PriorError(f"the archive names prior {self.manifest.state[:16]}, but has other settings than it")
        try:
            restore(state, self.arrays())
        except KeyError as error:
            raise PriorError(f"{self.path} can't be used: it lacks {error}; rebuild it") from error
        except ValueError as error:
            raise PriorError(f"{self.path} can't be used: {error}; rebuild it with this lmzip") from error

    def lockstep(self, header: Header, session: Session) -> Any:
        """A predictor where the prior ends; see Knowledge."""
        state = session.fresh(header)
        self.begin(state)
        return state

    def header(self, options: EncodeOptions) -> Header:
        """The header of an archive that builds on this prior. Raises UsageError for other settings than its own."""
        self._check(options)
        return self.archive_header(options.frame_size, options.independent_frames)

    def archive_header(self, frame_size: int, independent_frames: bool = False) -> Header:
        """The same, from what a prior leaves open. Raises UsageError."""
        ours = self.settings
        together = ours.streams * ours.segment
        size = max(together, frame_size - frame_size % together)
        try:
            result = replace(ours, frame_size=size, independent_frames=independent_frames, prior=self.digest)
            result.pack()
            return result
        except ValueError as error:
            raise UsageError(str(error)) from None

    def _check(self, options: EncodeOptions) -> None:
        """Raises UsageError if options ask for other settings than the prior's."""
        ours, preset, experts, replay, asked = self.settings, options.preset, options.experts, options.replay, []
        if preset is not None:
            wanted = settings(presets.header(preset, experts=experts, replay=replay, seed=ours.seed))
            if wanted != ours:
                asked.append(f"preset {preset}" + (" with these options" if experts or replay is not None else ""))
        elif experts is not None and presets.EXPERTS.get(experts) != ours.experts:
            asked.append(f"experts {experts}")
        elif replay is not None and replay != ours.replay:
            asked.append(f"replay {replay}")
        if options.seed is not None and options.seed != ours.seed:
            asked.append(f"seed {options.seed}")
        if options.streams is not None and options.streams != ours.streams:
            asked.append(f"streams {options.streams}")
        if asked:
            raise UsageError(
                f"prior {self.name} was trained with other settings than {' and '.join(asked)}; leave those out, "
                f"for a prior brings its own, or train one with them"
            )

    def code_size(self, header: Header) -> int:
        """Bytes of the code that a receiver of such an archive must run."""
        return code_size(header)

    def description(self) -> dict[str, str]:
        """Rows for people."""
        facts, ours = self.manifest, "another codec's: archives tell at once if it matters"
        if facts.codec == source_digest():
            ours = "this lmzip's"
        rebuilt = f"{facts.rebuilt:,} bytes, the archive of its corpus without code; {facts.transcript:,} of transcript"
        rows = {
            "digest": facts.state,
            "stored": f"{self.size:,} bytes",
            "rebuilt": rebuilt,
            "corpus": f"{facts.length:,} bytes, digest {facts.corpus}",
            "licence": facts.licence or "not said",
            "source": facts.source or "not said",
            "made by": f"lmzip {facts.version}, codec {facts.codec}, {ours}",
            "settings": ", ".join(f"{name} {getattr(self.settings, name)}" for name in ("seed", "segment", "replay")),
        }
        for part in ("model", "experts"):
            if (value := getattr(self.settings, part)) is not None:
                rows[part] = ", ".join(f"{k} {v}" for k, v in asdict(value).items())
        return rows

    def as_dict(self) -> dict[str, Any]:
        """The same for programs."""
        left_open = ("prior", "independent_frames", "frame_size")
        header = {name: value for name, value in asdict(self.settings).items() if name not in left_open}
        return {"path": str(self.path), "stored": self.size, "header": header} | asdict(self.manifest)


def code_size(header: Header) -> int:
    """Bytes of the code that a receiver must run whose archive builds on a prior: the codec's, and what takes it in."""
    return len(pack.decoder(header)) + len(pack.squeezed([LOADER]))


def read(path: Path) -> Prior:
    """A prior's file, its manifest checked; the arrays are not read yet. Raises PriorError."""
    with _opened(path) as file:
        metadata = file.metadata() or {}
        kind, _, version = metadata.get("format", "").partition(" ")
        if kind != FORMAT or "manifest" not in metadata:
            raise PriorError(f"{path} is not a prior of lmzip; make one with lmzip prior train")
        if version != str(VERSION):
            raise PriorError(
                f"{path} is a prior of format version {version[:20]}, this lmzip reads {VERSION}; "
                "rebuild it with lmzip prior build, from its corpus's archive"
            )
        if len(file.keys()) > TENSORS_LIMIT:
            raise PriorError(f"{path} holds more arrays than any prior does")
        for name in file.keys():  # noqa: SIM118
            if (kind := file.get_slice(name).get_dtype()) not in STORED:
                raise PriorError(f"{path} is damaged: {name[:40]} has elements of type {kind}")
        try:
            manifest = Manifest.parse(metadata["manifest"])
            header = manifest.header()
            squeezed = _squeezed(metadata["squeezed"], Cost(header).memory())
        except KeyError as error:
            raise PriorError(f"{path} is damaged: its manifest lacks {error}") from error
        except VersionError as error:
            raise PriorError(f"{path} is for other archives: {error}; rebuild it with this lmzip") from error
        except (ValueError, TypeError, RecursionError) as error:
            raise PriorError(f"{path} is damaged: {error}") from error
    return Prior(path, path.stat().st_size, manifest, header, squeezed)


def _bytes(kind: str, shape: tuple[int, ...]) -> int:
    return np.dtype(kind).itemsize * math.prod(shape)


def _squeezed(text: str, most: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Types and shapes of arrays; raises ValueError or TypeError if they make no sense or exceed `most` bytes."""
    if len(text) > MANIFEST_LIMIT:
        raise ValueError("its list of arrays is too long")
    result = {}
    for name, (kind, shape) in json.loads(text).items():
        if kind not in KINDS or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape) or len(shape) > 8:
            raise ValueError("an array has no type or shape")
        result[str(name)] = (kind, tuple(shape))
    if sum(_bytes(*what) for what in result.values()) > most:
        raise ValueError("its arrays are larger than its settings mean")
    return result


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open  # start-up: only priors need it

    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except SafetensorError as error:
        raise PriorError(f"{path} is not a prior, or damaged: {error}") from error
    except OSError as error:
        raise PriorError(f"can't read {path}: {error.strerror or error}") from error


def write(path: Path, manifest: Manifest, packed: dict[str, np.ndarray], fingerprint: np.ndarray) -> None:
    """Write a prior's file; the same prior and notes give the same bytes."""
    from safetensors.numpy import save_file  # start-up: only priors need it

    squeezed, stored = {}, {FINGERPRINT: fingerprint}
    for name, array in packed.items():
        array = np.ascontiguousarray(array)  # safetensors writes the memory behind an array, whatever its strides
        compressed = zlib.compress(array.tobytes(), 6) if array.nbytes >= SMALL else b""
        stored[name] = array
        if compressed and len(compressed) < WORTH * array.nbytes:
            squeezed[name] = (array.dtype.newbyteorder("<").str, array.shape)
            stored[name] = np.frombuffer(compressed, np.uint8)
    text = {"format": f"{FORMAT} {VERSION}", "manifest": json.dumps(asdict(manifest)), "squeezed": json.dumps(squeezed)}
    save_file(stored, path, text)
    with open(path, "rb") as file:
        os.fsync(file.fileno())


# As a source of knowledge, see registry.py


def open_named(name: str, places: list[Path], how: ModelOptions) -> Prior | None:
    """The prior of this name or digest (16 digits at least), in this file, or in this directory as an exported one.

    Raises PriorError for what is unsound, UsageError for options of pretrained models.
    """
    if (os.path.isdir(name) and not is_exported(Path(name))) or gguf_file(Path(name)) is not None:
        return None
    prior = _named(name, places)
    if prior is not None and how != USUAL:
        raise UsageError("--prior-bits, --adapt and --window are for pretrained models: --prior DIR, or a GGUF file")
    return prior


def _named(name: str, places: list[Path]) -> Prior | None:
    if os.path.isdir(name):
        return read(Path(name, EXPORTED))
    if os.sep in name or name.endswith(SUFFIX):
        return read(Path(name))
    for prior in listed(places):
        if prior.name == name or (len(name) >= 16 and prior.manifest.state.startswith(name.lower())):
            return prior
    return read(Path(name)) if Path(name).is_file() else None


def find(digest: bytes, places: list[Path]) -> Prior | None:
    """The prior of this digest."""
    return next((prior for prior in listed(places) if prior.digest == digest), None)


def listed(places: list[Path]) -> Iterator[Prior]:
    """Every prior that can be found, the first of each digest; files that are none are passed over."""
    seen = set()
    for place in places:
        files: Iterable[Path] = [place] if place.is_file() else [*sorted(place.glob(f"*{SUFFIX}")), place / EXPORTED]
        for file in filter(Path.is_file, files):
            try:
                prior = read(file)
            except PriorError:
                continue
            if prior.digest not in seen:
                seen.add(prior.digest)
                yield prior


def is_exported(folder: Path) -> bool:
    """Is this a directory that `lmzip prior export` wrote?"""
    try:
        return bool(json.loads((folder / "config.json").read_bytes()[:MANIFEST_LIMIT]).get("model_type") == "lmzip")
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
