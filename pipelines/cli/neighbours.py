"""``dragon neighbours``: the nearest words to a word, in a corpus with word vectors."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.store import open_store, store_option
from pipelines.core.record import StoreError
from pipelines.lineage.trace import locate
from pipelines.text.nearest import did_you_mean
from pipelines.word_vectors.artefacts import WordVectors


@click.command()
@click.argument("corpus", help="A corpus with word vectors, such as chitchat of the recipe bert.")
@click.argument("words", nargs=-1, required=True, help="Words of the corpus.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Neighbours for each word.",
)
@store_option
def neighbours(corpus: str, words: tuple[str, ...], count: int, store: Path | None) -> None:
    """List the words whose vectors lie nearest.

    Prints each word, and below it its neighbours with their cosines.
    """
    from pipelines.word_vectors.neighbours import find_word, nearest

    opened, key = open_store(store), f"{corpus}/word_vectors"
    known = opened.keys()
    if key.partition("@")[0] not in known:
        having = [other.split("/")[0] for other in known if other.endswith("/word_vectors")]
        mend = "name it in the section word_vectors of a recipe, as in bert, and run the recipe"
        mend = did_you_mean(corpus, having, mend)
        raise StoreError(f"corpus {corpus!r} has no word vectors; {mend}")
    artefact = locate(opened, key)
    assert isinstance(artefact, WordVectors)
    vocabulary, vectors = artefact.words(), artefact.vectors()
    places = [find_word(vocabulary, word) for word in words]  # all words, before any output
    for place in places:
        click.echo(vocabulary[place])
        for near, cosine in nearest(vectors, place, count):
            click.echo(f"  {cosine:6.3f}  {vocabulary[near]}")
