"""What options do nothing here, said in one line each. What would change bits and can't is refused: see options.py."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ..codec.message import Header
from ..progress import CHECKPOINT_SECONDS

Test = Callable[[argparse.Namespace, Header, str], bool]

# For encoding: when it is so, what is said.
ENCODING: tuple[tuple[Test, str], ...] = (
    (
        lambda args, header, output: args.threads != 1 and not header.independent_frames and not _has_model(header),
        "-T changes nothing here: every frame builds on the one before; --independent-frames lets them run in parallel",
    ),
    (
        lambda args, header, output: args.device != "cpu" and not _has_model(header),
        "--device changes nothing here: without a language model there are no matrix products",
    ),
    (
        lambda args, header, output: args.checkpoint != CHECKPOINT_SECONDS and output == "-",
        "--checkpoint changes nothing here: what goes to standard output can't be resumed",
    ),
)


def on_encoding(args: argparse.Namespace, header: Header, output: str) -> list[str]:
    """Remarks on options that change nothing about how `output` is made with this header."""
    return [text for test, text in ENCODING if test(args, header, output)]


def _has_model(header: Header) -> bool:
    return header.model is not None or header.prior is not None
