"""Models of transformers in exact arithmetic beside the same models in float32 (docs/models.md).

python benchmarks/pretrained.py train TEXT -o DIR      a GPT-2 of 2 M parameters, byte-level BPE, trained on a text
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

from lmzip.codec.message import NLL_BITS
from lmzip.predictor import completed
from lmzip.session import Session


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
            print(
                f"step {step}, {time.process_time() - begin:.0f} CPU s: {loss.item() / math.log(2):.3f} bits a token",
                flush=True,
            )
        step += 1
    model.save_pretrained(args.output)


def held_out(path: str, length: int) -> bytes:
    """The last 2 % of a text, which `train` does not see; at most `length` bytes."""
    text = Path(path).read_text("utf-8")
    return text[int(0.98 * len(text)) :].encode()[:length].decode("utf-8", "ignore").encode()


def bits(args: argparse.Namespace) -> None:
    """Code length of the tokens in exact arithmetic, and by transformers in float32 over the very same windows."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    from lmzip import presets
    from lmzip.pretrained import model

    torch.set_num_threads(1)
    data = held_out(args.text, args.length)
    reference = AutoModelForCausalLM.from_pretrained(args.model).eval()
    found = model.open_model(args.model)
    places, _ = found.tokens.cut(data)
    chosen = found.table.order[places]
    total, at, window = 0.0, 0, [found.architecture.start or 0]
    with torch.no_grad():
        while at < len(chosen):
            if len(window) == found.architecture.context:
                window = window[-(found.architecture.context // 2) :]
            count = min(found.architecture.context - len(window), len(chosen) - at)
            given = torch.tensor([*window, *chosen[at : at + count - 1].tolist()])
            p = reference(given[None]).logits[0, len(window) - 1 :].double().log_softmax(-1)
            total -= p[torch.arange(count), torch.from_numpy(chosen[at : at + count].astype(np.int64))].sum().item()
            window += chosen[at : at + count].tolist()
            at += count
    float_bits = total / math.log(2)
    print(f"{len(data):,} bytes, {len(chosen):,} tokens; float32 {float_bits / len(data):.5f} bpb")
    for precision, adapt, experts in [(8, "none", "none"), (12, "none", "none"), (16, "none", "none"),
                                      (8, "head", "none"), (8, "none", "fast"), (8, "head", "fast")]:  # fmt: skip
        pretrained = model.open_model(args.model, precision, adapt)
        state = pretrained.lockstep(pretrained.archive_header(presets.EXPERTS[experts], presets.FRAME_SIZE), Session())
        begin = time.process_time()
        encoding = completed(state.encode(np.frombuffer(data, np.uint8)))
        spent, nll = time.process_time() - begin, encoding.nll / (1 << NLL_BITS)
        print(
            f"{precision} bits, adapt {adapt}, experts {experts}: {nll / len(data):.5f} bpb, "
            f"{100 * (nll / float_bits - 1):+.3f} %, {spent:.1f} CPU s, {len(encoding.finish()):,} bytes", flush=True
        )  # fmt: skip


SIZES = {  # width, layers, heads, vocabulary, positions
    "2M": (192, 4, 6, 2048, 256), "23M": (512, 6, 8, 8192, 512), "124M": (768, 12, 12, 50257, 1024),
    "355M": (1024, 24, 16, 50257, 1024),
}  # fmt: skip


def random(args: argparse.Namespace) -> None:
    """Weights as transformers initialises them."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    width, layers, heads, vocabulary, positions = SIZES[args.size]
    config = GPT2Config(vocab_size=vocabulary, n_positions=positions, n_embd=width, n_layer=layers, n_head=heads)
    GPT2LMHeadModel(config).save_pretrained(args.output)


def speed(args: argparse.Namespace) -> None:
    """Least CPU seconds of several runs, ours and theirs by turns; one thread."""
    import cProfile
    import pstats

    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    from lmzip.pretrained import families, inference, tensors

    torch.set_num_threads(1)
    reference = AutoModelForCausalLM.from_pretrained(args.model).eval()
    architecture = families.architecture(args.model)
    weights = families.Weights(architecture, tensors.tensors(args.model), args.model)
    network = inference.Network(architecture, weights, args.bits)
    length, steps = min(256, architecture.context), 16
    ids = np.random.default_rng(0).integers(0, architecture.vocabulary, length).astype(np.int32)
    given = torch.from_numpy(ids.astype(np.int64))[None]

    def timed(run, *arguments):
        begin = time.process_time()
        run(*arguments)
        return time.process_time() - begin

    def ours_at_once():
        network.tokens = network.tokens[:0]
        network.logits(ids, 0)

    def ours_step():
        for n in range(length - steps, length):
            network.logits(ids[: n + 1], n)

    def theirs_step(cache):
        for n in range(length - steps, length):
            reference(given[:, n : n + 1], past_key_values=cache, use_cache=True)

    rows: dict[str, list[float]] = {"window": [], "window, float32": [], "step": [], "step, float32": []}
    with torch.no_grad():
        for _ in range(args.repeats):
            rows["window"].append(timed(ours_at_once) / length)
            rows["window, float32"].append(timed(reference, given) / length)
            network.logits(ids[: length - steps], length - steps - 1)
            rows["step"].append(timed(ours_step) / steps)
            cache = reference(given[:, : length - steps], use_cache=True).past_key_values
            rows["step, float32"].append(timed(theirs_step, cache) / steps)
    least = {name: min(values) for name, values in rows.items()}
    for name in ("window", "step"):
        ours, theirs = least[name], least[f"{name}, float32"]
        print(f"{name}: {1e3 * ours:.3f} CPU ms a token, float32 {1e3 * theirs:.3f}: {theirs / ours:.2f} times as fast")
    for run in (ours_at_once, ours_step):
        if args.profile:
            profile = cProfile.Profile()
            profile.runcall(run)
            pstats.Stats(profile).sort_stats("tottime").print_stats(6)


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
    one = commands.add_parser("bits", help="exact and float32 code length of what was held out")
    one.add_argument("model", type=Path)
    one.add_argument("text")
    one.add_argument("--length", type=int, default=100_000, help="bytes")
    one.set_defaults(run=bits)
    one = commands.add_parser("random", help="random weights")
    one.add_argument("size", choices=SIZES)
    one.add_argument("-o", "--output", type=Path, required=True)
    one.set_defaults(run=random)
    one = commands.add_parser("speed", help="exact beside float32")
    one.add_argument("model", type=Path)
    one.add_argument("--bits", type=int, default=8)
    one.add_argument("--repeats", type=int, default=3)
    one.add_argument("--profile", action="store_true")
    one.set_defaults(run=speed)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
