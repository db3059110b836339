"""Influence: does a ranking of documents agree with what retraining without them does?

``python benchmarks/influence.py --work FOLDER`` once ``dragon run tiny`` has made the tokenizer and
the documents of tiny; it takes some minutes. Finished trainings stay in FOLDER, so that it may be
interrupted; ``--only K`` makes one of them and ends. The figures go to the table that it prints and
into pipelines/lineage/agreement.json, which ``dragon attribute --influence`` shows.

The documents are the training documents of tiny and ten planted ones, conversations about a thing
that no other document has. Tiny's network is trained on all of them, by tiny's own training, and
forty times on a random half of them, with the same weights at the start and as many steps. Each
answer is a document of the test split.

Agreement (Park et al. 2023, the linear datamodelling score): of each answer and each half, the sum
of the influences of the half's documents is compared with the answer's loss after training on the
half, by the rank correlation over the forty halves; told is the mean over the answers. It cannot be
1, because another order of the same documents changes the loss too: the noise is the deviation over
six orders of one half, beside the deviation over the forty halves.

Planted: an eleventh conversation about the thing is the answer; told is how many of the ten are
among the first hundredth of all documents.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.core import processor

processor.prepare()

import torch  # noqa: E402
from scipy.stats import spearmanr  # noqa: E402
from torch import Tensor  # noqa: E402

from model.architectures import build  # noqa: E402
from model.batches.batching import Batch, TokenStream, Windows  # noqa: E402
from model.influence import gradient, nats  # noqa: E402
from model.training.loop import Step, train  # noqa: E402
from model.training.objectives import next_token  # noqa: E402
from pipelines.core.project import Project  # noqa: E402
from pipelines.core.store import Store  # noqa: E402
from pipelines.corpora.artefacts import Documents  # noqa: E402
from pipelines.lineage.influence import AGREEMENT, Look, batch_of, influences, windows  # noqa: E402
from pipelines.recipe.loading import load_recipe  # noqa: E402
from pipelines.tokens.artefacts import TokenizerFiles  # noqa: E402
from pipelines.training.fitting import optimizer_of, schedule_of  # noqa: E402

HALVES, ORDERS, ANSWERS, STATES = 40, 6, 20, 3
PLANTED = (
    "A: Have you seen a {0} zorblat?\nB: Yes, the zorblat of {1} is {0}.\nA: Does it quazzle?\n"
    "B: Every zorblat can quazzle, and {2} quazzles {0}.\n"
)
WORDS = (
    ("green", "old", "tiny", "loud", "wet", "warm", "slow", "round", "shy", "bold", "grey"),
    ("Anna", "Tom", "Mia", "Leo", "Eve", "Max", "Ida", "Sam", "Zoe", "Ben", "Amy"),
    ("mine", "yours", "hers", "his", "ours", "theirs", "one", "none", "each", "this", "that"),
)


class Trial:
    """Tiny's text, network and training."""

    def __init__(self, store: Store, root: Path) -> None:
        self.recipe = load_recipe(root / "recipes" / "tiny.yaml")
        self.tokenizer = store.current("tiny/tokenizer", TokenizerFiles).load()
        assert self.recipe.model is not None
        self.config = self.recipe.model.config(self.tokenizer.vocab_size)
        documents = store.current("toy_dialogues/documents", Documents)
        planted = [PLANTED.format(*words) for words in zip(*WORDS, strict=True)]
        self.texts = [*planted[:-1], *documents.training_texts()]
        held = [document.text for document in documents.split("test")][:ANSWERS]
        self.answers = [self._asked(text) for text in held]
        self.planted = self._asked(planted[-1])

    @cached_property
    def tokens(self) -> list[list[int]]:
        """The tokens of each document, closed by the end of text."""
        return [self._closed(text) for text in self.texts]

    def looks(self, chosen: Sequence[int], seed: int, states: int = 1) -> Iterator[Look]:
        """Networks trained on the chosen documents, after so many even shares of the steps."""
        training = self.recipe.training
        assert training is not None
        steps = training.steps_for(self.config.context_length)
        network = build("gpt", self.config, self.recipe.seed)
        stream = TokenStream([torch.tensor([t for n in chosen for t in self.tokens[n]])])
        size, length = training.batch_size, self.config.context_length
        batches = Windows({"all": stream}, {"all": 1.0}, length, size, seed)
        events = train(
            network,
            next_token,
            batches.batch,
            optimizer_of(network, training, "fp32"),
            steps=steps,
            schedule=(rate := schedule_of(training, steps)),
            clip=training.clip,
        )
        for event in events:
            if isinstance(event, Step) and event.step % (steps // states) == 0:
                yield Look(event.step, rate(event.step - 1), network)

    def losses(self, network: Any) -> list[float]:
        """The nats of each answer."""
        network.eval()
        with torch.inference_mode():
            return [nats(network, answer).sum().item() for answer in self.answers]

    def influences(self, look: Look) -> Tensor:
        """(answers, documents) float64: the influence of each document on each answer.

        Of so many answers, the products of the gradients themselves take less time than slopes.
        """
        network = look.network.eval()
        asked = torch.stack([_flat(gradient(network, answer)) for answer in self.answers])
        start, length = self.tokenizer.start, self.config.context_length
        batches = (batch_of(windows(tokens, start, length)) for tokens in self.tokens)
        columns = [asked @ _flat(gradient(network, batch)) for batch in batches]
        return look.rate * torch.stack(columns, dim=1).double()

    def planted_first(self, looks: Sequence[Look]) -> int:
        """How many of the planted documents are among the first hundredth, by the command's way."""
        start, length = self.tokenizer.start, self.config.context_length
        scores = influences(looks, self.planted, lambda: self.tokens, start=start, length=length)
        first = sorted(range(len(scores)), key=lambda n: -scores[n])[: len(scores) // 100]
        return sum(n < len(WORDS[0]) - 1 for n in first)

    def _asked(self, text: str) -> Batch:
        start, length = self.tokenizer.start, self.config.context_length
        return batch_of(windows(self._closed(text), start, length))

    def _closed(self, text: str) -> list[int]:
        return [*self.tokenizer.encode(text), self.tokenizer.end_of_text]


def half(number: int, count: int) -> list[int]:
    """A random half of the documents."""
    return sorted(random.Random(number).sample(range(count), count // 2))


def retrained(trial: Trial, number: int, work: Path) -> list[float]:
    """The losses after a training: on a half each, then in other orders on the first half."""
    path = work / f"training-{number:02d}.json"
    if not path.exists():
        order = max(0, number - HALVES + 1)
        chosen = half(0 if order else number, len(trial.tokens))
        (look,) = trial.looks(chosen, trial.recipe.seed + order)
        path.with_suffix(".partial").write_text(json.dumps(trial.losses(look.network)))
        path.with_suffix(".partial").replace(path)
    found: list[float] = json.loads(path.read_bytes())
    return found


def correlations(scores: Tensor, losses: Sequence[list[float]]) -> list[float]:
    """Of each answer: the rank correlation over the halves of foretold and found losses."""
    halves = [half(number, scores.shape[1]) for number in range(len(losses))]
    foretold = torch.stack([-scores[:, chosen].sum(1) for chosen in halves])
    pairs = zip(foretold.T.tolist(), zip(*losses, strict=True), strict=True)
    return [float(spearmanr(ours, found).statistic) for ours, found in pairs]


def measured(values: Sequence[float], planted: int) -> dict[str, Any]:
    """The figures of one way to look at the training, from the correlation of each answer."""
    return {
        "correlation": round(statistics.mean(values), 3),
        "error": round(statistics.stdev(values) / math.sqrt(len(values)), 3),
        "lowest": round(min(values), 3),
        "highest": round(max(values), 3),
        "planted": planted,
    }


def main() -> None:
    """Train, compare and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", type=int, help="make this training and end")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    project = Project.here()
    trial = Trial(Store(project.store), project.root)
    if options.only is not None:
        retrained(trial, options.only, options.work)
        return
    every = [retrained(trial, number, options.work) for number in range(HALVES + ORDERS)]
    losses, orders = every[:HALVES], every[HALVES:]
    whole = trial.looks(range(len(trial.tokens)), trial.recipe.seed, STATES)
    looks = [look._replace(network=deepcopy(look.network)) for look in whole]  # training goes on
    scores = [trial.influences(look) for look in looks]
    ways = {
        "kept": measured(correlations(sum(scores), losses), trial.planted_first(looks)),
        "end": measured(correlations(scores[-1], losses), trial.planted_first(looks[-1:])),
    }
    about = {
        "recipe": "tiny",
        "documents": len(trial.tokens),
        "retrainings": HALVES,
        "answers": len(trial.answers),
        "first": len(trial.tokens) // 100,
        "noise": round(deviation(orders) / deviation(losses), 3),
        "date": time.strftime("%Y-%m-%d"),
    }
    AGREEMENT.write_text(json.dumps({**about, "ways": ways}, indent=1) + "\n", encoding="utf-8")
    print(f"{about['date']}, {os.cpu_count()} cores, {platform.machine()}", end=", ")
    print(f"torch {torch.__version__}\n")
    print(json.dumps({**about, "ways": ways}, indent=1))


def _flat(gradients: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in gradients.values()])


def deviation(rows: Sequence[list[float]]) -> float:
    """The deviation of an answer's losses over the rows, its mean over the answers."""
    return statistics.mean(statistics.stdev(column) for column in zip(*rows, strict=True))


if __name__ == "__main__":
    main()
