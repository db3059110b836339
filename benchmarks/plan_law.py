"""Short trainings on several corpora, and the law of the loss that ``dragon plan`` uses.

    python benchmarks/plan_law.py train --texts FOLDER --runs runs.jsonl  # hours; it goes on later
    python benchmarks/plan_law.py fit --texts FOLDER --runs runs.jsonl  # a second; writes law.json

``train`` needs a folder of ``<corpus>.txt``. A network is trained at the full learning rate; from
several steps of it the rate is decayed to 0, as the default schedule does over the second half of a
run. So a long run gives the ends of all the shorter ones, each exactly as if it had been run alone.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import lzma
import math
import random
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.planning.law import FACTS, FELL, Law, quotient_of

ENDS = (24, 48, 96, 192, 400, 800, 1600)  # steps of the runs that a long run stands for
CORPORA = ("chitchat", "tinystories", "wikitext2", "great", "tinyshakespeare", "pydoc")
# vocabulary, d_model, layers, heads, context, batch, and the longest run
SIZES = (
    (1024, 64, 2, 2, 128, 8, 400),
    (2048, 128, 4, 2, 128, 8, 192),
    (512, 64, 2, 2, 64, 8, 400),
    (2048, 128, 4, 4, 256, 8, 192),
    (4096, 192, 4, 3, 128, 8, 96),
    (1024, 64, 2, 2, 128, 8, 1600),
)
DOCUMENT = 4000  # characters
COMPRESSED = 1_000_000  # bytes of a text


def main() -> None:
    """Train or fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("train", "fit"))
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="the file of the trainings")
    chosen = parser.parse_args()
    if chosen.what == "train":
        train_all(chosen.texts, chosen.runs)
    else:
        fit_law(chosen.texts, chosen.runs)


def train_all(texts: Path, out: Path) -> None:
    """Make every run that ``out`` does not have yet."""
    done = set()
    if out.exists():
        done = {json.loads(line)["name"] for line in out.read_text().splitlines()}
    for sizes in SIZES:
        for corpus in CORPORA:
            name = f"{corpus} {' '.join(map(str, sizes))}"
            if name not in done:
                run = train_one(texts / f"{corpus}.txt", *sizes)
                with out.open("a") as file:
                    file.write(json.dumps({"name": name, "corpus": corpus, **run}) + "\n")


def split(text: str) -> dict[str, list[str]]:
    """Documents of at most 4,000 characters that end at a line: 19 of 20 for training."""
    documents, part = [], ""
    for line in re.split(r"(?<=\n)", text):
        part += line
        if len(part) > DOCUMENT:
            documents.append(part)
            part = ""
    documents += [part] if part.strip() else []
    random.Random(0).shuffle(documents)
    cut = max(1, len(documents) // 20)
    return {"validation": documents[:cut], "train": documents[cut:]}


def train_one(
    path: Path,
    vocab: int,
    d_model: int,
    layers: int,
    heads: int,
    context: int,
    batch: int,
    longest: int,
) -> dict[str, Any]:
    """The ends of one long run and of the shorter runs in it."""
    from pipelines.core import processor

    processor.prepare()
    import torch

    from model.architectures import build, find
    from model.batches.batching import TokenStream, Windows, in_order
    from model.evaluation import mean_loss
    from model.training.loop import Saved, Step, train
    from model.training.objectives import next_token
    from model.training.optim import learning_rate_factor
    from pipelines.tokens.tokenizers.bpe_training import train_bpe
    from pipelines.training.fitting import optimizer_of
    from pipelines.training.options import Training

    parts = split(path.read_text(encoding="utf-8"))
    tokenizer = train_bpe(parts["train"], vocab)
    streams, sizes = {}, {}
    for name, documents in parts.items():
        ids = [tokenizer.end_of_text] if name == "validation" else []
        for document in documents:
            ids += [*tokenizer.encode(document), tokenizer.end_of_text]
        streams[name] = TokenStream([torch.tensor(ids)])
        sizes[name] = sum(len(document.encode()) for document in documents)
    config = find("gpt").configure(
        "modern", vocab_size=tokenizer.vocab_size, d_model=d_model, n_layers=layers,
        n_heads=heads, context_length=context,
    )  # fmt: skip
    network = build("gpt", config, seed=1)
    windows = Windows({"text": streams["train"]}, {"text": 1}, context, batch, 1)
    training = Training(steps=longest, batch_size=batch).resolved(tied=False, trained=False)
    optimizer = optimizer_of(network, training, "fp32")

    def look() -> float:
        held_out = in_order(streams["validation"], context, 32, windows=65_536 // context)
        return mean_loss(network, next_token, held_out).nats

    go = partial(train, network, next_token, windows.batch, optimizer, seed=1)
    state, ends, curve = None, [], []
    for end in [end for end in ENDS if end <= longest]:
        for event in go(steps=end // 2, checkpoint_every=end // 2, state=state):
            if isinstance(event, Step):
                curve.append(round(event.loss, 4))
            elif isinstance(event, Saved):
                state = event.state
        level = look()
        decay = partial(learning_rate_factor, steps=end, warmup=0, decay=end // 2)
        losses = [e.loss for e in go(steps=end, schedule=decay, state=state) if isinstance(e, Step)]
        ends.append(
            {
                "steps": end,
                "level": level,
                "loss": look(),
                "train": sum(losses[-20:]) / len(losses[-20:]),
            }
        )
        print(path.stem, vocab, d_model, layers, ends[-1], flush=True)
    held = len(streams["validation"]) - 1
    return {
        "vocab": tokenizer.vocab_size, "d_model": d_model, "layers": layers, "context": context,
        "batch": batch, "parameters": sum(p.numel() for p in network.parameters()),
        "bytes_a_token": sizes["validation"] / held, "train_tokens": len(streams["train"]),
        "train_bytes": sizes["train"], "ends": ends, "curve": curve,
    }  # fmt: skip


class Case(NamedTuple):
    """Three short trainings, and the long one that they are to tell."""

    corpus: str
    name: str
    steps: tuple[int, int]  # of the longest short one, and of the long one
    before: float  # what the loss fell by in the doubling before the last
    fall: float  # in the last
    loss: float
    compressed: float
    doublings: float
    truth: float

    @property
    def weight(self) -> float:
        """How much a wrong quotient changes the forecast."""
        return self.fall * self.doublings

    def told(self, law: Law) -> float:
        """The forecast of the long training's loss."""
        half = self.loss + self.fall
        losses = (half + self.before, half, self.loss)
        return law.forecast(losses, self.doublings, self.compressed)[0]


def fit_law(texts: Path, runs: Path) -> None:
    """Fit the law, tell what it misses on a corpus that was left out, and write its facts."""
    trained = [json.loads(line) for line in runs.read_text().splitlines()]
    cases = [case for run in trained for case in _cases(run, texts)]
    errors = []
    print("| left out | cases | mean miss | worst |\n| --- | ---: | ---: | ---: |")
    for corpus in sorted({case.corpus for case in cases}):
        law = Law(*_fitted([case for case in cases if case.corpus != corpus]), 0.0, 0.0)
        missed = [(case.told(law) - case.truth, case) for case in cases if case.corpus == corpus]
        errors += missed
        sizes = [abs(miss) for miss, _ in missed]
        print(f"| {corpus} | {len(sizes)} | {sum(sizes) / len(sizes):.3f} | {max(sizes):.3f} |")
    deviation = math.sqrt(sum((m / c.weight) ** 2 for m, c in errors) / len(errors))
    print("\n| doublings | cases | root mean square of the misses | within 0.03 |")
    print("| --- | ---: | ---: | ---: |")
    for first, last in ((0.0, 1.5), (1.5, 2.5), (2.5, 9.0)):
        misses = [miss for miss, case in errors if first < case.doublings <= last]
        if misses:
            square = math.sqrt(sum(miss**2 for miss in misses) / len(misses))
            near = sum(abs(miss) <= 0.03 for miss in misses)
            print(f"| {first:g} to {last:g} | {len(misses)} | {square:.3f} | {near} |")
    names = ("constant", "falling", "above")
    facts = dict(zip(names, (round(float(c), 4) for c in _fitted(cases)), strict=True))
    facts |= {"deviation": round(deviation, 4), "growth": round(_growth(trained), 4)}
    about = {"trainings": len(trained), "cases": len(cases), "date": time.strftime("%Y-%m-%d")}
    FACTS.write_text(json.dumps({**facts, **about}, indent=1) + "\n")
    print(f"\n{facts}")


def _cases(run: dict[str, Any], texts: Path) -> Iterator[Case]:
    bits = 1 / math.log(2) / run["bytes_a_token"]
    losses = {end["steps"]: bits * end["loss"] for end in run["ends"]}
    steps = sorted(losses)
    compressed = _compressed(texts / f"{run['corpus']}.txt")
    for quarter, half, whole in zip(steps, steps[1:], steps[2:], strict=False):
        before = (losses[quarter] - losses[half]) / math.log2(half / quarter)
        fall = (losses[half] - losses[whole]) / math.log2(whole / half)
        for long in (step for step in steps if step > whole):
            yield Case(
                run["corpus"], run["name"], (whole, long), before, fall, losses[whole],
                compressed, math.log2(long / whole), losses[long],
            )  # fmt: skip


@functools.cache
def _compressed(path: Path) -> float:
    text = path.read_bytes()[:COMPRESSED]
    return 8 * len(lzma.compress(text)) / len(text)


def _fitted(cases: list[Case]) -> Any:
    """The coefficients of the quotient: least squares, weighted by what they change."""
    rows = []
    for case in cases:
        falling = min(max(case.fall / case.before, FELL[0]), FELL[1])
        rows.append([1.0, falling, case.loss - case.compressed])
    weights = np.array([case.weight for case in cases])[:, None]
    design = np.array(rows) * weights
    found = [quotient_of(c.fall, c.loss - c.truth, c.doublings) for c in cases]
    ridge = 1e-4 * np.diag([0.0, 1.0, 1.0])
    return np.linalg.solve(design.T @ design + ridge, design.T @ (np.array(found) * weights[:, 0]))


def _growth(runs: list[dict[str, Any]]) -> float:
    """The loss that a doubling of the parameters saves, over pairs of runs of equal steps."""
    saved = []
    for one, other in itertools.permutations(runs, 2):
        doublings = math.log2(other["parameters"] / one["parameters"])
        if (
            one["corpus"] == other["corpus"]
            and doublings > 1
            and one["context"] == other["context"]
        ):
            ends = [{e["steps"]: e["loss"] / math.log(2) / r["bytes_a_token"] for e in r["ends"]}
                    for r in (one, other)]  # fmt: skip
            last = max(ends[0].keys() & ends[1].keys())
            saved.append((ends[0][last] - ends[1][last]) / doublings)
    return sum(saved) / len(saved) if saved else 0.0


if __name__ == "__main__":
    main()
