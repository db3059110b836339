"""Fine-tunes a classifier of 124M by each method, beside the loops of a textbook.

Run it on a quiet machine (about twenty minutes on two cores; --quick in three):

    python benchmarks/adapters.py [--batch 4] [--quick]

Each variant trains in a process of its own; they take turns step by step over the same examples, so
that all meet the same machine. Two data sets: rows of one length (the context, 256), and rows as
long as text messages are, which the textbook pads to the longest and we read sorted by length. The
seconds are those of whole epochs. What the last block's frozen blocks make of an example is kept
after the first epoch, so later epochs are told apart. It prints a table and writes it to
adapters-DATE.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CONTEXT, VOCABULARY, WIDTH, LAYERS, HEADS = 256, 50_257, 768, 12, 12
VARIANTS = ("textbook, last block", "ours, last block", "textbook, lora", "ours, lora",
            "ours, all weights")  # fmt: skip
DATA = ("rows of one length", "rows as text messages")
# (what, of, against, epochs, goal): seconds of the second over those of the first.
GOALS = (
    ("last block, first epoch", "ours, last block", "textbook, last block", 0, 2.0),
    ("last block, from the second epoch", "ours, last block", "textbook, last block", 1, 5.0),
    ("lora", "ours, lora", "textbook, lora", 1, 2.5),
    ("lora beside all weights", "ours, lora", "ours, all weights", 1, 1.35),
)


def examples(data: str, count: int) -> tuple[list[list[int]], list[int]]:
    """Rows of random tokens, and labels; lengths as those of text messages in GPT-2's tokens.

    Their logarithms are normal, with the median 24 and the longest 120.
    """
    draw = random.Random(3)
    if data == DATA[0]:
        lengths = [CONTEXT] * count
    else:
        drawn = (int(draw.lognormvariate(3.18, 0.6)) for _ in range(count - 1))
        lengths = [*(min(max(length, 6), 120) for length in drawn), 120]
    rows = [[draw.randrange(VOCABULARY - 1) for _ in range(length)] for length in lengths]
    return rows, [draw.randrange(2) for _ in rows]


def ours(method: str, data: str, batch: int, count: int) -> Iterator[float]:
    """Our training as the product makes it: yields once when it is ready, then each step's loss."""
    from model.architectures import build, find
    from model.batches.examples import Examples
    from model.training.adapters import Classifier
    from model.training.loop import train
    from model.training.objectives import classify
    from model.training.prefix import Begun, pays
    from pipelines.training.adapting import prepare
    from pipelines.training.artefacts import Checkpoint
    from pipelines.training.fitting import optimizer_of
    from pipelines.training.options import FineTuning

    said: dict[str, Any] = {"kind": method}
    if method == "lora":
        said |= {"rank": 16, "alpha": 16}
    training = FineTuning.model_validate(
        {"steps": 10**6, "precision": "fp32", "optimizer": {"kind": "adamw"}, "method": said}
    ).resolved(tied=True, trained=True)
    sizes = {"context_length": CONTEXT, "d_model": WIDTH, "n_layers": LAYERS, "n_heads": HEADS}
    config = find("gpt").configure("gpt2", **sizes, vocab_size=VOCABULARY, dropout=0.0)
    network = Classifier(build("gpt", config, 0), 2)
    base = Checkpoint("gpt2/foundation", "0" * 64, "", Path(), {})
    prepare(network, training.method, base, 0)
    rows, labels = examples(data, count)
    read = Examples(
        rows, labels=labels, pad=VOCABULARY - 1, context_length=CONTEXT, batch_size=batch
    )
    classify(network, read.batch(0)).backward()  # warm; no update
    for parameter in network.parameters():
        parameter.grad = None
    steps = training.steps or 0
    batches = Begun(network, read, "fp32").batch if pays(network, read, steps) else read.batch
    optimizer = optimizer_of(network, training, "fp32")
    yield 0.0
    for event in train(network, classify, batches, optimizer, steps=steps, clip=training.clip):
        yield event.loss  # type: ignore[union-attr]


def textbook(method: str, data: str, batch: int, count: int) -> Iterator[float]:
    """The textbook's training: yields once when it is ready, then the loss of each step."""
    import torch
    from textbook import TextbookClassifier, prepared, steps_of

    rows, labels = examples(data, count)
    network = TextbookClassifier(VOCABULARY, WIDTH, LAYERS, HEADS, CONTEXT)
    prepared(network, method)
    network(torch.tensor(rows[:1])).sum().backward()  # warm; no update
    network.zero_grad()
    step: Callable[[int], float] = steps_of(network, rows, labels, batch)
    yield 0.0
    number = 0
    while True:
        yield step(number)
        number += 1


def work(variant: str, data: str, batch: int, count: int) -> None:
    """One process: makes a step for each line that it is given, and says how long it took."""
    from pipelines.core import processor

    processor.prepare()
    import torch

    from pipelines.training.machine import peak_memory

    who, _, what = variant.partition(", ")
    method = {"last block": "last_block", "lora": "lora", "all weights": "full"}[what]
    torch.manual_seed(0)
    steps = (ours if who == "ours" else textbook)(method, data, batch, count)
    next(steps)
    for _ in sys.stdin:
        began = time.perf_counter()
        loss = next(steps)
        took = time.perf_counter() - began
        memory = peak_memory(torch.device("cpu"))
        print(json.dumps({"seconds": took, "memory": memory, "loss": loss}), flush=True)


class Worker:
    """The process of one variant."""

    def __init__(self, variant: str, data: str, batch: int, count: int) -> None:
        command = [sys.executable, __file__, "--work", variant, "--data", data]
        command += ["--batch", str(batch), "--count", str(count)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
        )
        self.seconds: list[float] = []
        self.memory = 0

    def step(self) -> None:
        """Make a step and note how long it took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        self.seconds.append(told["seconds"])
        self.memory = told["memory"]

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measured(data: str, batch: int, steps: int, epochs: int) -> dict[str, Worker]:
    """All variants over some epochs of ``steps`` steps each, in turns."""
    workers = {name: Worker(name, data, batch, steps * batch) for name in VARIANTS}
    for number in range(steps * epochs):
        for worker in list(workers.values())[:: 1 if number % 2 else -1]:
            worker.step()
    for worker in workers.values():
        worker.end()
    return workers


def table(data: str, workers: dict[str, Worker], steps: int) -> list[str]:
    """The rows of one data set in Markdown, and the ratios beside their goals."""

    def epochs_of(name: str) -> tuple[float, float]:
        """Seconds of the first epoch, and the least of the later ones."""
        seconds = workers[name].seconds
        each = [sum(seconds[at : at + steps]) for at in range(0, len(seconds), steps)]
        return each[0], min(each[1:])

    lines = [f"### {data}", "", "| variant | first epoch, s a step | later | most memory, MB |",
             "| --- | ---: | ---: | ---: |"]  # fmt: skip
    for name, worker in workers.items():
        first, later = (seconds / steps for seconds in epochs_of(name))
        lines.append(f"| {name} | {first:.2f} | {later:.2f} | {worker.memory / 1e6:,.0f} |")
    lines += ["", "| | times as fast | goal |", "| --- | ---: | ---: |"]
    for what, of, against, epoch, goal in GOALS:
        ratio = epochs_of(against)[epoch] / epochs_of(of)[epoch]
        lines.append(f"| {what}: {of} against {against} | {ratio:.2f} | {goal:g} |")
    return [*lines, ""]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="two steps an epoch, two epochs")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--data", default=DATA[1], help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.data, given.batch, given.count)
        return
    import torch

    steps, epochs = (2, 2) if given.quick else (8, 3)
    today = time.strftime("%Y-%m-%d")
    lines = [
        f"# Adapters and the last block beside a textbook's loops, {today}",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, fp32, 124M"
        f" ({LAYERS} layers, width {WIDTH}, vocabulary {VOCABULARY:,}), batches of {given.batch},"
        f" {epochs} epochs of {steps} steps. `python benchmarks/adapters.py --batch"
        f" {given.batch}{' --quick' if given.quick else ''}`.",
        "",
    ]
    print("\n".join(lines), flush=True)
    for data in DATA:
        rows = table(data, measured(data, given.batch, steps, epochs), steps)
        print("\n".join(rows), flush=True)
        lines += rows
    path = Path(__file__).with_name(f"adapters-{today}.md")
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
