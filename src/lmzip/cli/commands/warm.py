"""Compile every kernel now, once for this machine, so that no later run waits for it."""

from __future__ import annotations

import argparse
import os
import time

from ... import warm
from ...codec.cache import kernel_folder
from ...progress import signals
from .. import arguments
from ..console import Console

ORDER = 125
OVERVIEW = "compile everything beforehand     lmzip warm"
EXAMPLES = """\
examples:
  lmzip warm                                  three minutes of a processor, shared by two if there are
  RUN XDG_CACHE_HOME=/cache lmzip warm        in the Dockerfile of a container, with the same variable later

Without it kernels are compiled when they are first needed: some for text, others for images and audio, for decoding,
for priors and for pretrained models. They are kept in XDG_CACHE_HOME (see lmzip --help), for this version of lmzip,
numba and kind of processor. Kernels of archives of older formats, and of the commands that only look on (report,
sample), are left to when they are needed.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    text = "processes (default: two, where there are two processors)"
    parser.add_argument("-T", "--threads", type=arguments.natural, default=0, metavar="N", help=text)


def run(args: argparse.Namespace, console: Console) -> None:
    """A line for each part, then a sum."""
    processes = args.threads or min(2, os.cpu_count() or 1)
    console.say(f"compiling every kernel for this machine, in {processes} process{'es' * (processes > 1)}: minutes")
    begun, kernels = time.monotonic(), 0
    with signals():
        for done in warm.warm(processes):
            kernels += done.kernels
            console.say(f"{done.seconds:4.0f} s  {done.name}" + ("" if done.kernels else ": there already"))
    what = f"{kernels} kernels compiled" if kernels else "all kernels were there already"
    console.say(f"{what}, in {time.monotonic() - begun:.0f} s; they are kept in {kernel_folder()}")
