"""The softmax of attention in vectors of LANES positions: what every score is worth, as integers.

LLVM would vectorise loops of numba's integers badly: they have 64 bits once anything was computed with them. Every
operation is one of codec/exact.py's contract, elementwise, or a maximum or a sum of integers, which no order changes.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..codec.exact import TINY
from .vectors import BYTE, FLOAT, FLOATS, INT32, INT64, INTEGERS, LANES, SHORTS, load, splat, store

BLOCK = 64  # positions that share a scale
LIMIT = 8191  # of their weights
_POWERS = (-0.69314695, 0.24021487, -0.05540945, 0.00934565, -0.00100434)  # 2^-x - 1 by powers of x, 0 ≤ x ≤ 1: ± 5e-7
_LOG2E, _FAR, _ONE, _MAGIC = 1.4426950408889634, 30.0, float(1 << 24), 1.5 * 2**23


def _all(value: float) -> ir.Constant:
    return ir.Constant(FLOATS, [float(np.float32(value))] * LANES)


def _larger(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _folded(builder, vector, join):
    """The lanes of a vector joined, in halves; the first lane."""
    width = LANES
    while width > 1:
        width //= 2
        order = [lane % width + width for lane in range(LANES)]
        vector = join(vector, builder.shuffle_vector(vector, vector, ir.Constant(INTEGERS, order)))
    return builder.extract_element(vector, INT32(0))


@intrinsic
def largest(typing, x):
    """The largest of float32[n], n a multiple of LANES."""

    def generate(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        data = builder.bitcast(array.data, BYTE)
        best = cgutils.alloca_once_value(builder, load(builder, data, INT64(0), FLOATS, 4))
        count = builder.udiv(cgutils.unpack_tuple(builder, array.shape)[0], INT64(LANES))
        with cgutils.for_range(builder, count, intp=INT64) as loop:
            vector = load(builder, data, builder.mul(loop.index, INT64(4 * LANES)), FLOATS, 4)
            builder.store(_larger(builder, vector, builder.load(best)), best)
        return _folded(builder, builder.load(best), lambda a, b: _larger(builder, a, b))

    return types.float32(x), generate


def _exponentials(builder, scores, most):
    """2^24 * exp(score - most) of LANES scores, int32, rounded down; 0 where it is below 1."""
    distance = builder.fmul(builder.fsub(most, scores), _all(_LOG2E))
    distance = builder.select(builder.fcmp_ordered("<", distance, _all(_FAR)), distance, _all(_FAR))
    whole = builder.fptosi(distance, INTEGERS)
    part = builder.fsub(distance, builder.sitofp(whole, FLOATS))
    power = _all(_POWERS[-1])
    for coefficient in (*_POWERS[-2::-1], 1.0):
        power = builder.fadd(_all(coefficient), builder.fmul(part, power))
    integers = builder.fptosi(builder.fmul(power, _all(_ONE)), INTEGERS)
    return builder.ashr(integers, whole)


@intrinsic
def weigh(typing, scores, most, along, weights):
    """What a block's positions weigh, int16[BLOCK] in ±LIMIT, by their scores, float32[BLOCK], none above `most`.

    along: float32[BLOCK], a factor of each position. Returns the weights' scale, float32, and the sum of 2^24 times the
    exponentials without their factors, int32.
    """

    def generate(context, builder, signature, arguments):
        arrays = (context.make_array(signature.args[i])(context, builder, arguments[i]) for i in (0, 2, 3))
        held, factors, out = (builder.bitcast(array.data, BYTE) for array in arrays)
        places = range(0, BLOCK, LANES)
        top, total, best, products = splat(builder, arguments[1], FLOATS), None, _all(float(TINY)), []
        for place in places:
            e = _exponentials(builder, load(builder, held, INT64(4 * place), FLOATS, 4), top)
            total = e if total is None else builder.add(total, e)
            product = builder.fmul(builder.sitofp(e, FLOATS), load(builder, factors, INT64(4 * place), FLOATS, 4))
            best = _larger(builder, product, best)
            products.append(product)
        largest_product = _folded(builder, best, lambda a, b: _larger(builder, a, b))
        limit = ir.Constant(FLOAT, float(LIMIT))
        inverse = splat(builder, builder.fdiv(limit, largest_product), FLOATS)
        for place, product in zip(places, products):
            magic = builder.fadd(builder.fmul(product, inverse), _all(_MAGIC))
            rounded = builder.fptosi(builder.fsub(magic, _all(_MAGIC)), INTEGERS)
            store(builder, builder.trunc(rounded, SHORTS), builder.gep(out, [INT64(2 * place)]), 2)
        sum_ = _folded(builder, total, builder.add)
        scale = builder.fdiv(largest_product, limit)
        return context.make_tuple(builder, signature.return_type, (scale, sum_))

    return types.Tuple((types.float32, types.int32))(scores, most, along, weights), generate
