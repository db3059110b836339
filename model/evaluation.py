"""Evaluation: losses of a network, and scores of predictions against labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from model.batches.batching import Batch
from model.training.distributed import ALONE, Group
from model.training.objectives import Objective


@dataclass(frozen=True)
class Loss:
    """Mean loss ``nats`` over ``count`` targets."""

    nats: float
    count: int

    @property
    def total(self) -> float:
        return self.nats * self.count


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Switches dropout off inside the block, and restores the mode after it."""
    training = network.training
    if not training:  # setting the mode of all modules takes as long as a small network's pass
        yield
        return
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Products in bf16 inside the block, if ``precision`` is bf16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def mean_loss(
    network: Any,
    objective: Objective,
    batches: Iterable[Batch],
    precision: str = "fp32",
    group: Group = ALONE,
) -> Loss:
    """The mean over all counted targets, for any batch size. ValueError if there are none.

    The processes of a ``group`` each read their rows of every batch.
    """
    total, count = 0.0, 0
    device = next(network.parameters()).device
    with evaluating(network), torch.inference_mode(), autocast(device, precision):
        for batch in batches:
            counted = batch.counted
            if counted:
                network.check(batch)
                total += objective(network, group.share(batch).to(device)).item()
                count += counted
    if not count:
        raise ValueError("counted targets=0: a mean loss needs at least one, add data")
    nats = group.total(torch.tensor(total, dtype=torch.float64, device=device))
    return Loss(nats.item() / count, count)


def perplexity(nats: float) -> float:
    """Mean nats a token -> the number of equally likely tokens with that loss. Book 5.1."""
    return math.exp(nats) if nats < 700 else math.inf


def bits_per_byte(nats: float, n_bytes: int) -> float:
    """Total nats of a text -> bits per byte, which compare between tokenizers."""
    if n_bytes < 1:
        raise ValueError(f"n_bytes={n_bytes}: bits per byte need at least one byte of text")
    return nats / math.log(2) / n_bytes


def confusion_matrix(
    labels: Sequence[int], predictions: Sequence[int], n_classes: int
) -> list[list[int]]:
    """Counts: one row for each label, one column for each prediction."""
    if len(labels) != len(predictions) or not labels:
        raise ValueError(
            f"labels={len(labels)} predictions={len(predictions)}: "
            "give one prediction per label, at least one"
        )
    matrix = [[0] * n_classes for _ in range(n_classes)]
    for label, prediction in zip(labels, predictions, strict=True):
        if not (0 <= label < n_classes and 0 <= prediction < n_classes):
            raise ValueError(
                f"label={label} prediction={prediction} do not fit n_classes={n_classes}"
            )
        matrix[label][prediction] += 1
    return matrix


def accuracy(labels: Sequence[int], predictions: Sequence[int]) -> float:
    matrix = confusion_matrix(labels, predictions, 1 + max([*labels, *predictions], default=0))
    return sum(matrix[i][i] for i in range(len(matrix))) / len(labels)


def precision(labels: Sequence[int], predictions: Sequence[int], positive: int = 1) -> float:
    """The share of true positives among predicted positives; 0 if no prediction is positive."""
    hits, predicted, _ = _counts(labels, predictions, positive)
    return hits / predicted if predicted else 0.0


def recall(labels: Sequence[int], predictions: Sequence[int], positive: int = 1) -> float:
    """The share of positives that are predicted. Raises ValueError if no label is positive."""
    hits, _, positives = _counts(labels, predictions, positive)
    if not positives:
        raise ValueError(f"labels equal to positive={positive}: 0; recall needs one")
    return hits / positives


def f1(labels: Sequence[int], predictions: Sequence[int], positive: int = 1) -> float:
    """Harmonic mean of precision and recall. Raises ValueError if no label is positive."""
    hits, predicted, positives = _counts(labels, predictions, positive)
    if not positives:
        raise ValueError(f"labels equal to positive={positive}: 0; F1 needs one")
    return 2 * hits / (predicted + positives)


def _counts(
    labels: Sequence[int], predictions: Sequence[int], positive: int
) -> tuple[int, int, int]:
    """The numbers of true positives, of predicted positives and of positive labels."""
    if len(labels) != len(predictions) or not labels:
        raise ValueError(
            f"labels={len(labels)} predictions={len(predictions)}: "
            "give one prediction per label, at least one"
        )
    pairs = list(zip(labels, predictions, strict=True))
    hits = sum(label == prediction == positive for label, prediction in pairs)
    predicted = sum(prediction == positive for prediction in predictions)
    return hits, predicted, sum(label == positive for label in labels)
