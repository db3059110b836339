"""A classifier on held-out texts: scores, baselines, the confusion matrix, and its mistakes.

Letters: N texts, L labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import torch

from model.batches.batching import Batch
from model.evaluation import accuracy, confusion_matrix, f1, precision, recall
from pipelines.core.artefact import Rows
from pipelines.corpora.cleaning.masking import without_personal_data
from pipelines.evaluation.baselines import majority_baseline, tfidf_baseline
from pipelines.evaluation.findings import Confusion
from pipelines.examples.artefacts import Labelled

TEXT = 1000  # characters of a text that a sample keeps
# The lowest probability of each band, the surest band first.
BANDS = (0.99, 0.95, 0.9, 0.8, 0.6, 0.0)


def probabilities(network: Any, batches: Iterable[Batch]) -> torch.Tensor:
    """The probability of each label for every example, in order: (N, L), float64."""
    network.eval()
    device = next(network.parameters()).device
    rows = []
    with torch.inference_mode():
        for batch in batches:
            moved = batch.to(device)
            rows.append(network(moved.tokens, moved.last).double().softmax(dim=-1).cpu())
    return torch.cat(rows)


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
) -> dict[str, list[int]]:
    """The numbers of the labels that TF-IDF with logistic regression predicts for the test split,
    and those of the majority label.
    """
    texts, answers = [row.text for row in train], [row.label for row in train]
    predictions = {
        "TF-IDF + logistic regression": tfidf_baseline(texts, answers, [row.text for row in test]),
        "majority": majority_baseline(answers, len(test)),
    }
    return {
        name: [labels.index(label) for label in predicted]
        for name, predicted in predictions.items()
    }


def confusion(truth: Sequence[int], predicted: Sequence[int], labels: Sequence[str]) -> Confusion:
    """The confusion matrix with its labels: rows are true labels, columns predicted ones."""
    return {"matrix": confusion_matrix(truth, predicted, len(labels)), "labels": list(labels)}


def scores_by_label(
    labels: Sequence[str], truth: Sequence[int], predicted: Mapping[str, Sequence[int]]
) -> Rows:
    """Precision, recall and F1 of each label by each classifier; ``predicted`` is by its name."""
    return [
        {
            "label": label,
            "classifier": name,
            "examples": sum(one == number for one in truth),
            "precision": precision(truth, guesses, number),
            "recall": recall(truth, guesses, number),
            "F1": f1(truth, guesses, number),
        }
        for number, label in enumerate(labels)
        for name, guesses in predicted.items()
    ]


def sureness(truth: Sequence[int], likely: torch.Tensor) -> Rows:
    """How probable the classifier found its labels, and how often these were right, by bands.

    ``likely`` are the ``probabilities`` (N, L). A classifier that knows what it does not know is
    right as often as it is sure: the two columns agree.
    """
    sure, said = likely.max(dim=-1)
    right = said == torch.tensor(truth)
    above = 1.01
    rows = []
    for least in BANDS:
        inside = (sure >= least) & (sure < above)
        if count := int(inside.sum()):
            rows.append(
                {
                    "its label's probability": f"{least:.0%} to {min(above, 1):.0%}",
                    "examples": count,
                    "mean probability": round(float(sure[inside].mean()), 4),
                    "accuracy": int(right[inside].sum()) / count,
                }
            )
        above = least
    return rows


def mistakes(
    texts: Sequence[str],
    labels: Sequence[str],
    truth: Sequence[int],
    likely: torch.Tensor,
    others: Mapping[str, Sequence[int]],
    count: int = 12,
) -> list[dict[str, str]]:
    """The wrong labels of which the classifier was surest, every kind of mistake in turn.

    ``likely`` are the ``probabilities`` (N, L); ``others`` are predictions of baselines, whose
    label for the text is shown as well. Personal data in the texts is masked.
    """
    sure, said = (values.tolist() for values in likely.max(dim=-1))
    kinds: dict[tuple[int, int], list[int]] = {}
    for place in sorted(range(len(truth)), key=lambda place: -sure[place]):
        if said[place] != truth[place]:
            kinds.setdefault((truth[place], said[place]), []).append(place)
    turns = chain.from_iterable(zip_longest(*(kinds[kind] for kind in sorted(kinds))))
    wrong = [place for place in turns if place is not None]
    return [
        {
            # A mask may be shorter than the text that it replaces.
            "text": without_personal_data(texts[place][: 10 * TEXT])[:TEXT],
            "label": labels[truth[place]],
            "predicted": f"{labels[said[place]]}, {sure[place]:.1%} sure",
            **{name: labels[guesses[place]] for name, guesses in others.items()},
        }
        for place in wrong[:count]
    ]
