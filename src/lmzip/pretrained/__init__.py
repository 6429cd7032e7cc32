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
numbers.py        all numbers of a model as its network takes them, kept in the cache
kernel.py         how kernels are compiled, and where they are kept
vectors.py        numbers side by side, of which the next two are written
product.py        products of integer matrices
softmax.py        what scores are worth, in vectors
attention.py      keys and values that a window remembers, and attention over them
layers.py         kernels of the network's other layers
inference.py      the network
walk.py           from logits to the weights of tokens; the trie
mixing.py         the walk along the trie that codes a token, alone or mixed with the experts
lockstep.py       the loop that sender and receiver share
guesses.py        the receiver's guesses of what comes next
tokens.py         the sender's choice of tokens
tokenizer.py      the sender's tokenizer of a GGUF file
export.py         lmzip's own model as a directory of transformers
"""
