"""A tokenizer made: trained on the training split alone, published ranks, or a file."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, Documents, left_out
from pipelines.tokens.building import build_tokenizer
from pipelines.tokens.options import TokenizerChoice
from pipelines.tokens.tokenizers import statistics

SAMPLE_CHARACTERS = 4_000_000  # of each corpus, that the figures are measured on


def make(
    making: Making,
    settings: TokenizerChoice,
    documents: dict[str, Documents],
    contamination: dict[str, Contamination],
) -> None:
    """Trained on the training split alone, published ranks, or a file."""
    out = left_out(contamination)
    texts = (
        text
        for corpus, kept in documents.items()
        for text in kept.training_texts(out.get(corpus, frozenset()))
    )
    made = build_tokenizer(settings, texts, making.project.root, making.project.downloads)
    made.save(making.folder)
    figures = {"vocab_size": float(made.vocab_size)}
    if documents:
        figures |= statistics(made, [t for d in documents.values() for t in _sample(d)])
    making.write(FIGURES, figures)


def _sample(documents: Documents) -> Iterator[str]:
    """The first training texts, up to ``SAMPLE_CHARACTERS`` and the one that passes them."""
    characters = 0
    for document in documents.split("train"):
        yield document.text
        characters += len(document.text)
        if characters > SAMPLE_CHARACTERS:
            return
