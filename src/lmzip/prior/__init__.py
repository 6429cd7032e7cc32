"""Priors: knowledge that both ends share, exact and charged (docs/priors.md).

`store.py`: files, manifests, where they are looked for; `state.py`: what is kept of a predictor, and back;
`train.py`: from a corpus, or from its archive; `fingerprint.py`: what of a file a prior has seen; `command.py`: the
command line.
"""
