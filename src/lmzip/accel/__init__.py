"""Faster ways to the same bits, beside the codec: none is sent, none is needed."""
