"""The rooms of a recipe in order: the one list of what it declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines import tasks
from pipelines.attention_ladder.declare import ladder
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.corpora.declare import contamination, corpus
from pipelines.evaluation.declare import foundation_evaluation
from pipelines.interop import declare as interop
from pipelines.recipe.schema import Recipe
from pipelines.report.declare import report
from pipelines.tokens.declare import shards, tokenizer
from pipelines.training.declare import foundation
from pipelines.word_vectors.declare import word_vectors


def declare(recipes: Iterable[Recipe]) -> list[Declaration]:
    """The declarations of some recipes; what recipes share is declared once."""
    found: dict[str, Declaration] = {}
    for recipe in recipes:
        for declared in stages(recipe):
            found.setdefault(declared.key, declared)
    return list(found.values())


def stages(recipe: Recipe) -> list[Declaration]:
    """A recipe's declarations, each after what it reads; the report is the last."""
    scope = scope_of(recipe)
    chain = list(_before_the_report(recipe, scope))
    return [*chain, *report(scope, recipe.description, chain)]


def scope_of(recipe: Recipe) -> Scope:
    """What a recipe's declarations may know of it."""
    return Scope(
        recipe=recipe.name,
        seed=recipe.seed,
        architecture=recipe.architecture,
        tokenizer_kind=recipe.tokenizer_kind,
        mixture=recipe.mixture(),
        epochs=recipe.epochs(),
        samples=recipe.samples,
        drops=recipe.decontamination is not None and recipe.decontamination.drop,
    )


def _before_the_report(recipe: Recipe, scope: Scope) -> Iterator[Declaration]:
    for name, options in recipe.corpora.items():
        yield from corpus(name, options)
    for name, vectors in recipe.word_vectors.items():
        yield from word_vectors(name, vectors)
    yield from contamination(scope, recipe.corpora, recipe.decontamination)
    if recipe.weights is None:
        assert recipe.tokenizer is not None  # the schema's: what is drawn has all three
        assert recipe.model is not None
        assert recipe.training is not None
        yield from tokenizer(scope, recipe.tokenizer)
        yield from shards(scope)
        yield from foundation(scope, recipe.model, recipe.training)
    else:
        yield from interop.weights(scope, recipe.weights)
        yield from interop.tokenizer(scope)
        yield from shards(scope)
        yield from interop.foundation(scope, recipe.weights)
    yield from foundation_evaluation(scope)
    yield from ladder(scope, recipe.attention_ladder)
    for name, task in recipe.tasks.items():
        yield from tasks.plan(scope, name, task)
