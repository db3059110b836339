"""A classifier: the foundation with a head that predicts a label at the last token."""

from __future__ import annotations

from model.batches.examples import Examples as Batches
from model.training.adapters import Classifier
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, left_out_of
from pipelines.examples.artefacts import Examples
from pipelines.tasks.classifier.options import Labelling
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.adapting import prepare
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network, require_tokenizer, write_checkpoint
from pipelines.training.fitting import fit
from pipelines.training.labelled import cut_texts, labelled_examples, repeated, require_labels
from pipelines.training.receipts import Reading, Taught


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
    encoder = tokenizer.load()
    classifier = Classifier(load_network(foundation), len(labels))
    adapted = prepare(classifier, training.method, foundation, settings.seed)
    read = reading(settings, foundation, tokenizer, examples, contamination)
    train, sizes = read.batches, _sizes(settings, foundation)
    # The evaluation needs labels in the test split. Check it before the training, not after it.
    require_labels(list(examples.labelled("test")), "test")
    held_out = labelled_examples(encoder, list(examples.labelled("validation")), labels, **sizes)
    validation_examples = training.look(training.batch_size, held_out.mean_tokens)
    history = fit(
        making,
        classifier,
        "classify",
        train,
        lambda: held_out.in_order(validation_examples),
        training,
        steps=training.steps_for(train.mean_tokens),
        seed=settings.seed,
        reading=read,
    )
    texts = [row.text for row in examples.labelled("train")]
    making.made["cut_examples"] = cut_texts(encoder, texts, classifier.network.context_length)
    config = {**foundation.config(), "labels": list(labels), **adapted}
    write_checkpoint(making, classifier, history, config)


def reading(
    settings: Labelling,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    contamination: dict[str, Contamination],
) -> Reading[Batches]:
    """The batches of the training and the examples behind them.

    Raises ValueError if all examples have the same label.
    """
    rows = list(examples.labelled("train", left_out_of(settings.corpus, contamination)))
    require_labels(rows, "train")
    if settings.balance == "repeat":
        rows = repeated(rows)
    sizes = _sizes(settings, foundation)
    batches = labelled_examples(
        tokenizer.load(), rows, settings.labels, **sizes, seed=settings.seed
    )
    return Reading(Taught(rows, batches.asked), batches)


def _sizes(settings: Labelling, foundation: Checkpoint) -> dict[str, int]:
    return {
        "context_length": foundation.config()["network"]["context_length"],
        "batch_size": settings.training.batch_size,
    }
