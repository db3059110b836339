"""Tokens a second of generation with remembered keys and values, beside transformers' ``generate``.

Run it on a quiet machine: ``python benchmarks/generation.py``. GPT-2's shapes at 124M parameters,
random weights, the same in every form: transformers' GPT2LMHeadModel as it comes (fp32, cache), and
ours in fp32, in bf16 and with weights in eight bits; one prompt of 64 tokens, or 16 of them, and
the likeliest token each time. The forms take turns in one process and the best of them counts (of
16 prompts there is one turn); the tables it prints go into a dated file beside it.

The limit is what reading all weights once for each token would take, at the rate at which this
machine reads a tensor of 400 MB, measured before and after. What eight bits cost in quality is
asked of trained weights: the foundation of a recipe that was run.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F

PROMPT, NEW, ROWS = 64, 128, 16
PEER = "transformers fp32"
Work = Callable[[int, int], object]
SHAPES = {"vocab_size": 50_257, "context_length": 1024, "dropout": 0.0}


def peer() -> Any:
    """transformers' GPT-2 with random weights, loud enough that no two logits are close."""
    from transformers import GPT2Config, GPT2LMHeadModel, set_seed

    set_seed(0)
    return GPT2LMHeadModel(GPT2Config(initializer_range=0.05)).eval()


def ours(theirs: Any) -> Any:
    """Our network with their weights."""
    from model.architectures import build, find
    from model.interop import find as layout

    config = find("gpt").configure("gpt2-small", **SHAPES)
    network = build("gpt", config, 0)
    network.load_state_dict(layout("gpt2").tensors_from(theirs.state_dict(), config))
    return network.eval()


def told(network: Any, rows: int, new: int) -> list[list[int]]:
    """What our network says after the prompts."""
    from model.inference.generation import generate_batch

    return generate_batch(network, prompts(rows), max_new_tokens=new, temperature=0)


def told_by_peer(theirs: Any, rows: int, new: int) -> list[list[int]]:
    tokens = torch.tensor(prompts(rows))
    made = theirs.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=new,
        min_new_tokens=new,
        do_sample=False,
        pad_token_id=0,
    )
    return made[:, PROMPT:].tolist()  # type: ignore[no-any-return]


def prompts(rows: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(50_256, (rows, PROMPT), generator=generator).tolist()  # type: ignore[no-any-return]


def weight_bytes(network: Any) -> int:
    """What one token reads: every linear layer and the head."""
    from model.inference.quantisation import Int8Linear

    sizes = [
        layer.numbers.nbytes if isinstance(layer, Int8Linear) else layer.weight.nbytes
        for layer in network.modules()
        if isinstance(layer, Int8Linear | torch.nn.Linear)
    ]
    return sum(sizes) + (network.embedding.weight.nbytes if network.head is None else 0)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def quality(recipe: str, windows: int) -> dict[str, float]:
    """Nats a token on held-out text of a trained foundation, in each form.

    ValueError if the store does not hold it.
    """
    from model.batches.batching import in_order
    from model.inference.quantisation import quantise
    from pipelines.core.project import Project
    from pipelines.core.store import Store
    from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
    from pipelines.training.artefacts import Checkpoint
    from pipelines.training.checkpoint import load_network

    store = Store(Project.here().store)
    network: Any = load_network(store.current(f"{recipe}/foundation", Checkpoint)).eval()
    tokenizer = store.current(f"{recipe}/tokenizer", TokenizerFiles).load()
    shards = store.current(f"{recipe}/token_shards", TokenShards)
    stream = shards.stream("validation", tokenizer.end_of_text)
    batches = list(islice(in_order(stream, network.context_length, 8), windows // 8))
    forms = {
        "fp32": network,
        "bf16": copy.deepcopy(network).bfloat16(),
        "int8": quantise(network),
    }
    losses = dict.fromkeys(forms, 0.0)
    with torch.inference_mode():
        for name, form in forms.items():
            for batch in batches:  # by its logits, which go the way that generation goes
                logits = form(batch.tokens).flatten(0, 1)
                losses[name] += F.cross_entropy(logits, batch.targets.flatten()).item()
    return {name: loss / len(batches) for name, loss in losses.items()}


def main() -> None:
    """Run all forms in turn and print the tables."""
    options = argparse.ArgumentParser()
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--recipe", default="chat", help="whose foundation tells the quality")
    options.add_argument("--windows", type=int, default=64, help="of its validation split")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    from model.inference.quantisation import quantise

    load = os.getloadavg()[0]
    theirs = peer()
    network = ours(theirs)
    forms = {
        "fp32": network,
        "bf16": copy.deepcopy(network).bfloat16(),
        "int8": quantise(network),
    }
    work: dict[str, Work] = {PEER: partial(told_by_peer, theirs)}
    work |= {f"ours {name}": partial(told, form) for name, form in forms.items()}
    held = {PEER: weight_bytes(network)}
    held |= {f"ours {name}": weight_bytes(form) for name, form in forms.items()}
    same = work[PEER](1, NEW) == work["ours fp32"](1, NEW)
    rate = reading(chosen.turns)
    one = take_turns(work, 1, chosen.turns)
    many = take_turns(work, ROWS, 1)
    rate = max(rate, reading(chosen.turns))
    flags = torch.backends.cpu.get_cpu_capability()
    print(f"{time.strftime('%Y-%m-%d')}, {chosen.threads} threads, {platform.machine()} {flags},")
    print(f"load {load:.1f} before, torch {torch.__version__}, transformers", end=" ")
    print(f"{version('transformers')}, best of {chosen.turns} turns;")
    print(f"memory read at {rate / 1e9:.1f} GB/s; fp32 says what transformers says: {same}\n")
    print(f"| form | tokens/s | times transformers | of the limit | {ROWS} prompts | times one |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in work:
        print(
            f"| {name} | {one[name]:.1f} | {one[name] / one[PEER]:.2f} "
            f"| {one[name] * held[name] / rate:.0%} | {many[name]:.1f} "
            f"| {many[name] / one[name]:.1f} |"
        )
    try:
        losses = quality(chosen.recipe, chosen.windows)
    except ValueError as error:
        print(f"\nquality not measured: {error}")
        return
    print(f"\n| {chosen.recipe}/foundation | nats a token | more than fp32 |")
    print("| --- | ---: | ---: |")
    for name, loss in losses.items():
        print(f"| {name} | {loss:.5f} | {loss - losses['fp32']:+.5f} |")


def take_turns(work: dict[str, Work], rows: int, turns: int) -> dict[str, float]:
    """New tokens a second of each form, prompts included, the best of the turns."""
    rates = dict.fromkeys(work, 0.0)
    for run in work.values():
        run(rows, 2)
    for _ in range(turns):
        for name, run in work.items():
            rates[name] = max(rates[name], rows * NEW / seconds(partial(run, rows, NEW)))
    return rates


def reading(turns: int) -> float:
    """Bytes a second of going through a large tensor, the best of some turns."""
    sample = torch.ones(100_000_000)
    return sample.nbytes / min(seconds(sample.sum) for _ in range(5 * turns))


if __name__ == "__main__":
    main()
