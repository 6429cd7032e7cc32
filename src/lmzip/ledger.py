"""The ledger: what every byte of an archive is spent on, and the description length of the data."""

from __future__ import annotations

import bz2
import gzip
import lzma
import platform
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .codec.message import NLL_BITS, Footer
from .predictor import Predictor

ASSUMED = ("python", "numpy", "numba", "torch")


def shares(state: Predictor) -> dict[str, int]:
    """Code lengths since a predictor's state began, in 2^-20 bit: of the mix, and of its parts alone."""
    experts = getattr(state, "experts", None)
    if experts is None:
        return {}
    from .codec.experts import EXPERTS, MIX, MODEL  # start-up: loads numba, as the experts at hand have

    parts = {"mix": MIX} if getattr(state, "model", None) is None else {"mix": MIX, "experts": EXPERTS, "model": MODEL}
    return {name: int(experts.state.ledger[row]) for name, row in parts.items()}


@dataclass(frozen=True)
class PriorCost:
    """What a prior costs in bytes: its file; its corpus's archive without code, from which anyone can rebuild it.

    None: the prior is not here, so nobody can say; or it is a pretrained model, which no archive rebuilds.
    """

    digest: str
    name: str = ""
    stored: int | None = None
    rebuilt: int | None = None

    @property
    def is_pretrained(self) -> bool:
        """Is it here, and can't be rebuilt?"""
        return self.stored is not None and self.rebuilt is None


@dataclass(frozen=True)
class Charges:
    """What is charged beside an archive, in bytes: the code that its receiver must run, and its prior."""

    code: int
    prior: PriorCost | None = None


@dataclass(frozen=True)
class Ledger:
    """Rows in bytes; `nll` is the sum of the coded probabilities' code lengths in 2^-20 bit.

    archive = transcript + code + container; description length = archive + prior + code_left_out. With a prior the
    archive's size is conditional: what it takes given what both ends know. Charged is the description length alone,
    with the prior as it is stored or as it can be rebuilt; it is None where the prior is not here.
    """

    original: int
    transcript: int
    nll: int
    code: int
    container: int
    prior: PriorCost | None = None
    code_left_out: int = 0
    frames: int = 0
    shares: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, footer: Footer, transcript: int, archive: int, charges: Charges, shares: dict[str, int] | None = None
    ) -> Ledger:
        """`transcript`: bytes of all payloads; `archive`: size of the file; `shares`: see `shares`.

        With a prior the code is never in the archive, see pack.refusal.
        """
        prior = charges.prior
        return cls(
            original=footer.length,
            transcript=transcript,
            nll=footer.nll,
            code=footer.code_size,
            container=archive - transcript - footer.code_size,
            prior=prior,
            code_left_out=0 if footer.code_size and prior is None else charges.code,
            frames=len(footer.sizes),
            shares=shares or {},
        )

    @property
    def nll_bits(self) -> float:
        """The code length in bits."""
        return self.nll / (1 << NLL_BITS)

    @property
    def archive(self) -> int:
        """Bytes of the whole file."""
        return self.transcript + self.code + self.container

    @property
    def description_length(self) -> int | None:
        """With the prior, if there is one, as it is stored."""
        return self._with(0 if self.prior is None else self.prior.stored)

    @property
    def description_length_rebuilt(self) -> int | None:
        """With the prior, if there is one, as its corpus's archive."""
        return self._with(0 if self.prior is None else self.prior.rebuilt)

    def _with(self, prior: int | None) -> int | None:
        return None if prior is None else self.archive + prior + self.code_left_out

    def as_dict(self) -> dict[str, Any]:
        """The keys of `lmzip info --json`."""
        return {
            "original": self.original,
            "transcript": self.transcript,
            "nll_bits": self.nll_bits,
            "coder_overhead": self.transcript - self.nll_bits / 8,
            "code": self.code,
            "container": self.container,
            "archive": self.archive,
            "prior": 0 if self.prior is None else self.prior.stored,
            "prior_rebuilt": 0 if self.prior is None else self.prior.rebuilt,
            "prior_digest": self.prior and self.prior.digest,
            "conditional": self.prior is not None,
            "code_left_out": self.code_left_out,
            "description_length": self.description_length,
            "description_length_rebuilt": self.description_length_rebuilt,
            "frames": self.frames,
            "shares_bits": {name: value / (1 << NLL_BITS) for name, value in self.shares.items()},
        }

    def table(self, others: dict[str, int] | None = None) -> str:
        """The ledger as text; `others` are sizes of the same data by other compressors."""

        def row(name: str, value: float | None, note: str = "") -> str:
            if value is None:
                return f"{name:<20}{'unknown':>16}   {'':12}  {note}".rstrip()
            bpb = f"{8 * value / self.original:8.4f} bpb" if self.original else " " * 12
            return f"{name:<20}{value:>16,.0f} B {bpb}  {note}".rstrip()

        rows = [
            row("original", self.original, f"in {self.frames} frame{'s' * (self.frames != 1)}"),
            row("transcript", self.transcript, "what the predictor did not know"),
            row("  ΣNLL / 8", self.nll_bits / 8, "the model's own code length"),
            row("  coder overhead", self.transcript - self.nll_bits / 8),
            row("code", self.code, "the decoder, as sent" if self.code else "left out"),
            row("container", self.container, "header, frame heads, digests, footer"),
            row("archive", self.archive, "= transcript + code + container" + "; conditional" * bool(self.prior)),
        ]
        if self.prior:
            name = f"prior {self.prior.digest[:16]}"
            rows.append(row("prior, stored", self.prior.stored, f"{name} {self.prior.name}".rstrip()))
            if not self.prior.is_pretrained:
                rows.append(row("prior, rebuilt", self.prior.rebuilt, "from its corpus's archive"))
        if self.code_left_out:
            rows.append(row("code left out", self.code_left_out))
        rows.append(row("description length", self.description_length, "= archive + prior + code left out"))
        if self.prior and not self.prior.is_pretrained:
            rows.append(row("  prior rebuilt", self.description_length_rebuilt, "the same, with the prior rebuilt"))
        rows += [
            row(f"  {name} alone", value / (8 << NLL_BITS)) for name, value in self.shares.items() if name != "mix"
        ]
        rows += [row(name, size) for name, size in (others or {}).items()]
        rows.append(f"assumed, not counted: {versions()}")
        return "\n".join(rows)

    def advice(self) -> str | None:
        """When the code is more than a tenth of the archive, and would decode it."""
        if 10 * self.code > self.archive and self.prior is None:
            share = 100 * self.code / self.archive
            return f"the code is {share:.0f} % of the archive; --no-code saves its {self.code:,} bytes"
        return None


def versions() -> str:
    """The software that every receiver is taken to have."""
    from importlib.metadata import PackageNotFoundError, version  # start-up: a tenth of a second, for tables alone

    names = [f"Python {platform.python_version()}"]
    for name in ASSUMED[1:]:
        try:
            names.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            names.append(name)
    return ", ".join(names)


def peers(original: BinaryIO) -> dict[str, int]:
    """Sizes of the same bytes by gzip -9, bzip2 -9 and xz -9e."""
    data = original.read()
    return {
        "gzip -9": len(gzip.compress(data, 9, mtime=0)),
        "bzip2 -9": len(bz2.compress(data, 9)),
        "xz -9e": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
    }
