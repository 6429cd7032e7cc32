"""The guard: a debug mode under which anything outside the exact-arithmetic contract fails, by name and line.

`guarded()` watches every torch operator that runs; `kernel_violations()` reads the code that numba made of a kernel.
Neither is needed to encode or decode: they are how tests hold the codec to docs/exactness.md.
"""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

FREE = {  # move, view, compare or convert numbers, never round them; conversions are checked
    *("copy_", "_to_copy", "t", "transpose", "permute", "view", "_unsafe_view", "reshape", "alias", "detach", "clone"),
    *("slice", "select", "expand", "unsqueeze", "squeeze", "as_strided", "empty", "zeros", "resize_", "lift_fresh"),
    *(
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "where",
        "abs",
        "neg",
        "maximum",
        "minimum",
        "amax",
        "amin",
        "clamp",
        "_local_scalar_dense",
    ),
}
ROUNDED_ONCE = {"add", "sub", "mul", "div", "sqrt"}


class ContractError(ArithmeticError):
    """An operator or argument outside the contract."""


def _where() -> str:
    frames = [f for f in traceback.extract_stack() if "torch" not in f.filename and f.filename != __file__]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown line"


def _integral(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() or bool((tensor == tensor.round()).all())


def _largest(tensor: torch.Tensor) -> int:
    return int(tensor.abs().max()) if tensor.numel() else 0


def _fault(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """What is wrong with this call, if anything."""
    tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor)]
    if any(t.is_floating_point() and not bool(torch.isfinite(t).all()) for t in tensors[:2]):
        return "an operand is not finite"
    if name in ("mm", "_int_mm"):
        a, b = args[:2]
        if not (_integral(a) and _integral(b)):
            return "an operand is not integral"
        if name == "_int_mm":
            return "the second operand passes ±64" if _largest(b.int()) > 64 else None
        bound = {torch.float32: 1 << 24, torch.float64: 1 << 53, torch.int64: 1 << 62}.get(a.dtype, 0)
        return "a sum can pass the exact range" if a.shape[1] * _largest(a) * _largest(b) > bound else None
    if name in ROUNDED_ONCE:
        if kwargs.get("alpha", 1) != 1:
            return "alpha is not 1: it may be fused"
        if kwargs.get("rounding_mode") is not None:
            return "rounding_mode is set"
        if name == "div" and not isinstance(args[1], torch.Tensor):
            return "the divisor is a scalar: some devices multiply by its reciprocal"
        return None
    if name == "_to_copy" and not kwargs.get("dtype", torch.float32).is_floating_point and not _integral(args[0]):
        return "a fraction is cut off"
    return None if name in FREE else "not in the contract"


class _Guard(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[-1]
        name = name if name in FREE | {"_int_mm"} else name.rstrip("_")
        with torch.utils._python_dispatch._disable_current_modes():
            fault = _fault(name, args, kwargs or {})
        if fault:
            raise ContractError(f"{func} at {_where()}: {fault}")
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Fail on any torch operator outside the contract while this context lasts."""
    with _Guard():
        yield


_FAST = re.compile(r"\bf(?:add|sub|mul|div|neg|cmp|rem)\s+(?:fast|nnan|ninf|nsz|arcp|contract|afn|reassoc)")
_CALLS = re.compile(r"@(?:llvm\.(?:fma|fmuladd|exp\w*|log\w*|pow\w*|sin|cos)|expf?|logf?|powf?|tanhf?|fmaf?|sqrtf?)\b")
_DOUBLE = re.compile(r"\bf(?:add|sub|mul|div|ptrunc|pext)\b.*\bdouble\b|\b[su]itofp\b.*\bto double\b")


def kernel_violations(kernel: Any) -> list[str]:
    """Lines of a compiled kernel that break the contract: fast-math flags, fused or library maths, doubles.

    Doubles are meant in the least squares of numeric.py. LLVM may inline those into other kernels, so a line of double
    arithmetic counts only where the kernel's own source, as numba typed it, has a value of type float64.
    """
    found = []
    meant = kernel.py_func.__module__.endswith(".numeric")
    for signature, code in kernel.inspect_llvm().items():
        types = kernel.overloads[signature].type_annotation.typemap.values()
        doubles = not meant and any(str(kind) == "float64" for kind in types)
        body = True
        for line in code.splitlines():
            if line.startswith("define"):
                body = "cpython" not in line  # the wrapper that turns Python's floats into ours
            if body and (_FAST.search(line) or _CALLS.search(line) or (doubles and _DOUBLE.search(line))):
                found.append(line.strip())
    return found
