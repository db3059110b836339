"""The suggestions at the end of ``dragon run``: a command for each kind of asset."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator

from model.architectures import catalogue
from pipelines.cli.recipes import uses_of
from pipelines.recipe.schema import Recipe

Suggestion = tuple[str, str]  # the purpose and the command


def suggestions(recipe: Recipe, named: str, keys: Collection[str]) -> Iterator[Suggestion]:
    """Commands for the assets ``keys`` of a recipe; ``named`` is the recipe's name or file."""
    corpus = next(iter(recipe.mixture()))
    if f"{corpus}/documents" in keys:
        yield "Look at the data", _dragon("documents", corpus)
    for task in recipe.tasks:
        for use in uses_of(recipe, task, named):
            if use.purpose and use.key in keys:
                yield use.purpose, _dragon(*use.words)
    for corpus, vectors in recipe.word_vectors.items():
        if f"{corpus}/word_vectors" in keys:
            yield "Nearest words", _dragon("neighbours", corpus, vectors.shown()[0])
    foundation = f"{recipe.name}/foundation"
    if foundation in keys:
        if catalogue()[recipe.architecture].objective == "masked_token":
            yield "Fill a gap", _dragon("fill", named, "A: how ___ you?")
        else:
            yield "Let it write", _dragon("write", named, _opening(recipe))
            yield "For others to use", _dragon("export", named)
        yield "Where from", _dragon("trace", foundation)


def _opening(recipe: Recipe) -> str:
    """A text to continue: the first line of the recipe's first sample."""
    first = next(iter(recipe.samples), "").strip().split("\n")[0]
    return first or "The"


def _dragon(*words: str) -> str:
    return shlex.join(("dragon", *words))
