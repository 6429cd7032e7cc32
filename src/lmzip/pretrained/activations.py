"""Activations of the feed-forward layers that kernels know, by number."""

GELU_NEW, GELU, SILU, QUICK_GELU, RELU, RELU2 = range(6)
