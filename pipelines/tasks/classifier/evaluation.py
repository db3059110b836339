"""The evaluation of a classifier, compared with two baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, left_out_of
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.labels import (
    confusion,
    headline,
    label_baselines,
    mistakes,
    probabilities,
    scores,
    scores_by_label,
    sureness,
)
from pipelines.examples.artefacts import Examples
from pipelines.tasks.options import Judged
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import held_out_rows, load_network, require_tokenizer
from pipelines.training.labelled import labelled_examples, require_labels


def evaluate(
    making: Making,
    settings: Judged,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    contamination: dict[str, Contamination],
    classifier: Checkpoint,
) -> None:
    """Accuracy, precision, recall and F1 on the test split, compared with two baselines (means over
    the labels if there are more than two)."""
    labels: list[str] = classifier.config()["labels"]
    require_tokenizer(classifier, tokenizer)
    test = list(examples.labelled("test"))
    require_labels(test, "test")
    length = classifier.config()["network"]["context_length"]
    held_out = labelled_examples(
        tokenizer.load(),
        test,
        labels,
        context_length=length,
        batch_size=held_out_rows(length),
    )
    truth = [labels.index(row.label) for row in test]
    likely = probabilities(load_network(classifier, foundation), held_out.in_order())
    baselines = label_baselines(
        list(examples.labelled("train", left_out_of(settings.corpus, contamination))),
        test,
        labels,
    )
    texts, learned = [row.text for row in test], dict(list(baselines.items())[:1])
    found = findings(labels, truth, likely.argmax(dim=-1).tolist(), baselines)
    replace(
        found,
        samples=mistakes(texts, labels, truth, likely, learned),
        tables={
            **(found.tables or {}),
            "how sure it is, and how often right": sureness(truth, likely),
        },
    ).write(making)


def findings(
    labels: Sequence[str],
    truth: Sequence[int],
    predicted: Sequence[int],
    baselines: Mapping[str, Sequence[int]],
) -> Findings:
    """The findings from the numbers of the true labels, of ours and of the baselines' labels.

    With two labels the comparison is by the F1 of the second label, with more labels by macro F1.
    """
    ours = scores(truth, predicted, len(labels))
    theirs = {name: scores(truth, guesses, len(labels)) for name, guesses in baselines.items()}
    baseline_figures = {
        f"{name.split()[0].lower()}_{measure}": value
        for name, row in theirs.items()
        for measure, value in row.items()
    }
    score, measure = headline(labels)
    return Findings(
        figures={**ours, **baseline_figures, "test_examples": len(truth)},
        comparison=Comparison(
            measure=f"{measure} on the test split",
            better="higher",
            ours=ours[score],
            baselines={name: row[score] for name, row in theirs.items()},
        ),
        tables={
            "each label": scores_by_label(labels, truth, {"this model": predicted, **baselines})
        },
        confusion=confusion(truth, predicted, labels),
    )
