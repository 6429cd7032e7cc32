"""How large a data set is as its own training run compresses it: the area under the loss curve, and the code.

A model trained for one pass predicts every token before it learns from it, so the sum of its losses is the length of a
message from which a receiver rebuilds the data, given the code that trains: weights are never sent.
"""

from __future__ import annotations

import csv
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, UsageError

TAIL = 0.5  # the last half of a curve, by tokens, says how it goes on
GRID = 2000  # places where two messages are compared


@dataclass(frozen=True)
class Curve:
    """Training loss against tokens seen, in nats per token; each loss is that of about the token it stands at."""

    name: str
    tokens: np.ndarray
    nats: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Curve:
        """A CSV of two columns, tokens and nats per token; lines that begin with # and one heading are passed over.

        Raises FileError for other files.
        """
        rows: list[tuple[float, float]] = []
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                lines = [row for row in csv.reader(file) if row and not row[0].lstrip().startswith("#")]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise FileError(
                f"{path} can't be read as a table: {error}; give a CSV of tokens and nats per token"
            ) from error
        for number, row in enumerate(lines):
            try:
                rows.append((float(row[0]), float(row[1])))
            except (ValueError, IndexError):
                if number:
                    raise FileError(f"{path}: {','.join(row)[:60]!r} is not tokens,nats; correct that line") from None
        if len(rows) < 2:
            raise FileError(f"{path} has fewer than two points; a curve needs tokens,nats on two lines at least")
        tokens, nats = np.array(rows).T
        if not (np.isfinite(rows).all() and (np.diff(tokens) > 0).all() and tokens[0] > 0 and (nats > 0).all()):
            raise FileError(f"{path}: tokens must rise from above 0 and losses be above 0; sort and clean the curve")
        return cls(path.stem, tokens, nats)

    @property
    def slope(self) -> float:
        """Exponent of the power law through the curve's last half, by least squares of logarithms; at most 0."""
        last = self.tokens >= TAIL * self.tokens[-1]
        last[-2:] = True
        x, y = np.log(self.tokens[last]), np.log(self.nats[last])
        return min(0.0, float(np.polyfit(x, y, 1)[0]))

    def loss(self, tokens: np.ndarray, flat: bool = False) -> np.ndarray:
        """Nats per token; beyond the end along the power law of the last half, or flat."""
        inside = np.exp(np.interp(np.log(np.maximum(tokens, self.tokens[0])), np.log(self.tokens), np.log(self.nats)))
        beyond = np.maximum(tokens / self.tokens[-1], 1.0)
        return inside if flat else inside * beyond**self.slope

    def nats_until(self, tokens: float, flat: bool = False) -> float:
        """The area under the curve from the first token on."""
        ends = [t for t in self.tokens if t < tokens] + [float(tokens)]
        values = self.loss(np.array(ends), flat)
        total = ends[0] * values[0]
        for (a, b), (u, v) in zip(itertools.pairwise(ends), itertools.pairwise(values)):
            power = 1 + math.log(v / u) / math.log(b / a)  # u (t / a)^(power - 1) between the two
            total += u * a * math.log(b / a) if abs(power) < 1e-9 else u * a / power * ((b / a) ** power - 1)
        return float(total)


@dataclass(frozen=True)
class Message:
    """One data set through one training run; sizes in bytes."""

    curve: Curve
    tokens: float
    bytes_per_token: float
    code: float

    @property
    def original(self) -> float:
        return self.tokens * self.bytes_per_token

    @property
    def transcript(self) -> float:
        return self.curve.nats_until(self.tokens) / math.log(2) / 8

    @property
    def total(self) -> float:
        return self.transcript + self.code

    def as_dict(self) -> dict[str, Any]:
        seen, first = float(self.curve.tokens[-1]), float(self.curve.tokens[0])
        nats = self.curve.nats_until(self.tokens)
        beyond = nats - self.curve.nats_until(min(seen, self.tokens))
        return {
            "curve": self.curve.name,
            "original": self.original,
            "transcript": self.transcript,
            "code": self.code,
            "total": self.total,
            "ratio": self.original / self.total,
            "bits_per_byte": 8 * self.total / self.original,
            "mean_nats_per_token": nats / self.tokens,
            "final_nats_per_token": float(self.curve.loss(np.array([self.tokens]))[0]),
            "before_first_point": first * float(self.curve.nats[0]) / nats if first < self.tokens else 1.0,
            "extrapolated": beyond / nats,
            "exponent_beyond": self.curve.slope if self.tokens > seen else None,
            "transcript_if_flat_beyond": self.curve.nats_until(self.tokens, flat=True) / math.log(2) / 8,
        }


def crossing(a: Message, b: Message) -> dict[str, Any]:
    """Which message is shorter, and from how many tokens on; and from where on its model predicts better."""
    short, long = (a, b) if a.total <= b.total else (b, a)
    grid = np.geomspace(min(a.curve.tokens[0], b.curve.tokens[0], a.tokens), a.tokens, GRID)

    def ahead(t: float) -> float:
        """Nats by which the shorter message is shorter, had the data ended here."""
        code = 8 * math.log(2) * (long.code - short.code)
        return long.curve.nats_until(t) - short.curve.nats_until(t) + code

    def since(behind: np.ndarray) -> float:
        return float(grid[min(behind[-1] + 1, GRID - 1)]) if len(behind) else 0.0

    behind = np.flatnonzero([ahead(t) < 0 for t in grid])
    worse = np.flatnonzero(short.curve.loss(grid) > long.curve.loss(grid))
    start = since(behind)
    if len(behind) and behind[-1] + 1 < GRID:
        low, high = float(grid[behind[-1]]), start
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if ahead(middle) < 0 else (low, middle)
        start = high
    return {
        "shorter": short.curve.name,
        "longer": long.curve.name,
        "saved": long.total - short.total,
        "shorter_from_tokens": start,
        "better_loss_from_tokens": since(worse),
    }


ASSUMPTIONS = (
    "one pass: each token is predicted once before it is learnt from, so losses are code lengths; no data is repeated",
    "losses are of training, in nats per token (natural logarithm): bits = nats / ln 2",
    "between points the loss is a straight line in the logarithms of both; before the first point it is that point's "
    "(it was higher in truth: begin the curve early)",
    "beyond the last point it goes on along the power law of the curve's last half",
    "weights are not sent; the code is what trains the model, and both ends compute the same bits",
)


def messages(curves: list[Curve], tokens: float | None, bytes_per_token: float, codes: list[float]) -> list[Message]:
    """One for each curve; tokens: how many the data has, or as many as the shortest curve saw. Raises UsageError."""
    if len(codes) not in (1, len(curves)):
        raise UsageError("give --code once, or once for each curve")
    tokens = tokens or min(float(curve.tokens[-1]) for curve in curves)
    codes = codes * len(curves) if len(codes) == 1 else codes
    return [Message(curve, tokens, bytes_per_token, code) for curve, code in zip(curves, codes)]


def table(estimates: list[Message]) -> str:
    """The estimates as text."""
    first = estimates[0]
    lines = [f"{first.tokens:.4g} tokens of {first.bytes_per_token:g} bytes: {readable(first.original)}"]
    for message in estimates:
        facts = message.as_dict()
        lines.append(
            f"{message.curve.name}: {readable(message.transcript)} + {readable(message.code)} of code = "
            f"{readable(message.total)}, {facts['ratio']:.4g} times smaller, {facts['bits_per_byte']:.4f} bits per byte"
        )
        lines.append(
            f"  mean loss {facts['mean_nats_per_token']:.4f} nats per token, last {facts['final_nats_per_token']:.4f}; "
            f"{100 * facts['before_first_point']:.2g} % of the transcript is before the first point"
        )
        if facts["extrapolated"] > 0:
            lines.append(
                f"  {100 * facts['extrapolated']:.2g} % is beyond the curve's end, along tokens^"
                f"{facts['exponent_beyond']:.3f}; "
                f"were the loss to stay: {readable(facts['transcript_if_flat_beyond'])}"
            )
    for i, one in enumerate(estimates):
        for other in estimates[i + 1 :]:
            crossed = crossing(one, other)
            start = crossed["shorter_from_tokens"]
            since = f"from {start:.4g} tokens on" if start else "from the beginning"
            lines.append(f"{crossed['shorter']} is the shorter message, by {readable(crossed['saved'])}, {since}")
    return "\n".join([*lines, "assumed: " + ";\n  ".join(ASSUMPTIONS)])


def readable(amount: float) -> str:
    """Bytes in decimal units."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if abs(amount) >= size:
            return f"{amount / size:.4g} {unit}"
    return f"{amount:.0f} B"


def as_dict(estimates: list[Message]) -> dict[str, Any]:
    """For --json."""
    return {
        "tokens": estimates[0].tokens,
        "bytes_per_token": estimates[0].bytes_per_token,
        "messages": [message.as_dict() for message in estimates],
        "crossings": [crossing(a, b) for i, a in enumerate(estimates) for b in estimates[i + 1 :]],
        "assumptions": list(ASSUMPTIONS),
    }
