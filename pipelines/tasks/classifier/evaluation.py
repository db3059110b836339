"""The evaluation of a classifier, compared with two baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, left_out_of
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.intervals import bounds
from pipelines.evaluation.labels import (
    calibration,
    confusion,
    headline,
    label_baselines,
    lead,
    mistakes,
    probabilities,
    reliability,
    score_bounds,
    scores,
    scores_by_label,
    sureness,
)
from pipelines.examples.artefacts import Examples
from pipelines.tasks.options import Judged
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import held_out_rows, load_network, require_tokenizer
from pipelines.training.labelled import cut_texts, labelled_examples, require_labels


def evaluate(
    making: Making,
    settings: Judged,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    contamination: dict[str, Contamination],
    classifier: Checkpoint,
) -> None:
    """Accuracy, precision, recall, F1 and calibration on the test split, compared with two
    baselines (means over the labels if there are more than two)."""
    labels: list[str] = classifier.config()["labels"]
    require_tokenizer(classifier, tokenizer)
    test = list(examples.labelled("test"))
    require_labels(test, "test")
    length = classifier.config()["network"]["context_length"]
    encoder = tokenizer.load()
    held_out = labelled_examples(
        encoder,
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
    counts = {
        "test_examples": len(test),
        "test_examples_cut": cut_texts(encoder, texts, length),
    }
    replace(
        found,
        figures={**found.figures, **calibration(truth, likely), **counts},
        samples=mistakes(texts, labels, truth, likely, learned),
        curves={"reliability": reliability(truth, likely)},
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
    ``above_<baseline>`` is our figure minus that of the baseline, with the bounds of the difference
    on the same texts.
    """
    n_labels, (score, measure) = len(labels), headline(labels)
    ours = scores(truth, predicted, n_labels) | score_bounds(truth, predicted, n_labels)
    theirs: dict[str, float] = {}
    by_name: dict[str, float] = {}
    for name, guesses in baselines.items():
        row, short = scores(truth, guesses, n_labels), name.split()[0].lower()
        by_name[name] = row[score]
        row |= score_bounds(truth, guesses, n_labels)
        theirs |= {f"{short}_{figure}": value for figure, value in row.items()}
        above = f"above_{short}_{score}"
        difference = lead(score, truth, predicted, guesses, n_labels)
        theirs |= {above: ours[score] - row[score], **bounds(above, difference)}
    return Findings(
        figures={**ours, **theirs},
        comparison=Comparison(
            measure=f"{measure} on the test split",
            better="higher",
            ours=ours[score],
            baselines=by_name,
            interval=(ours[f"{score}_low"], ours[f"{score}_high"]),
        ),
        tables={
            "each label": scores_by_label(labels, truth, {"this model": predicted, **baselines})
        },
        confusion=confusion(truth, predicted, labels),
    )
