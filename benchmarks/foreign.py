"""Models of transformers in exact arithmetic beside the same models in float32 (docs/models.md).

    python benchmarks/foreign.py train TEXT -o DIR      a GPT-2 of 2 M parameters, byte-level BPE, trained on a text
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path


def train_tokenizer(text: str, size: int, folder: Path) -> None:
    """A byte-level BPE of `size` tokens, as tokenizer.json."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def train(args: argparse.Namespace) -> None:
    """Adam with a cosine schedule over the CPU seconds allowed; what is held out is the end of the text."""
    import math

    import torch
    from tokenizers import Tokenizer
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    torch.set_num_threads(1)
    text = Path(args.text).read_text("utf-8")
    text = text[: int(0.98 * len(text))]
    train_tokenizer(text[: 4 << 20], args.vocabulary, args.output)
    ids = Tokenizer.from_file(str(args.output / "tokenizer.json")).encode_batch(text.splitlines(keepends=True))
    data = torch.tensor([token for line in ids for token in line.ids])
    config = GPT2Config(
        vocab_size=args.vocabulary, n_positions=256, n_embd=args.width, n_layer=args.layers, n_head=args.width // 32,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    print(f"{model.num_parameters():,} parameters, {len(data):,} tokens of {len(text.encode()):,} bytes")
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    begin, step = time.process_time(), 0
    while (spent := (time.process_time() - begin) / args.seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (0.05 + 0.475 * (1 + math.cos(math.pi * spent)))
        first = torch.randint(0, len(data) - 129, (16,))
        batch = torch.stack([data[i : i + 129] for i in first])
        loss = model(batch[:, :-1], labels=batch[:, :-1]).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0:
            print(f"step {step}, {time.process_time() - begin:.0f} CPU s: {loss.item() / math.log(2):.3f} bits a token", flush=True)
        step += 1
    model.save_pretrained(args.output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("train", help="train a small GPT-2")
    one.add_argument("text", help="UTF-8 text")
    one.add_argument("-o", "--output", type=Path, required=True, help="the model's directory")
    one.add_argument("--vocabulary", type=int, default=2048)
    one.add_argument("--width", type=int, default=192)
    one.add_argument("--layers", type=int, default=4)
    one.add_argument("--seconds", type=float, default=300.0, help="CPU seconds to train")
    one.set_defaults(run=train)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
