"""The asset of a tokenizer: trained on the training split alone, published, or from a file."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.core.artefact import FIGURES
from pipelines.core.identity import canonical
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, Documents, Licences, left_out, licences_in
from pipelines.tokens.artefacts import MEASURED
from pipelines.tokens.building import build_tokenizer
from pipelines.tokens.options import TokenizerChoice
from pipelines.tokens.tokenizers import statistics

SAMPLE_CHARACTERS = 4_000_000  # the characters of each corpus on which the figures are measured


def make(
    making: Making,
    settings: TokenizerChoice,
    documents: dict[str, Documents],
    contamination: dict[str, Contamination],
    licences: dict[str, Licences],
) -> None:
    """A tokenizer that is trained on the training split alone, published, or from a file."""
    making.made.update(licences_in(licences))
    left_out_ids = left_out(contamination)
    texts = (
        text
        for corpus, corpus_documents in documents.items()
        for text in corpus_documents.training_texts(left_out_ids.get(corpus, frozenset()))
    )
    tokenizer = build_tokenizer(settings, texts, making.project.root, making.project.downloads)
    tokenizer.save(making.folder)
    making.write(FIGURES, {"vocab_size": float(tokenizer.vocab_size)})
    if documents:
        # Beside the version: other texts that give the same merges give the same tokenizer.
        measured = statistics(tokenizer, [t for d in documents.values() for t in _sample(d)])
        making.beside[MEASURED] = canonical(measured)


def _sample(documents: Documents) -> Iterator[str]:
    """The first training texts, until they have more than ``SAMPLE_CHARACTERS`` characters."""
    characters = 0
    for document in documents.split("train"):
        yield document.text
        characters += len(document.text)
        if characters > SAMPLE_CHARACTERS:
            return
