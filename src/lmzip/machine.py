"""What computes on this machine: `lmzip info --backend`. It changes the time, never the bytes."""

from __future__ import annotations

import os


def facts() -> dict[str, str]:
    """The backends, libraries and kernels in use, by name."""
    import numba  # start-up: loaded only where something is computed
    import torch  # start-up: loaded only where something is computed
    from llvmlite import binding  # start-up: loads LLVM

    from .codec.cache import kernel_folder  # start-up: loads numba
    from .codec.product import BACKENDS, Products, self_test  # start-up: loads torch

    torch.set_num_threads(1)
    chosen = Products().backend
    others = [name for name in BACKENDS if name != chosen and self_test(name) < float("inf")]
    folder = kernel_folder()
    kept = sum(name.endswith(".nbc") for _, _, names in os.walk(folder) for name in names)
    return {
        "matrix products": f"{chosen}, the fastest in its test; exact too: {', '.join(others)}",
        "torch": f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}; CUDA: {torch.cuda.is_available()}",
        "kernels": f"numba {numba.__version__} for {numba.config.CPU_NAME or binding.get_host_cpu_name()}",
        "kept": f"{kept} compiled kernels in {folder}",
        "processors": str(os.cpu_count()),
    }
