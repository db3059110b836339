"""Tokens a second and utilisation of one accelerator: GPT-2's shape at 124M, 1,024 tokens a row.

Run it on a machine with a GPU: ``python benchmarks/gpu.py``. It trains in bf16 with random tokens,
as the loop does it and with the network compiled, for AdamW and for Muon. Utilisation is that of
the published dense bf16 peak of the card, or of ``--peak`` (TFLOP/s); the operations are those of
``flops_per_token``. Without a GPU it says so and ends.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from model.architectures import build, find
from model.batches.batching import Batch
from model.blocks.config import flops_per_token
from model.training.loop import Step, train
from model.training.objectives import next_token
from model.training.optim import Optimizer

# Dense bf16 TFLOP/s by the name of the card, from the makers' data sheets.
PEAKS = {"H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312, "L40S": 362, "L4": 121}
SHAPE = {"vocab_size": 50_257, "context_length": 1024}


def measure(kind: str, rows: int, steps: int, *, compiled: bool) -> tuple[float, float]:
    """Tokens a second after ten steps, and the most memory in GB."""
    network: Any = build("gpt", find("gpt").configure("gpt2-small", **SHAPE), seed=0).cuda()
    products = torch.bfloat16 if kind == "muon" else torch.float32
    optimizer = Optimizer(network, kind, learning_rate=3e-4, products=products)  # type: ignore[arg-type]
    if compiled:
        network.compile(fullgraph=True)  # in place: the loop still sees a Network
    torch.cuda.reset_peak_memory_stats()

    def batch(step: int) -> Batch:
        generator = torch.Generator().manual_seed(step)
        tokens = torch.randint(SHAPE["vocab_size"], (rows, 1025), generator=generator)
        return Batch(tokens[:, :-1], tokens[:, 1:], ("random",) * rows)

    began, warm = 0.0, 10
    for event in train(
        network, next_token, batch, optimizer, steps=warm + steps, precision="bf16", clip=1.0
    ):
        if isinstance(event, Step) and event.step == warm:
            torch.cuda.synchronize()
            began = time.perf_counter()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    return steps * rows * 1024 / seconds, torch.cuda.max_memory_allocated() / 1e9


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=64)
    options.add_argument("--steps", type=int, default=40)
    options.add_argument("--peak", type=float, help="the card's dense bf16 TFLOP/s")
    chosen = options.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured")
        return
    torch.set_float32_matmul_precision("high")
    name = torch.cuda.get_device_name()
    peak = chosen.peak or next((tera for card, tera in PEAKS.items() if card in name), None)
    flops = flops_per_token(find("gpt").configure("gpt2-small", **SHAPE))
    print(f"{name}, torch {torch.__version__}, {chosen.rows} x 1,024 tokens a step, bf16\n")
    print("| variant | tokens/s | of the peak | most memory, GB |\n| --- | ---: | ---: | ---: |")
    for kind in ("adamw", "muon"):
        for compiled in (False, True):
            rate, memory = measure(kind, chosen.rows, chosen.steps, compiled=compiled)
            share = f"{rate * flops / peak / 1e12:.0%}" if peak else "unknown"
            form = "compiled" if compiled else "as it is"
            print(f"| {kind}, {form} | {rate:,.0f} | {share} | {memory:.1f} |", flush=True)


if __name__ == "__main__":
    main()
