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
    """The number of the classifier's most likely label for every example, in order."""
    network.eval()
    device = next(network.parameters()).device
    predicted: list[int] = []
    with torch.inference_mode():
        for batch in batches:
            moved = batch.to(device)
            predicted += network(moved.tokens, moved.last).argmax(dim=-1).tolist()
    return predicted


def scores(truth: Sequence[int], predicted: Sequence[int], n_labels: int) -> dict[str, float]:
    """Accuracy, precision, recall and F1.

    With two labels, the last three are those of the second label. With more labels, they are macro
    means over the labels that ``truth`` has, because no model can find a label that is absent.
    """
    measures = {"precision": precision, "recall": recall, "f1": f1}
    figures = {"accuracy": accuracy(truth, predicted)}
    if n_labels == 2:
        return figures | {name: measure(truth, predicted, 1) for name, measure in measures.items()}
    present = sorted(set(truth))
    return figures | {
        f"macro_{name}": sum(measure(truth, predicted, label) for label in present) / len(present)
        for name, measure in measures.items()
    }


def headline(labels: Sequence[str]) -> tuple[str, str]:
    """The name of the score that compares classifiers, and the same name for people."""
    if len(labels) == 2:
        return "f1", f"F1 of {labels[-1]}"
    return "macro_f1", f"macro F1 of {len(labels)} labels"


def label_baselines(
    train: Sequence[Labelled], test: Sequence[Labelled], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Scores of the majority label and of TF-IDF with logistic regression on the test split."""
    truth = [labels.index(row.label) for row in test]
    texts, answers = [row.text for row in train], [row.label for row in train]
    predictions = {
        "TF-IDF + logistic regression": tfidf_baseline(texts, answers, [row.text for row in test]),
        "majority": majority_baseline(answers, len(test)),
    }
    return {
        name: scores(truth, [labels.index(label) for label in predicted], len(labels))
        for name, predicted in predictions.items()
    }


def confusion(truth: Sequence[int], predicted: Sequence[int], labels: Sequence[str]) -> Confusion:
    """The confusion matrix with its labels: rows are true labels, columns predicted ones."""
    return {"matrix": confusion_matrix(truth, predicted, len(labels)), "labels": list(labels)}
