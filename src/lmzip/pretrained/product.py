"""Products of integer matrices on any processor: int16 by int8 or int16, summed in int32, in blocks for registers.

A second operand lies in panels of LANES outputs, its inputs in pairs: [panel][pair][lane][2]. What a pair of inputs
adds to a panel's sums is one multiply-add of vector units (pmaddwd, vpdpwssd), written here in LLVM's own terms, which
it splits or fuses for any processor. Integers are summed, so no order and no width changes a bit. The shape is that of
BLIS's micro-kernels (Van Zee & van de Geijn 2015).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..codec.exact import f4
from .kernel import heapless
from .vectors import BYTE, FLOAT, FLOATS, INT32, INT64, INTEGERS, LANES, ZEROS, load, splat, store

ROWS = 6  # of the first operand that a call of `tile` takes at most: their sums fill the registers of AVX2
DEPTH = 2048  # inputs whose products stay inside int32: 8191 * 127 * 2,048 < 2^31


def panels(weight: np.ndarray) -> np.ndarray:
    """Integers [N, K] as panels [ceil(N / LANES), ceil(K / 2), LANES, 2], with zeros where there is nothing."""
    outputs, inputs = weight.shape
    whole = np.zeros((-(-outputs // LANES) * LANES, inputs + inputs % 2), weight.dtype)
    whole[:outputs, :inputs] = weight
    return np.ascontiguousarray(whole.reshape(len(whole) // LANES, LANES, -1, 2).transpose(0, 2, 1, 3))


_PRODUCTS, _PAIRS = ir.VectorType(INT32, 2 * LANES), ir.VectorType(ir.IntType(16), 2 * LANES)
_EVEN, _ODD = (ir.Constant(INTEGERS, list(range(first, 2 * LANES, 2))) for first in (0, 1))


def _tile(finish):
    """Code of an intrinsic (rows, a, b, out, …): what `finish` makes of the sums of each row, and of further arguments.

    Their number is known where each is computed, so that all sums stay in registers.
    """

    def generate(context, builder, signature, arguments):
        arrays = [context.make_array(kind)(context, builder, x) for kind, x in zip(signature.args[1:], arguments[1:])]
        left, right, out, *others = (builder.bitcast(array.data, BYTE) for array in arrays)
        row, width = (cgutils.unpack_tuple(builder, arrays[i].strides)[0] for i in (0, 2))
        pairs, bits = cgutils.unpack_tuple(builder, arrays[1].shape)[0], signature.args[2].dtype.bitwidth
        held = ir.VectorType(ir.IntType(bits), 2 * LANES)
        for rows in range(1, ROWS + 1):
            with builder.if_then(builder.icmp_signed("==", arguments[0], INT64(rows))):
                totals = [cgutils.alloca_once_value(builder, ZEROS) for _ in range(rows)]
                starts = [builder.gep(left, [builder.mul(row, INT64(r))]) for r in range(rows)]
                with cgutils.for_range(builder, pairs, intp=INT64) as loop:
                    at = builder.mul(loop.index, INT64(2 * LANES * bits // 8))
                    second = builder.sext(load(builder, right, at, held, bits // 8), _PRODUCTS)
                    for start, total in zip(starts, totals):
                        pair = load(builder, start, builder.mul(loop.index, INT64(4)), INT32, 2)
                        first = builder.sext(builder.bitcast(splat(builder, pair, INTEGERS), _PAIRS), _PRODUCTS)
                        both = builder.mul(first, second)
                        both = builder.add(*(builder.shuffle_vector(both, both, lanes) for lanes in (_EVEN, _ODD)))
                        builder.store(builder.add(builder.load(total), both), total)
                for r, total in enumerate(totals):
                    place = builder.gep(out, [builder.mul(width, INT64(r))])
                    finish(builder, r, builder.load(total), place, *others)
        return context.get_dummy_value()

    return generate


def _sums(builder, row, sums, place):
    store(builder, sums, place, 4)


def _scaled(builder, row, sums, place, scale, column_scale, bias):
    row_scale = splat(builder, load(builder, scale, INT64(4 * row), FLOAT, 4), FLOATS)
    columns, shift = (load(builder, base, INT64(0), FLOATS, 4) for base in (column_scale, bias))
    value = builder.fmul(builder.sitofp(sums, FLOATS), builder.fmul(row_scale, columns))
    store(builder, builder.fadd(value, shift), place, 4)


def _added(builder, row, sums, place, scale):
    row_scale = splat(builder, load(builder, scale, INT64(4 * row), FLOAT, 4), FLOATS)
    value = builder.fmul(builder.sitofp(sums, FLOATS), row_scale)
    store(builder, builder.fadd(load(builder, place, INT64(0), FLOATS, 4), value), place, 4)


@intrinsic
def tile(typing, rows, a, b, out):
    """out[:rows] = a[:rows] · a panel, int32[rows, LANES]; 1 to ROWS rows.

    a: int16[rows, 2 * pairs] and out lie as their first strides say, the last dimension without gaps; b: int8 or
    int16[pairs, LANES, 2]. The two numbers of a pair are read as a word, so the machine's little end comes first.
    """
    return types.void(types.int64, a, b, out), _tile(_sums)


@intrinsic
def scaled_tile(typing, rows, a, b, out, scale, column_scale, bias):
    """out[:rows] = (a · panel) * (scale * column_scale) + bias; float32: [rows, LANES], [rows], [LANES], [LANES]."""
    return types.void(types.int64, a, b, out, scale, column_scale, bias), _tile(_scaled)


@intrinsic
def added_tile(typing, rows, a, b, out, scale):
    """out[:rows] += (a · panel) * scale; float32: [rows, LANES], [rows]."""
    return types.void(types.int64, a, b, out, scale), _tile(_added)


@heapless
def multiply(q, scale, weight, weight_scale, bias, sums, totals, y):
    """y = (q · weight^T) * scales + bias, float32[rows, N].

    q: int16[rows, 2 * pairs], in ±8191; weight: int8[limbs, panels, pairs, LANES, 2]; sums: int32[ROWS, LANES] and
    totals: int64[ROWS, LANES] are scratch.
    """
    limbs, pairs, depth, outputs = weight.shape[0], weight.shape[2], DEPTH // 2, bias.shape[0]
    for panel in range(weight.shape[1]):
        first = panel * LANES
        last = min(first + LANES, outputs)
        columns, shift, out = weight_scale[first:last], bias[first:last], y[:, first:last]
        for start in range(0, q.shape[0], ROWS):
            rows = min(ROWS, q.shape[0] - start)
            a, s, here = q[start : start + rows], scale[start : start + rows], out[start : start + rows]
            if limbs == 1 and pairs <= depth and last == first + LANES:
                scaled_tile(rows, a, weight[0, panel], here, s, columns, shift)
                continue
            totals[:] = 0
            for limb in range(limbs):
                for t in range(rows):
                    for n in range(LANES):
                        totals[t, n] *= np.int64(256)
                for begin in range(0, pairs, depth):
                    tile(rows, a[:, 2 * begin :], weight[limb, panel, begin : begin + depth], sums)
                    for t in range(rows):
                        for n in range(LANES):
                            totals[t, n] += np.int64(sums[t, n])
            for t in range(rows):
                for n in range(last - first):
                    here[t, n] = f4(totals[t, n]) * (s[t] * columns[n]) + shift[n]
