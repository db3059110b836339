"""The training steps that engine.py measures: ours, ours with a part undone, and those of peers.

It is also the process of one variant: it takes a step for each line of its standard input.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Steps = Iterator[float | None]
"""One training step for each ``next``; the product's yields its rate instead."""
FUSED = {"nanoGPT": False, "transformers": True, "litgpt": True}  # the AdamW of each peer
HOW = ("as it comes", "allocator step")
OURS, MODERN, PRODUCT = "ours", "modern, Muon", "product"
PARTS = (
    "freed memory returned",
    "waiting threads as they come",
    "gradients of norm, rotation, nonlinearity by autograd",
    "logits of all rows at once",
    "three products for queries, keys, values",
    "AdamW not fused",
    "AdamW for all, no Muon",
)


@dataclass(frozen=True)
class Shape:
    """A network's sizes, and those of a batch."""

    n_layers: int
    d_model: int
    vocab_size: int
    n_heads: int
    context_length: int
    batch_size: int

    @property
    def tokens(self) -> int:
        """How many tokens a step reads."""
        return self.context_length * self.batch_size

    @property
    def padded(self) -> int:
        """The vocabulary, rounded up to a multiple of 64."""
        return -(-self.vocab_size // 64) * 64


SHAPES = {
    "6/384/50257": Shape(6, 384, 50_257, 6, 256, 8),
    "4/256/8192": Shape(4, 256, 8192, 4, 256, 16),
    "124M": Shape(12, 768, 50_257, 12, 256, 2),
    "chat": Shape(4, 128, 4096, 4, 256, 8),
    "tiny": Shape(2, 64, 300, 2, 32, 2),  # to try this script
}


def windows_of(shape: Shape, step: int) -> Any:
    """(B, T + 1) tokens of one step. As in text, most are of few kinds (Zipf's law)."""
    import torch

    generator = torch.Generator().manual_seed(step)
    size = (shape.batch_size, shape.context_length + 1)
    drawn = shape.vocab_size ** torch.rand(size, generator=generator)
    return drawn.long().sub_(1).clamp_(0, shape.vocab_size - 1)


def peer_steps(name: str, shape: Shape, precision: str, *, prepared: bool) -> Steps:
    """nanoGPT's loop around a peer's network: forward, backward, clip, AdamW."""
    from pipelines.core import processor

    if prepared:
        processor.prepare()
    import peers
    import torch

    torch.manual_seed(0)
    network = peers.NETWORKS[name](shape)
    optimizer = peers.optimizer(network, fused=FUSED[name])
    for step in range(10**9):
        windows = windows_of(shape, step)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = network(windows[:, :-1], windows[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        yield None


def build_ours(shape: Shape, preset: str) -> Any:
    """Our network of that shape."""
    from model.architectures import build, find

    sizes = {
        "vocab_size": shape.vocab_size,
        "context_length": shape.context_length,
        "d_model": shape.d_model,
        "n_layers": shape.n_layers,
        "n_heads": shape.n_heads,
    }
    return build("gpt", find("gpt").configure(preset, **sizes), seed=0)


def our_steps(shape: Shape, precision: str, preset: str, kind: str) -> Steps:
    """Our own training loop."""
    from model.batches.batching import Batch
    from model.training.loop import Step, train
    from model.training.objectives import next_token
    from model.training.optim import Optimizer

    network = build_ours(shape, preset)
    optimizer = Optimizer(network, kind, learning_rate=1e-3, weight_decay=0.1)

    def batch(step: int) -> Any:
        windows = windows_of(shape, step)
        return Batch(windows[:, :-1], windows[:, 1:], ids=("drawn",) * shape.batch_size)

    for event in train(network, next_token, batch, optimizer, steps=10**9, precision=precision):
        if isinstance(event, Step):
            yield None


def undo(part: str) -> None:
    """Prepares the processor, and undoes one part of what makes a step fast."""
    from pipelines.core import processor

    if part == "freed memory returned":
        processor.keep_freed_memory = lambda: None
    elif part == "waiting threads as they come":
        processor.choose_waiting = lambda: None
    processor.prepare()
    import torch
    import torch.nn.functional as F

    from model.architectures.gpt import network
    from model.blocks import attention, elementwise
    from model.blocks.kernels import capped_logits

    def whole(features: Any, weight: Any, targets: Any, cap: float | None) -> Any:
        return F.cross_entropy(capped_logits(features, weight, cap), targets, reduction="sum")

    layer = attention.MultiHeadAttention
    project = layer._project
    if part == "gradients of norm, rotation, nonlinearity by autograd":
        elementwise.written_out = lambda _: False
    elif part == "logits of all rows at once":
        network.head_nats = whole
    elif part == "three products for queries, keys, values":
        layer._project = lambda self, x, rotary, **_: project(self, x, rotary, joined=False)
    elif part == "AdamW not fused":
        fused = torch.optim.AdamW
        torch.optim.AdamW = lambda *given, **named: fused(*given, **{**named, "fused": False})


def product_steps(shape: Shape) -> Steps:
    """Yields the operations a second of the fastest fp32 product among fitting sizes."""
    from pipelines.core import processor

    processor.prepare()
    import torch

    rows, d = shape.tokens, shape.d_model
    sizes = [(rows, d, 4 * d), (rows, 4 * d, d), (min(rows, 512), d, shape.padded), (2048,) * 3]
    pairs = [(torch.randn(n, k), torch.randn(k, m)) for n, k, m in sizes]
    while True:
        rates = []
        for left, right in pairs:
            began = time.perf_counter()
            torch.mm(left, right)
            rates.append(2 * left.numel() * right.shape[1] / (time.perf_counter() - began))
        yield max(rates)


def steps_of(variant: str, shape: Shape, precision: str) -> Steps:
    """The steps of a variant, in a processor that is prepared as the variant has it."""
    if variant == PRODUCT:
        return product_steps(shape)
    if variant in (OURS, MODERN, *PARTS):
        undo(variant)
        ours = ("gpt2", "adamw") if variant == OURS else ("modern", "muon")
        ours = ("modern", "adamw") if variant == "AdamW for all, no Muon" else ours
        return our_steps(shape, precision, *ours)
    name, how = variant.split(", ")
    return peer_steps(name, shape, precision, prepared=how == HOW[1])


def serve(variant: str, shape: Shape, precision: str) -> None:
    """A worker: takes one step for each line of the standard input, and prints what it took."""
    steps = steps_of(variant, shape, precision)
    for _ in sys.stdin:
        began = time.perf_counter()
        rate = next(steps)
        spent = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": spent, "rate": rate or 0.0, "memory": memory}), flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("variant")
    options.add_argument("shape")
    options.add_argument("precision")
    chosen = options.parse_args()
    serve(chosen.variant, SHAPES[chosen.shape], chosen.precision)
