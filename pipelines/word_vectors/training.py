"""Word vectors of a corpus, learned by predicting the neighbours of words."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from model.architectures import build, find
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.corpora.letters import letters
from pipelines.training import precision
from pipelines.training.checkpoint import write_checkpoint
from pipelines.training.fitting import fit
from pipelines.word_vectors.options import Learned
from pipelines.word_vectors.texts import count_words, held_out_batches, make_contexts, word_text

if TYPE_CHECKING:
    from pipelines.core.project import Project


def train(making: Making, settings: Learned, documents: Documents) -> None:
    """Vectors of the words in the training documents, learned by predicting neighbours."""
    training = settings.training
    counts = count_words(documents.training_texts(), settings.min_count)
    config, architecture = settings.model.config(len(counts)), find(settings.model.architecture)
    options = {
        "counts": list(counts.values()),
        "config": config,
        "subsample": settings.subsample,
        "batch_size": training.batch_size,
        "seed": settings.seed,
    }
    batches = make_contexts(word_text(documents.training_texts(), counts), **options)
    texts = (document.text for document in documents.split("validation"))
    held_out = make_contexts(word_text(texts, counts), **options)
    validation_words = training.look(training.batch_size, 1)
    network = build(architecture.name, config, settings.seed)
    history = fit(
        making,
        network,
        architecture.objective,
        batches,
        lambda: held_out_batches(held_out, validation_words),
        training,
        steps=training.steps_for(1),  # one token of the budget is one word of the text
        seed=settings.seed,
    )
    making.write("words.json", [[word, count] for word, count in counts.items()])
    checkpoint_config = {"architecture": architecture.name, "network": asdict(config)}
    write_checkpoint(making, network, history, checkpoint_config)


def observed(settings: Learned, project: Project) -> dict[str, str]:
    """The version of the tables for lower case, and the precision that ``auto`` stands for."""
    return {**letters(settings, project), **precision.observed(settings, project)}
