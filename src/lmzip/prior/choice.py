"""`--prior auto`: the prior with which a file takes least, or none."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace

from ..errors import PriorError, UsageError
from ..files import Input
from ..options import EncodeOptions
from ..session import Session
from . import registry
from .worth import bits

SAMPLE = 1 << 14  # bytes of each of the two pieces that decide


def best(options: EncodeOptions, session: Session, source: Input, say: Callable[[str], None]) -> EncodeOptions:
    """The options, with the prior among those listed with which the file's beginning and middle take least, or without.

    `say` is told what each makes of them. Raises UsageError for what can't be looked at first.
    """
    if (size := source.size()) is None:
        raise UsageError("--prior auto looks at the file first, which a pipe does not allow; name a prior")
    pieces = [source.read(SAMPLE)] if size else []
    if size > 2 * SAMPLE:
        source.seek(size // 2)
        pieces.append(source.read(SAMPLE))
    length = max(1, sum(map(len, pieces)))
    chosen, least = options, bits(options.header(session), pieces, session)
    say(f"auto: {least / length:.3f} bpb of a sample without a prior")
    for prior in registry.listed(session.prior_path):
        with_prior = replace(options, prior=prior.path)
        try:
            amount = bits(with_prior.header(session), pieces, session)
        except (UsageError, PriorError):
            continue
        gc.collect()  # predictors refer to themselves, and two would take twice the memory
        say(f"auto: {amount / length:.3f} with {prior.name}")
        if amount < least:
            chosen, least = with_prior, amount
    return chosen
