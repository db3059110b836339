"""What word vectors are worth."""

from __future__ import annotations

from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.evaluation.findings import Findings
from pipelines.word_vectors.artefacts import WordVectors
from pipelines.word_vectors.neighbours import compare, map_of, neighbour_rows
from pipelines.word_vectors.options import Asked


def evaluate(making: Making, settings: Asked, vectors: WordVectors, documents: Documents) -> None:
    """Nearest words, a map, and how far words of a kind lie together beside counted vectors."""
    words, found = vectors.words(), vectors.vectors()
    figures, comparison = compare(
        words,
        found,
        documents.training_texts(),
        settings.groups,
        window=vectors.config()["network"]["window"],
    )
    rows = neighbour_rows(words, found, settings.shown(), settings.neighbours)
    Findings(
        figures=figures,
        comparison=comparison,
        tables={"nearest words": rows},
        map=map_of(words, found, settings.groups),
    ).write(making)
