"""Tokens a second of the chat recipe's training step, with and without what makes it fast.

Run it on a quiet machine: ``python benchmarks/training.py``. Each variant runs in a process of its
own (allocator and threads are set once per process), the variants take turns, and the best of the
turns counts; the table it prints goes into a dated file beside it.

The last variant is the loop as a textbook writes it: AdamW over all parameters, not fused,
gradients left to autograd, the allocator and the threads as they come. It stands for a plain
PyTorch loop on the same network, not for any particular project.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time

VARIANTS = ("ours", "without preparing the processor", "AdamW for all", "textbook loop")


def measure(variant: str, recipe_name: str, steps: int) -> float:
    """Tokens a second of one variant over ``steps`` steps, after warming up."""
    from pipelines.core import processor

    if variant in ("ours", "AdamW for all"):
        processor.prepare()
    import torch

    from model.architectures import build
    from model.batches.batching import TokenStream, Windows
    from model.training.loop import Step, fastest_precision, train
    from model.training.objectives import next_token
    from model.training.optim import Optimizer
    from pipelines.core.project import Project
    from pipelines.recipe.loading import load_recipe

    recipe = load_recipe(Project.here().recipes / f"{recipe_name}.yaml")
    vocab_size = recipe.tokenizer.vocab_size or 50_304
    config = recipe.model.config(vocab_size)
    network = build(recipe.model.architecture, config, seed=0)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocab_size, (2_000_000,), generator=generator)
    size = recipe.training.batch_size
    windows = Windows(
        {"noise": TokenStream([tokens])}, {"noise": 1}, config.context_length, size, 0
    )
    if variant == "textbook loop":
        return _textbook(network, windows, steps)
    kind = "adamw" if variant == "AdamW for all" else "muon"
    optimizer = Optimizer(network, kind, learning_rate=1e-3)
    precision = fastest_precision()
    warm, began, done = steps // 4, 0.0, 0
    for event in train(
        network, next_token, windows.batch, optimizer, steps=warm + steps, precision=precision
    ):
        if isinstance(event, Step) and event.step == warm:
            began = time.perf_counter()
        elif isinstance(event, Step) and event.step > warm:
            done += event.tokens
    return done / (time.perf_counter() - began)


def _textbook(network: object, windows: object, steps: int) -> float:
    import torch
    import torch.nn.functional as F

    from model.blocks import kernels

    kernels.plain = lambda _: True
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, foreach=False)  # type: ignore[attr-defined]
    warm, began = steps // 4, 0.0
    for step in range(warm + steps):
        if step == warm:
            began = time.perf_counter()
        batch = windows.batch(step)  # type: ignore[attr-defined]
        optimizer.zero_grad()
        logits = network(batch.tokens)  # type: ignore[operator]
        F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten()).backward()
        optimizer.step()
    tokens = steps * batch.tokens.numel()
    return tokens / (time.perf_counter() - began)


def main() -> None:
    """Run all variants in turn and print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--recipe", default="chat")
    options.add_argument("--steps", type=int, default=40)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--variant")
    chosen = options.parse_args()
    if chosen.variant:
        print(json.dumps(measure(chosen.variant, chosen.recipe, chosen.steps)))
        return
    best = dict.fromkeys(VARIANTS, 0.0)
    for _ in range(chosen.turns):
        for variant in VARIANTS:
            command = [sys.executable, __file__, "--variant", variant, "--recipe", chosen.recipe]
            command += ["--steps", str(chosen.steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            best[variant] = max(best[variant], float(done.stdout))
    import torch

    flags = torch.backends.cpu.get_cpu_capability()
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()} {flags},")
    print(f"torch {torch.__version__}, recipe {chosen.recipe}, best of {chosen.turns} turns\n")
    print("| variant | tokens/s | ours is |\n| --- | ---: | ---: |")
    for variant, rate in best.items():
        print(f"| {variant} | {rate:,.0f} | {best['ours'] / rate:.2f}x |")


if __name__ == "__main__":
    main()
