"""The receiver's loop where the language model and the experts predict together."""

from __future__ import annotations

import numpy as np

from .experts import MIX, Experts, code_byte
from .kernel import kernel
from .model import Model, forward, hash_contexts


@kernel
def _decode(net, caches, past, table_bits, history, begin, position, count, experts, state, message, numbers):
    """Read `count` positions of one stream, the language model's prediction of each mixed with the experts'."""
    for t in range(count):
        hash_contexts(history, begin, position, t, t + 1, table_bits, net.contexts)
        forward(net, caches, past, t, t + 1, np.int64(0))
        code_byte(experts, history, position[0] + t, net.frequencies[0], t, state, message, True, numbers)


def decode_segment(
    model: Model,
    experts: Experts,
    history: np.ndarray,
    begin: np.ndarray,
    position: np.ndarray,
    count: int,
    state: np.ndarray,
    message: np.ndarray,
) -> int:
    """Read `count` positions of one stream into the history; returns their code length."""
    at, before, bits, past = (
        int(position[0]),
        int(experts.state.ledger[MIX]),
        model.settings.table_bits,
        int(model.past[0]),
    )
    numbers = experts.begin(history, at, count)
    _decode(
        model.net, model.caches, past, bits, history, begin, position, count, experts.state, state, message, numbers
    )
    return int(experts.state.ledger[MIX]) - before
