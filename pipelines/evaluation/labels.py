"""A classifier on held-out texts: scores, baselines and the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from model.batches.batching import Batch
from model.evaluation import accuracy, confusion_matrix, f1, precision, recall
from pipelines.evaluation.baselines import majority_baseline, tfidf_baseline
from pipelines.evaluation.findings import Confusion
from pipelines.examples.artefacts import Labelled


def predict(network: Any, batches: Iterable[Batch]) -> list[int]:
    """A classifier's most likely label for every example, in order."""
    network.eval()
    where = next(network.parameters()).device
    found: list[int] = []
    with torch.inference_mode():
        for batch in batches:
            moved = batch.to(where)
            found += network(moved.tokens, moved.last).argmax(dim=-1).tolist()
    return found


def scores(truth: Sequence[int], predicted: Sequence[int], n_labels: int) -> dict[str, float]:
    """Accuracy, and precision, recall and F1: of the last of two labels, of more the macro means.

    A mean is over the labels that ``truth`` has: what is not there cannot be found.
    """
    measures = {"precision": precision, "recall": recall, "f1": f1}
    found = {"accuracy": accuracy(truth, predicted)}
    if n_labels == 2:
        return found | {name: of(truth, predicted, 1) for name, of in measures.items()}
    there = sorted(set(truth))
    return found | {
        f"macro_{name}": sum(of(truth, predicted, label) for label in there) / len(there)
        for name, of in measures.items()
    }


def headline(labels: Sequence[str]) -> tuple[str, str]:
    """Which of the ``scores`` a classifier is compared by, and how a person calls it."""
    if len(labels) == 2:
        return "f1", f"F1 of {labels[-1]}"
    return "macro_f1", f"macro F1 of {len(labels)} labels"


def label_baselines(
    train: Sequence[Labelled], test: Sequence[Labelled], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Scores of the majority label and of TF-IDF with logistic regression on the test split."""
    truth = [labels.index(row.label) for row in test]
    texts, given = [row.text for row in train], [row.label for row in train]
    guesses = {
        "TF-IDF + logistic regression": tfidf_baseline(texts, given, [row.text for row in test]),
        "majority": majority_baseline(given, len(test)),
    }
    return {
        name: scores(truth, [labels.index(label) for label in guess], len(labels))
        for name, guess in guesses.items()
    }


def confusion(truth: Sequence[int], predicted: Sequence[int], labels: Sequence[str]) -> Confusion:
    """The confusion matrix with its labels: rows true, columns predicted."""
    return {"matrix": confusion_matrix(truth, predicted, len(labels)), "labels": list(labels)}
