"""Vectors of LANES numbers in LLVM's own terms, of which product.py and softmax.py are written."""

from __future__ import annotations

from llvmlite import ir

LANES = 16
BYTE, FLOAT, INT32, INT64 = ir.IntType(8).as_pointer(), ir.FloatType(), ir.IntType(32), ir.IntType(64)
FLOATS, INTEGERS, SHORTS = (ir.VectorType(kind, LANES) for kind in (FLOAT, INT32, ir.IntType(16)))
ZEROS = ir.Constant(INTEGERS, [0] * LANES)


def load(builder, base, offset, kind, align):
    """The value of this type at so many bytes behind an address."""
    value = builder.load(builder.bitcast(builder.gep(base, [offset]), kind.as_pointer()))
    value.align = align
    return value


def store(builder, value, place, align):
    """Put a value down at an address."""
    builder.store(value, builder.bitcast(place, value.type.as_pointer())).align = align


def splat(builder, value, kind):
    """A vector of this type with the value in every lane."""
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, INT32(0))
    return builder.shuffle_vector(one, one, ZEROS)
