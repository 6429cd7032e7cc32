"""How the codec compiles its numba kernels, so that they give the same bits everywhere.

No fastmath: every float operation is rounded once, in the order written, never contracted.
numba marks signed additions and multiplications as never overflowing, so hashes are computed
in ``uint64``, where wrapping is defined, and every literal that meets one is a typed constant.
"""

from __future__ import annotations

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .cache import private_cache


def kernel(function, **options):
    """Compile `function` with numba; cached in a private folder of ours, see cache.py."""
    with private_cache():
        return numba.njit(error_model="numpy", nogil=True, cache=True, no_cfunc_wrapper=True, **options)(function)


def heapless(function):
    """A kernel that makes no array: numba then counts no references to those it is given, which costs atomic steps.

    What it is the first to call is compiled in the same way, so that must make no array either.
    """
    return kernel(function, _nrt=False)


@intrinsic
def call(typing, address, number):
    """Call the C function void(int64) at an address, from inside a kernel."""

    def generate(context, builder, _, args):
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)]).as_pointer()
        builder.call(builder.inttoptr(args[0], kind), [args[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


def inline(function):
    """Compile a helper, heapless too, that LLVM inlines into every kernel that calls it. Python can't call it."""
    return numba.njit(
        error_model="numpy", nogil=True, _nrt=False, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
    )(function)


@intrinsic
def prefetch(typing, array, index):
    """prefetch(array, index): ask for the cache line of array[index], of one dimension, before it is needed."""

    def generate(context, builder, signature, arguments):
        fields = context.make_array(array)(context, builder, arguments[0])
        place = cgutils.get_item_pointer(context, builder, array, fields, [arguments[1]], wraparound=False)
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.bitcast(place, byte), word(0), word(3), word(1)])

    return numba.void(array, index), generate
