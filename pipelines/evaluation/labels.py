"""A classifier on held-out texts: scores, baselines, the confusion matrix, and its mistakes.

Letters: N texts, L labels, K bins of probability.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.batches.batching import Batch
from model.evaluation import accuracy, confusion_matrix, f1, precision, recall
from pipelines.core.artefact import Rows
from pipelines.corpora.cleaning.masking import without_personal_data
from pipelines.evaluation.baselines import majority_baseline, tfidf_baseline
from pipelines.evaluation.findings import Confusion, Curves
from pipelines.evaluation.intervals import Interval, bounds, of_statistic
from pipelines.evaluation.intervals import Rows as Drawn
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

    Macro means are over the labels that ``truth`` has, because no model can find a label that is
    absent. With two labels there are also precision, recall and F1 of the second.
    """
    measures = {"precision": precision, "recall": recall, "f1": f1}
    figures = {"accuracy": accuracy(truth, predicted)}
    if n_labels == 2:
        figures |= {name: measure(truth, predicted, 1) for name, measure in measures.items()}
        del measures["precision"], measures["recall"]
    present = sorted(set(truth))
    return figures | {
        f"macro_{name}": sum(measure(truth, predicted, label) for label in present) / len(present)
        for name, measure in measures.items()
    }


def score_bounds(truth: Sequence[int], predicted: Sequence[int], n_labels: int) -> dict[str, float]:
    """The bounds of accuracy, macro F1, and with two labels of the F1 of the second."""
    wanted = ["accuracy", "macro_f1", *(["f1"] if n_labels == 2 else [])]
    counted = _Counted(truth, n_labels)
    told = np.asarray(predicted)
    figures: dict[str, float] = {}
    for name in wanted:
        score = partial(counted.score, name, told)
        figures |= bounds(name, of_statistic(len(truth), score))
    return figures


def lead(
    name: str,
    truth: Sequence[int],
    ours: Sequence[int],
    theirs: Sequence[int],
    n_labels: int,
) -> Interval:
    """The interval of our score minus that of another classifier on the same texts.

    ``name`` is one of ``score_bounds``. Both are scored on each draw, so that texts which are hard
    for both do not widen it.
    """
    counted, us, them = _Counted(truth, n_labels), np.asarray(ours), np.asarray(theirs)
    return of_statistic(
        len(truth),
        lambda rows: counted.score(name, us, rows) - counted.score(name, them, rows),
    )


class _Counted:
    """The scores of predictions on some of the texts, by counts: a thousand draws take a second."""

    def __init__(self, truth: Sequence[int], n_labels: int) -> None:
        self.truth, self.labels = np.asarray(truth), n_labels

    def score(self, name: str, predicted: NDArray[Any], rows: Drawn) -> float:
        """The score of that name on the drawn rows; F1 of a label without any text in them is 0."""
        cells = self.truth[rows] * self.labels + predicted[rows]
        matrix = np.bincount(cells, minlength=self.labels**2).reshape(self.labels, self.labels)
        hits, positives, said = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        if name == "accuracy":
            return float(hits.sum() / len(rows))
        each = 2 * hits / np.maximum(positives + said, 1)
        return float(each[1] if name == "f1" else each[positives > 0].mean())


def calibration(truth: Sequence[int], likely: torch.Tensor, bins: int = 15) -> dict[str, float]:
    """The expected calibration error with its bounds (Guo et al. 2017, eq. 5).

    Texts are put into ``bins`` by the probability of their predicted label. In each bin the mean
    probability is compared with the share that is right. ``likely`` are the ``probabilities``
    (N, L).
    """
    sure, right = _sure_and_right(truth, likely)
    bin_of = np.minimum((sure * bins).astype(np.int64), bins - 1)

    def error(rows: Drawn) -> float:
        gaps = np.bincount(bin_of[rows], (right - sure)[rows], bins)  # (K,) of sums
        return float(np.abs(gaps).sum() / len(rows))

    found = of_statistic(len(truth), error)
    name = "calibration_error"
    return {name: error(np.arange(len(truth))), **bounds(name, found)}


def reliability(truth: Sequence[int], likely: torch.Tensor, bins: int = 15) -> Curves:
    """How often the classifier is right by how sure it is: a point for each bin with a text."""
    sure, right = _sure_and_right(truth, likely)
    bin_of = np.minimum((sure * bins).astype(np.int64), bins - 1)
    points = [
        [float(sure[inside].mean()), float(right[inside].mean())]
        for inside in (bin_of == number for number in range(bins))
        if inside.any()
    ]
    return {
        "x": "mean probability of the predicted label",
        "y": "share that is right",
        "lines": {"this model": points, "as sure as right": [[0.0, 0.0], [1.0, 1.0]]},
    }


def _sure_and_right(
    truth: Sequence[int], likely: torch.Tensor
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) the probability of each predicted label, and 1.0 where it is right."""
    sure, said = (values.numpy() for values in likely.max(dim=-1))
    return sure, (said == np.asarray(truth)).astype(np.float64)


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
