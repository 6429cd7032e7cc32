#!/usr/bin/env bash
# transformers 5.24.0 (PyPI): a GGUF file of Llama 3.1 or later loads without its rotary scaling, and nothing says so.
#
# Surprising: GGUF has no metadata for Llama 3's rotary scaling; llama.cpp's converter writes the factors as a tensor,
# rope_freqs.weight, by which frequencies are divided. from_pretrained(FOLDER, gguf_file=FILE) drops that tensor: the
# configuration says rope_type "default", and the logits are those of the same file without the tensor.
# Why it matters: the model runs, and is another one than the file's; whatever is measured of it, or trained from it, is
# not of the model that was published.
#
# Exits 0 while the behaviour is as told, 1 when the factors make a difference.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0 gguf==0.19.0 accelerate==1.15.0 torch==2.13.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import importlib.metadata
import sys

import gguf
import numpy as np
import torch
import transformers

WIDTH, HEADS, HIDDEN, TOKENS, POSITIONS = 32, 2, 48, 64, 512
FACTORS = np.array([1, 1, 2, 4, 8, 8, 8, 8], np.float32)  # one for each pair of dimensions of a head


def write(path: str, scaled: bool) -> None:
    """A Llama of one layer, the same random weights each time; with factors of the rotation, or without."""
    draw = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(TOKENS)
    shapes = {"token_embd": (TOKENS, WIDTH), "output": (TOKENS, WIDTH)}
    shapes |= {f"blk.0.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
    shapes |= {"blk.0.ffn_gate": (HIDDEN, WIDTH), "blk.0.ffn_up": (HIDDEN, WIDTH), "blk.0.ffn_down": (WIDTH, HIDDEN)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", draw.normal(0, 0.3, shape).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    if scaled:
        writer.add_tensor("rope_freqs.weight", FACTORS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


for package in ("transformers", "gguf", "torch"):
    print(package, importlib.metadata.version(package))
transformers.utils.logging.disable_progress_bar()
ids, logits = torch.arange(POSITIONS)[None] % TOKENS, {}
for name, scaled in (("plain", False), ("scaled", True)):
    write(f"{sys.argv[1]}/{name}.gguf", scaled)
    model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], gguf_file=f"{name}.gguf")
    with torch.no_grad():
        logits[name] = model(ids).logits
    print(f"{name}: {model.config.rope_parameters}")
    frequencies = model.model.rotary_emb.inv_freq
with torch.no_grad():
    model.model.rotary_emb.inv_freq = frequencies / torch.from_numpy(FACTORS)
    meant = model(ids).logits
difference = (logits["scaled"] - logits["plain"]).abs().max().item()
print(f"logits with the factors and without: {difference:.4f} apart at most")
print(f"logits with frequencies divided, as the file means: {(meant - logits['plain']).abs().max().item():.4f} apart")
print("as told" if difference == 0 else "CHANGED: the factors make a difference")
sys.exit(difference != 0)
PYTHON
