"""A second decoder of `.lmz` files, written from docs/format.md and docs/predictor.md: Python's standard library only.

python docs/reference_decoder FILE.lmz > OUT

It tests the documents and the arithmetic with none of the libraries that the codec stands on, so every rounding is
explicit. A file for every section:

container.py  format.md 1 to 5      header, frames, footer
predictor.py  predictor.md 1 and 8  the loop; the digest of the state
coder.py      2                     the range decoder; log2, of section 1
floats.py     3                     float32, random words
matrix.py     3 and 5               products of integers; Adam
model.py      4                     the language model, forward
learner.py    5                     the language model, learning
cells.py      6                     the experts: hashes, probabilities, bit histories
contexts.py   6                     what contexts are made of; addresses, matches
slots.py      6                     slots, runs
mixer.py      6                     mixing, refinement
experts.py    6                     inputs of a bit, a byte, the ledger
samples.py    7                     samples of images and audio
"""

from .container import Refused, decode

__all__ = ["Refused", "decode"]
