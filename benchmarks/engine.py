"""Tokens a second of a training step beside other projects' networks, and what each part brings.

Run it on a quiet machine (each command takes some minutes):

    python benchmarks/engine.py table [--litgpt PYTHON]    beside the peers, on three shapes
    python benchmarks/engine.py curves                     30 losses beside those of the plain form
    python benchmarks/engine.py parts                      ours with one part undone a row

Each variant runs in a process of its own (allocator and threads are set once a process). All have
the same shape, data, loop and AdamW (Muon stands in a row apart), and they take turns step by step,
so that all meet the same machine. The fastest step of each counts. PYTHON is one that has litgpt
installed. The peak is that of the fastest fp32 product of the shape's own sizes, in the same turns;
the operations of a step are those of ``flops_per_token``, for every variant alike. The tables go
into a dated file beside this one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from steps import FUSED, HOW, MODERN, OURS, PARTS, PRODUCT, SHAPES, build_ours

from pipelines.core.processor import SPINS

WARM = 2  # steps before the first that counts


class Worker:
    """The process of one variant, and the best of what it has shown."""

    def __init__(self, python: str, variant: str, shape: str, precision: str) -> None:
        command = [python, str(Path(__file__).with_name("steps.py")), variant, shape, precision]
        # All start together, so each would find the machine busy; later they take turns on it.
        idle = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": SPINS}
        as_it_comes = variant.endswith(HOW[0]) or variant == "waiting threads as they come"
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ({} if as_it_comes else idle),
        )
        self.best = {"seconds": float("inf"), "rate": 0.0, "memory": 0.0}

    def step(self) -> dict[str, float]:
        """Takes one step and waits for it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]

    def turn(self) -> None:
        """Takes a step that counts, after one that brings its memory back into the caches."""
        self.step()
        shown = self.step()
        self.best = {
            "seconds": min(self.best["seconds"], shown["seconds"]),
            "rate": max(self.best["rate"], shown["rate"]),
            "memory": shown["memory"],
        }

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measured(
    variants: Sequence[str], shape: str, turns: int, precision: str, litgpt: str | None
) -> dict[str, dict[str, float]]:
    """The best of every variant; they take turns, in a direction that changes each time."""
    workers = {
        variant: Worker(
            litgpt if litgpt and variant.startswith("litgpt") else sys.executable,
            variant,
            shape,
            precision,
        )
        for variant in variants
    }
    for worker in workers.values():  # all have started together
        for _ in range(WARM):
            worker.step()
    for turn in range(turns):
        for worker in list(workers.values())[:: 1 if turn % 2 else -1]:
            worker.turn()
    for worker in workers.values():
        worker.end()
    return {variant: worker.best for variant, worker in workers.items()}


def print_table(shape_name: str, best: dict[str, dict[str, float]], ours: str) -> None:
    """One table in Markdown; the rows of our networks count their own operations."""
    from model.blocks.config import flops_per_token

    shape, peak = SHAPES[shape_name], best.pop(PRODUCT)["rate"]
    flops = flops_per_token(build_ours(shape, "gpt2").config)
    print(f"\n### {shape_name}, {shape.batch_size} x {shape.context_length} tokens a step\n")
    print(f"Peak of a product: {peak / 1e9:.0f} GFLOP/s.\n")
    print(f"| variant | tokens/s | {ours} is | of the peak | most memory, MB |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for variant, shown in best.items():
        ratio = shown["seconds"] / best[ours]["seconds"]
        share = flops * shape.tokens / shown["seconds"] / peak
        print(
            f"| {variant} | {shape.tokens / shown['seconds']:,.0f} | {ratio:.2f}x |"
            f" {share:.0%} | {shown['memory']:,.0f} |"
        )
    sys.stdout.flush()


def print_curves(names: Sequence[str], steps: int = 30) -> None:
    """The largest difference of 30 losses from those of the plain structure and torch's AdamW.

    Both begin with the same weights and read batches of 2 x 64 tokens.
    """
    from pipelines.core import processor

    processor.prepare()
    import peers

    print("| shape | first loss | last loss | largest difference |\n| --- | ---: | ---: | ---: |")
    for name in names:
        ours, plain = peers.curves(SHAPES[name], steps)
        apart = max(abs(a - b) for a, b in zip(ours, plain, strict=True))
        print(f"| {name} | {plain[0]:.4f} | {plain[-1]:.4f} | {apart:.1e} |", flush=True)


def print_machine() -> None:
    """The line above the tables."""
    import torch

    flags = torch.backends.cpu.get_cpu_capability()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()} {flags},")
    print(f"torch {torch.__version__}, load average {load} before", flush=True)


def main() -> None:
    """Run what was asked for and print its tables."""
    options = argparse.ArgumentParser()
    options.add_argument("what", choices=("table", "curves", "parts"))
    options.add_argument("--shapes", nargs="+", default=None, choices=SHAPES)
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options.add_argument("--peers", nargs="+", default=list(FUSED), choices=FUSED)
    options.add_argument("--litgpt", help="a Python interpreter that has litgpt")
    chosen = options.parse_args()
    print_machine()
    shapes = chosen.shapes or (["chat"] if chosen.what == "parts" else list(SHAPES)[:3])
    if chosen.what == "curves":
        print_curves(shapes)
        return
    there = [name for name in chosen.peers if name != "litgpt" or chosen.litgpt]
    peers = [f"{name}, {how}" for name in there for how in HOW]
    variants = [OURS, *peers, MODERN] if chosen.what == "table" else [MODERN, *PARTS]
    for name in shapes:
        best = measured([*variants, PRODUCT], name, chosen.turns, chosen.precision, chosen.litgpt)
        print_table(name, best, variants[0])


if __name__ == "__main__":
    main()
