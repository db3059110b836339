"""What the chat recipe's network learns in its minutes, beside a network in the style of nanoGPT.

Run it on a quiet machine, once ``dragon run chat`` has made the token shards (the rest of the
recipe is not read): ``python benchmarks/chat_loss.py``. It takes about 45 minutes: a training of
ours for each seed, three of the other network (``--seconds`` each, one for each learning rate),
then ours for shares of the other's time. ``--alone --seeds 1337 --change OPTION=VALUE`` is one
trial of another setting. The seconds are those of the steps alone. Each
network is scored by the rule of the recipe's evaluation: every token of a split is predicted once,
from the tokens of its window.

The other network is plain PyTorch of the same width, depth and context (karpathy/nanoGPT's
published structure): learned positions, LayerNorm, GELU, a tied head, AdamW with a cosine. It gets
the same windows of the same tokens, the prepared processor and a fused AdamW.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.core import processor

processor.prepare()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import yaml  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from model.architectures import build  # noqa: E402
from model.batches.batching import IGNORED, TokenStream, Windows, in_order  # noqa: E402
from model.evaluation import bits_per_byte, mean_loss  # noqa: E402
from model.training.loop import Step, train  # noqa: E402
from model.training.objectives import next_token  # noqa: E402
from model.training.optim import learning_rate_factor  # noqa: E402
from pipelines.core.project import Project  # noqa: E402
from pipelines.core.store import Store  # noqa: E402
from pipelines.recipe.loading import load_recipe  # noqa: E402
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards  # noqa: E402
from pipelines.training.fitting import optimizer_of, schedule_of  # noqa: E402

RATES = (2e-3, 4e-3, 8e-3)
SHARES = (0.1, 0.15, 0.2)  # of the other network's seconds
PROBE = 20  # steps that tell how many fit in the seconds
SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Text:
    """The shards of the recipe: what is trained on, and what is held out with its bytes."""

    streams: dict[str, TokenStream]
    held_out: dict[str, tuple[TokenStream, int]]

    def windows(self, context_length: int, batch_size: int, seed: int) -> Windows:
        """The training batches of the recipe."""
        weights = dict.fromkeys(self.streams, 1.0)
        return Windows(self.streams, weights, context_length, batch_size, seed)

    def bits(self, network: Any) -> dict[str, float]:
        """Bits per byte of each held-out split."""
        found = {}
        for split, (stream, n_bytes) in self.held_out.items():
            loss = mean_loss(network, next_token, in_order(stream, network.context_length, 32))
            found[split] = round(bits_per_byte(loss.total, n_bytes), 4)
        return found


def read(changes: Sequence[str] = ()) -> tuple[Any, Text]:
    """The recipe and its text, out of the project's store.

    ``changes`` set options of the recipe, such as ``training.optimizer.beta2=0.99``. The text stays
    as it is, so that the tokenizer cannot be changed.
    """
    project = Project.here()
    store = Store(project.store)
    shards = store.current("chat/token_shards", TokenShards)
    end = store.current("chat/tokenizer", TokenizerFiles).load().end_of_text
    held_out = {s: (shards.stream(s, end), shards.text_bytes(s)) for s in SPLITS}
    return changed(project.recipes / "chat.yaml", changes), Text(shards.streams("train"), held_out)


def changed(path: Path, changes: Sequence[str]) -> Any:
    """The recipe of a file with some of its options set to other values."""
    content = yaml.safe_load(path.read_text())
    for change in changes:
        names, _, value = change.partition("=")
        section = content
        *sections, name = names.split(".")
        for part in sections:
            section = section.setdefault(part, {})
        section[name] = yaml.safe_load(value)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        copy.write_text(yaml.safe_dump(content))
        return load_recipe(copy)


class Layer(nn.Module):
    """A layer of GPT-2: attention and a feed-forward, a LayerNorm before each."""

    def __init__(self, d_model: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norms = nn.ModuleList(nn.LayerNorm(d_model, bias=False) for _ in range(2))
        self.joined = nn.Linear(d_model, 3 * d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)
        self.expand = nn.Linear(d_model, 4 * d_model, bias=False)
        self.contract = nn.Linear(4 * d_model, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)"""
        parts = self.joined(self.norms[0](x)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in parts)
        read = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.output(read.transpose(1, 2).flatten(2))
        return x + self.contract(F.gelu(self.expand(self.norms[1](x))))


class Other(nn.Module):
    """The network in the style of nanoGPT; called as ours is."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.context_length, self.vocab_size = config.context_length, config.vocab_size
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Embedding(config.context_length, config.d_model)
        layers = (Layer(config.d_model, config.n_heads) for _ in range(config.n_layers))
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(config.d_model, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                thin = name.endswith(("output.weight", "contract.weight"))
                deviation = 0.02 / math.sqrt(2 * config.n_layers) if thin else 0.02
                nn.init.normal_(parameter, 0.0, deviation)

    def forward(self, tokens: Tensor, targets: Tensor, _: Tensor | None = None) -> Tensor:
        """tokens, targets (B, T) -> the sum of nats"""
        x = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        logits = self.norm(self.layers(x)) @ self.embedding.weight.T
        flat = logits.flatten(0, 1), targets.flatten()
        return F.cross_entropy(*flat, ignore_index=IGNORED, reduction="sum")


def steps_of_other(network: Other, windows: Windows, rate: float, steps: int) -> Iterator[None]:
    """Trains it as nanoGPT does: warmup, a cosine to a tenth, decay of the matrices, clipping."""
    matrices = [p for p in network.parameters() if p.ndim == 2]
    vectors = [p for p in network.parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=True)
    warmup = min(100, steps // 10)
    for step in range(steps):
        factor = learning_rate_factor(step, steps, warmup, steps - warmup, 0.1, "cosine")
        for group in optimizer.param_groups:
            group["lr"] = rate * factor
        batch = windows.batch(step)
        loss = network(batch.tokens, batch.targets) / batch.targets.numel()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield


def other(config: Any, batch_size: int, text: Text, rate: float, seconds: float) -> dict[str, Any]:
    """Bits per byte of the other network after so many seconds of training at a rate."""

    def begin(steps: int) -> tuple[Other, Iterator[None]]:
        torch.manual_seed(0)
        network = Other(config)
        windows = text.windows(config.context_length, batch_size, 0)
        return network, steps_of_other(network, windows, rate, steps)

    steps = max(1, round(seconds / seconds_a_step(lambda: begin(10 * PROBE)[1])))
    network, made = begin(steps)
    began = time.perf_counter()
    for _ in made:
        pass
    spent = time.perf_counter() - began
    return {"rate": rate, "steps": steps, "seconds": round(spent, 1), **text.bits(network)}


def seconds_a_step(begin: Callable[[], Iterator[object]]) -> float:
    """The mean time of ``PROBE`` steps, after as many to warm up."""
    steps = begin()
    for _ in range(PROBE):
        next(steps)
    began = time.perf_counter()
    for _ in range(PROBE):
        next(steps)
    return (time.perf_counter() - began) / PROBE


def steps_of_ours(network: Any, windows: Windows, training: Any, steps: int) -> Iterator[Step]:
    """The recipe's training of that many steps, by the project's own loop."""
    events = train(
        network,
        next_token,
        windows.batch,
        optimizer_of(network, training, "fp32"),
        steps=steps,
        schedule=schedule_of(training, steps),
        clip=training.clip,
    )
    return (event for event in events if isinstance(event, Step))


def ours(recipe: Any, config: Any, text: Text, seed: int, steps: int) -> dict[str, Any]:
    """Bits per byte of the recipe's network after that many steps."""
    network = build(recipe.model.architecture, config, seed)
    windows = text.windows(config.context_length, recipe.training.batch_size, seed)
    began = time.perf_counter()
    tokens = sum(e.tokens for e in steps_of_ours(network, windows, recipe.training, steps))
    spent = time.perf_counter() - began
    return {
        "seed": seed,
        "steps": steps,
        "seconds": round(spent, 1),
        "tokens_per_second": round(tokens / spent),
        **text.bits(network),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of equal names as a table of Markdown."""
    names = list(rows[0])
    lines = [names, ["---:"] * len(names), *[list(map(str, row.values())) for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Train all and print the tables."""
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=240.0)
    options.add_argument("--seeds", type=int, nargs="*", default=[1337, 1, 2])
    options.add_argument("--steps", type=int, help="instead of the recipe's")
    options.add_argument("--change", nargs="*", default=[], metavar="OPTION=VALUE")
    options.add_argument("--alone", action="store_true", help="train ours only")
    chosen = options.parse_args()
    recipe, text = read(chosen.change)
    config = recipe.model.config(recipe.tokenizer.vocab_size)
    size, steps = recipe.training.batch_size, chosen.steps or recipe.training.steps
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}", end=" ")
    print(f"{torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}, fp32\n")
    whole = [ours(recipe, config, text, seed, steps) for seed in chosen.seeds]
    print(f"{table(whole)}\n", flush=True)
    mean, deviation = spread([row["test"] for row in whole])
    print(f"test, mean of {len(whole)} seeds: {mean:.4f}, deviation {deviation:.4f}\n", flush=True)
    if chosen.alone:
        return
    others = [other(config, size, text, rate, chosen.seconds) for rate in RATES]
    print(f"{table(others)}\n", flush=True)
    best = min(others, key=lambda row: row["validation"])
    pace = whole[0]["seconds"] / steps
    short = [
        ours(recipe, config, text, chosen.seeds[0], round(share * chosen.seconds / pace))
        for share in SHARES
    ]
    print(table(short))
    reached = [row["seconds"] for row in short if row["test"] <= best["test"]]
    said = f"{min(reached) / chosen.seconds:.3f} of its time" if reached else "not reached"
    print(f"\nthe other's best, {best['test']}, with ours: {said}")


def spread(values: list[float]) -> tuple[float, float]:
    """The mean, and the deviation of a sample."""
    mean = sum(values) / len(values)
    squares = sum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / max(1, len(values) - 1))


if __name__ == "__main__":
    main()
