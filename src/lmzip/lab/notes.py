"""The codec's own kernels, compiled again with a few of their parts exchanged: they do the same and tell more.

What is compiled is the source that codes archives, down to the names that were exchanged, so nothing has to be written
twice, and what is told is about the real thing. Notes are taken in the margins of arrays that the kernels hold anyhow:
behind the coder's state every binary decision, behind the tree of the language model what each byte cost.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import kernels
from ..codec import coder, experts, symbols
from ..codec.kernel import inline

STATE, TREE = 6, 512  # lengths of those arrays in the codec; the margin's first cell counts the notes in it
PATHS = ("_learn_byte", "_learn_leap", "_code_raw", "code_byte", "_code_segment")  # from what codes a bit upwards


def rebind(function: Any, exchanged: dict[str, Any]) -> types.FunctionType:
    """The Python function behind a kernel, with other meanings for some of the names it uses."""
    source = function.py_func
    return types.FunctionType(source.__code__, {**source.__globals__, **exchanged}, source.__name__)


def kernel(function: Callable[..., Any]) -> Any:
    """`codec.kernel.heapless`, but never among the codec's kernels, see kernels.py."""
    return kernels.kernel(function, _folder(), _nrt=False)


@functools.cache
def _folder() -> str:
    return kernels.folder(Path(__file__).with_name(name) for name in ("notes.py", "sample.py"))


def again(module: Any, names: Sequence[str], exchanged: dict[str, Any], name: str, make: Any = kernel) -> Any:
    """Kernels of a module compiled again, each on top of those before; the last, called `name`, is returned."""
    for one in names[:-1]:
        exchanged = exchanged | {one: inline(rebind(getattr(module, one), exchanged))}
    last = rebind(getattr(module, names[-1]), exchanged)
    last.__qualname__ = name
    return make(last)


_ONE, _AT, _STATE = (np.uint64(n) for n in (1, STATE, STATE + 1))
_encode_bit = coder.encode_bit
_learn_history, _code_length = experts._learn_history, coder.code_length


@inline
def _note_bit(state, out, one, bits, bit):
    """encode_bit, and its probability and outcome into the margin."""
    _encode_bit(state, out, one, bits, bit)
    state[_STATE + state[_AT]] = one << _ONE | bit
    state[_AT] += _ONE


@inline
def _note_byte(state, history, i, new, expected):
    """_learn_history, which comes after every byte and what it costs; and the ledger so far into the margin."""
    _learn_history(state, history, i, new, expected)
    tree, ledger = state.tree, state.ledger
    at = TREE + 1 + 3 * tree[TREE]
    tree[at], tree[at + 1], tree[at + 2] = ledger[0], ledger[1], ledger[2]
    tree[TREE] += 1


@functools.cache
def noting_segment() -> Any:
    """`experts._code_segment`, with notes."""
    return again(experts, PATHS, {"encode_bit": _note_bit, "_learn_history": _note_byte}, "noting_segment")


def decisions(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Noted since last asked: probabilities of a 1 in 2^-22, int64[n], and what it was."""
    noted = state[STATE + 1 : STATE + 1 + int(state[STATE])].astype(np.int64)
    state[STATE] = 0
    return noted >> 1, noted & 1


def ledgers(tree: np.ndarray) -> np.ndarray:
    """Noted since last asked: the ledger after each byte, int64[n, 3]."""
    noted = tree[TREE + 1 : TREE + 1 + 3 * int(tree[TREE])].reshape(-1, 3).copy()
    tree[TREE] = 0
    return noted


@kernel
def code_lengths(frequencies, history, position, lengths):
    """lengths[t] = code length of byte position + t by frequencies [n, 256], in 2^-20 bit."""
    for t in range(lengths.shape[0]):
        byte = np.int64(history[(position + t) & (history.shape[0] - 1)])
        lengths[t] = _code_length(np.uint64(frequencies[t, byte]), np.uint64(symbols.FREQUENCY_BITS))
