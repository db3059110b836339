"""A classifier: the foundation with a head that predicts a label at the last token."""

from __future__ import annotations

from model.training.adapters import Classifier, freeze_all_but_last
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, left_out_of
from pipelines.examples.artefacts import Examples
from pipelines.tasks.classifier.options import Labelling
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network, require_tokenizer, write_checkpoint
from pipelines.training.fitting import fit
from pipelines.training.labelled import labelled_examples, require_labels


def train(
    making: Making,
    settings: Labelling,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    contamination: dict[str, Contamination],
) -> None:
    """The foundation with a head that predicts a label at the last token."""
    training, labels = settings.training, settings.labels
    require_tokenizer(foundation, tokenizer)
    encoder, network = tokenizer.load(), load_network(foundation)
    if settings.trained_blocks is not None:
        freeze_all_but_last(network, settings.trained_blocks)
    config = foundation.config()
    sizes = {
        "context_length": config["network"]["context_length"],
        "batch_size": training.batch_size,
    }
    left_out = left_out_of(settings.corpus, contamination)
    rows = list(examples.labelled("train", left_out))
    require_labels(rows, "train")
    # The evaluation needs labels in the test split. Check it before the training, not after it.
    require_labels(list(examples.labelled("test")), "test")
    train = labelled_examples(encoder, rows, labels, **sizes, seed=settings.seed)
    held_out = labelled_examples(encoder, list(examples.labelled("validation")), labels, **sizes)
    validation_examples = training.look(training.batch_size, held_out.mean_tokens)
    classifier = Classifier(network, len(labels))
    history = fit(
        making,
        classifier,
        "classify",
        train,
        lambda: held_out.in_order(validation_examples),
        training,
        steps=training.steps_for(train.mean_tokens),
        seed=settings.seed,
    )
    write_checkpoint(making, classifier, history, {**config, "labels": list(labels)})
