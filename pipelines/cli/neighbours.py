"""``dragon neighbours``: the words nearest to a word, in a corpus whose words have vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from pipelines.cli.lineage import open_store
from pipelines.lineage.trace import locate
from pipelines.word_vectors.artefacts import WordVectors


def neighbours(corpus: str, words: Sequence[str], count: int, path: Path | None = None) -> None:
    """Print the ``count`` nearest words of each with their cosines; ValueError for an unknown."""
    from pipelines.word_vectors.neighbours import find_word, nearest

    found = locate(open_store(path), f"word_vectors/{corpus}")
    assert isinstance(found, WordVectors)
    known, vectors = found.words(), found.vectors()
    places = [find_word(known, word) for word in words]  # all of them, before any is printed
    for place in places:
        typer.echo(known[place])
        for near, cosine in nearest(vectors, place, count):
            typer.echo(f"  {cosine:6.3f}  {known[near]}")
