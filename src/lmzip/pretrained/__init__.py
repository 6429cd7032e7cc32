"""Language models of transformers as predictors, in exact arithmetic (docs/models.md).

model.py          a directory or file becomes a predictor: its digest, its costs
digests.py        digests of models that were hashed before
tensors.py        safetensors files, read with suspicion
gguf.py           GGUF files, read with suspicion
located.py        where a GGUF file is: by itself, in a folder, in ollama's store
blocks.py         weights in blocks, as GGUF files have them, become float32
translation.py    what a GGUF file says, in the words of transformers
configuration.py  which keys of a configuration were read, and which are refused
families.py       which architectures there are, and what is refused by its name
table.py          from token ids to bytes, and the trie that a token is coded along
activations.py    which activations there are, by number
functions.py      sigmoid, normal distribution, rotations: tables made of integers
layers.py         kernels of the network's layers
walk.py           kernels of the walk along the trie that codes a token
inference.py      the network
lockstep.py       the loop that sender and receiver share
tokens.py         the sender's choice of tokens
tokenizer.py      the sender's tokenizer of a GGUF file
export.py         lmzip's own model as a directory of transformers
"""
