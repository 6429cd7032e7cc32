"""Pretrained models in exact arithmetic (docs/models.md): beside float32, on texts, by windows and streams.

python -m benchmarks.pretrained train TEXT -o DIR        a GPT-2 of 2 M parameters, byte-level BPE, trained on a text
python -m benchmarks.pretrained bits DIR TEXT            exact and float32 code length of what was held out
python -m benchmarks.pretrained random 124M -o DIR       a GPT-2 of a size, with random weights and no tokenizer
python -m benchmarks.pretrained speed DIR                exact beside float32: windows at once, steps
python -m benchmarks.pretrained texts MODEL FILE...      experts, model and both, by prefixes of each file
python -m benchmarks.pretrained window MODEL FILE        what longer windows gain and cost
python -m benchmarks.pretrained streams MODEL FILE       what streams lose and save

The last three print tables in Markdown. CPU seconds are of one process, without loading and compiling; a KB is
1,000 bytes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmzip import presets
from lmzip.codec.message import NLL_BITS
from lmzip.lab.provenance import commit, machine
from lmzip.predictor import completed
from lmzip.pretrained import families
from lmzip.session import Session

KB = 1000
WINDOWS, STREAMS = (1024, 2048, 4096, 8192), (1, 2, 4, 8, 16)
WARM = b"What is compiled is compiled before the clock starts. " * 3


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
    import torch
    from transformers import AutoModelForCausalLM

    from lmzip.pretrained import model
    from lmzip.pretrained.inference import context_and_span

    torch.set_num_threads(1)
    data = held_out(args.text, args.length)
    reference = AutoModelForCausalLM.from_pretrained(args.model).eval()
    found = model.open_model(args.model)
    context, span = context_and_span(found.architecture, found.window)
    places, _ = found.tokens.cut(data)
    chosen = found.table.order[places].tolist()
    total, at, window = 0.0, 0, [found.architecture.start or 0]
    with torch.no_grad():
        while at < len(chosen):
            if len(window) == span:
                window = window[-(context // 2) :]
            count = min(span - len(window), len(chosen) - at)
            given = torch.tensor([*window, *chosen[at : at + count - 1]])
            mask = {"attention_mask": seen(len(given), context)} if len(given) > context else {}
            p = reference(given[None], **mask).logits[0, len(window) - 1 :].double().log_softmax(-1)
            total -= p[torch.arange(count), torch.tensor(chosen[at : at + count])].sum().item()
            window += chosen[at : at + count]
            at += count
    float_bits = total / math.log(2)
    print(f"{len(data):,} bytes, {len(chosen):,} tokens; float32 {float_bits / len(data):.5f} bpb")
    for precision, adapt, experts in [(8, "none", "none"), (12, "none", "none"), (16, "none", "none"),
                                      (8, "head", "none"), (8, "none", "fast"), (8, "head", "fast")]:  # fmt: skip
        one = coded(with_model(model.open_model(args.model, precision, adapt), experts), data)
        print(
            f"{precision} bits, adapt {adapt}, experts {experts}: {one.bits / len(data):.5f} bpb, "
            f"{100 * (one.bits / float_bits - 1):+.3f} %, {one.seconds:.1f} CPU s, {len(one.transcript):,} bytes",
            flush=True,
        )


def seen(length: int, context: int) -> Any:
    """What each position sees of a window that slides, as transformers takes it: 0 or -inf, [1, 1, length, length]."""
    import torch

    from lmzip.pretrained.inference import SINK

    query, key = torch.arange(length)[:, None], torch.arange(length)
    allowed = (key <= query) & ((key > query - context) | (key < SINK))
    return torch.zeros(length, length).masked_fill(~allowed, -torch.inf)[None, None]


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


def network(folder: Path, bits: int) -> Any:
    """The network of a directory that needs no tokenizer."""
    from lmzip.pretrained import inference, numbers, tensors

    architecture = families.architecture(folder)
    weights = families.Weights(architecture, tensors.tensors(folder), folder)
    _, span = inference.context_and_span(architecture, families.CONTEXT)
    held = numbers.made(architecture, weights, bits) | numbers.turns(architecture, span)
    return inference.Network(architecture, held, weights.embedding(), bits)


def speed(args: argparse.Namespace) -> None:
    """Least CPU seconds of several runs, ours and theirs by turns; one thread."""
    import cProfile
    import pstats

    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    reference = AutoModelForCausalLM.from_pretrained(args.model).eval()
    exact = network(args.model, args.bits)
    length, steps = min(256, exact.span), 16
    ids = np.random.default_rng(0).integers(0, exact.architecture.vocabulary, length).astype(np.int32)
    given = torch.from_numpy(ids.astype(np.int64))[None]
    window = exact.window()

    def timed(run, *arguments):
        begin = time.process_time()
        run(*arguments)
        return time.process_time() - begin

    def ours_at_once():
        exact.logits([(exact.window(), ids, 0)])

    def ours_step():
        for n in range(length - steps, length):
            exact.logits([(window, ids[: n + 1], n)])

    def theirs_step(cache):
        for n in range(length - steps, length):
            reference(given[:, n : n + 1], past_key_values=cache, use_cache=True)

    rows: dict[str, list[float]] = {"window": [], "window, float32": [], "step": [], "step, float32": []}
    with torch.no_grad():
        for _ in range(args.repeats):
            rows["window"].append(timed(ours_at_once) / length)
            rows["window, float32"].append(timed(reference, given) / length)
            exact.logits([(window, ids[: length - steps], length - steps - 1)])
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


@dataclass
class Coded:
    """A text's transcript, its code length, and what coding it took."""

    transcript: bytes
    bits: float
    seconds: float


def with_model(pretrained: Any, experts: str = "fast", streams: int = 1) -> Callable[[], Any]:
    """Makes predictors at their beginning: a pretrained model with these experts."""
    header = pretrained.archive_header(presets.EXPERTS[experts], presets.FRAME_SIZE, streams=streams)
    return lambda: pretrained.lockstep(header, Session())


def coded(predictor: Callable[[], Any], data: bytes) -> Coded:
    """A text as one frame."""
    state = predictor()
    begin = time.process_time()
    encoding = completed(state.encode(np.frombuffer(data, np.uint8)))
    return Coded(encoding.finish(), encoding.nll / (1 << NLL_BITS), time.process_time() - begin)


def decoded(predictor: Callable[[], Any], transcript: bytes, data: bytes) -> float:
    """CPU seconds of the way back."""
    state = predictor()
    begin = time.process_time()
    decoding = completed(state.decode(np.frombuffer(transcript, np.uint8), len(data)))
    seconds = time.process_time() - begin
    assert decoding.data.tobytes() == data
    return seconds


def print_head(pretrained: Any, what: str) -> None:
    """What the table is of, and where it was made."""
    print(f"{what} Model: {pretrained.name}, {pretrained.parameters:,} parameters, {pretrained.bits} bits.")
    about = machine()
    print(f"Processor: {about['cpu']}, {about['cores']} cores; commit {commit()[:12]}.\n")


def print_row(cells: Iterable[object]) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def print_columns(*names: str) -> None:
    print_row(names)
    print_row(["---", *["---:"] * (len(names) - 1)])


def texts(args: argparse.Namespace) -> None:
    """Bytes of transcripts and bits per byte; files shorter than the longest prefix are also coded as a whole."""
    from lmzip.pretrained import model

    plain, adapting = (model.open_model(args.model, args.bits, adapt) for adapt in ("none", "head"))
    ways = {
        "experts": lambda: Session().lockstep(presets.header("fast")),
        "model": with_model(plain, "none"),
        "mixed": with_model(plain),
        "mixed, adapt head": with_model(adapting),
    }
    print_head(plain, "Bytes of transcripts, and bits per byte.")
    print_columns("file", "bytes", *ways)
    for file in args.files:
        data = file.read_bytes()
        for length in sorted({min(round(KB * kilobytes), len(data)) for kilobytes in args.prefixes}):
            results = [coded(way, data[:length]) for way in ways.values()]
            cells = [f"{len(one.transcript):,} ({one.bits / length:.3f})" for one in results]
            print_row([file.name, f"{length:,}", *cells])


def window(args: argparse.Namespace) -> None:
    """Windows beyond the positions that the model was made for are left out, but for the shortest."""
    from lmzip.pretrained import model

    data = args.file.read_bytes()[: args.length]
    usual = model.open_model(args.model, args.bits)
    print_head(usual, f"{args.file.name}, {len(data):,} bytes, experts {args.experts}.")
    coded(with_model(usual, args.experts), WARM)
    print_columns("window", "bits per byte", "CPU s per KB")
    for size in args.windows:
        if size <= usual.architecture.positions or size == min(args.windows):
            pretrained = model.open_model(args.model, args.bits, window=size)
            one = coded(with_model(pretrained, args.experts), data)
            print_row([f"{pretrained.context:,}", f"{one.bits / len(data):.4f}", f"{KB * one.seconds / len(data):.3f}"])


def streams(args: argparse.Namespace) -> None:
    """Encoded, and decoded again."""
    from lmzip.pretrained import model

    data = args.file.read_bytes()[: args.length]
    pretrained = model.open_model(args.model, args.bits)
    print_head(pretrained, f"{args.file.name}, {len(data):,} bytes, experts {args.experts}.")
    way = with_model(pretrained, args.experts)
    decoded(way, coded(way, WARM).transcript, WARM)
    print_columns("streams", "bytes", "encode, CPU s per KB", "decode, CPU s per KB")
    for count in args.streams:
        way = with_model(pretrained, args.experts, count)
        one = coded(way, data)
        seconds = one.seconds, decoded(way, one.transcript, data)
        print_row([count, f"{len(one.transcript):,}", *(f"{KB * s / len(data):.3f}" for s in seconds)])


def listed(kind: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Parses numbers with commas between them."""
    return lambda text: [kind(part) for part in text.split(",")]


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
    for name, run, about in (
        ("texts", texts, "experts, model and both"),
        ("window", window, "longer windows"),
        ("streams", streams, "several streams"),
    ):
        one = commands.add_parser(name, help=about)
        one.add_argument("model", type=Path, help="a directory of transformers, or a GGUF file")
        one.add_argument("--bits", type=int, default=8, help="of weights")
        one.set_defaults(run=run)
        if name == "texts":
            one.add_argument("files", type=Path, nargs="+", metavar="FILE")
            one.add_argument("--prefixes", type=listed(float), default=[1, 2, 4, 8, 16, 32], help="KB, as 1,2,4")
            continue
        one.add_argument("file", type=Path)
        one.add_argument("--length", type=int, default=16 * KB, help="bytes of the file")
        one.add_argument("--experts", choices=presets.EXPERTS, default="fast")
        if name == "window":
            one.add_argument("--windows", type=listed(int), default=WINDOWS, help="tokens, as 1024,2048")
        else:
            one.add_argument("--streams", type=listed(int), default=STREAMS, help="as 1,2,4")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
