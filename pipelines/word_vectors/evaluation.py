"""The evaluation of word vectors."""

from __future__ import annotations

from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.evaluation.findings import Findings
from pipelines.word_vectors.artefacts import WordVectors
from pipelines.word_vectors.neighbours import compare, map_of, neighbour_rows
from pipelines.word_vectors.options import Asked


def evaluate(making: Making, settings: Asked, vectors: WordVectors, documents: Documents) -> None:
    """Nearest words, a map, and how well words of a group lie together, against counted vectors."""
    words, rows = vectors.words(), vectors.vectors()
    figures, comparison = compare(
        words,
        rows,
        documents.training_texts(),
        settings.groups,
        window=vectors.config()["network"]["window"],
    )
    neighbours = neighbour_rows(words, rows, settings.shown(), settings.neighbours)
    Findings(
        figures=figures,
        comparison=comparison,
        tables={"nearest words": neighbours},
        map=map_of(words, rows, settings.groups),
    ).write(making)
