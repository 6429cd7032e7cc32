"""Language models of transformers as predictors, in exact arithmetic (docs/models.md).

model.py        a directory becomes a predictor: its digest, its costs
tensors.py      safetensors files, read with suspicion
families.py     which architectures there are, and what is refused by its name
table.py        from token ids to bytes, and the trie that a token is coded along
activations.py  which activations there are, by number
functions.py    sigmoid, normal distribution, rotations: tables made of integers
layers.py       kernels of the network's layers
walk.py         kernels before that walk: weights of tokens, biases, the trie
mixing.py       kernels of the walk along the trie that codes a token, mixed with the experts
inference.py    the network
lockstep.py     the loop that sender and receiver share
tokens.py       the sender's choice of tokens
export.py       lmzip's own model as a directory of transformers
"""
