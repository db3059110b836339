"""The single list of the assets that a recipe declares, room by room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pipelines import tasks
from pipelines.attention_ladder.declare import ladder
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.core.stanza import RecipeError
from pipelines.corpora.declare import contamination, corpus, licences
from pipelines.evaluation.declare import foundation_evaluation, suite, suite_over_steps
from pipelines.index.declare import index
from pipelines.interop import declare as interop
from pipelines.recipe.schema import Recipe
from pipelines.report.declare import report
from pipelines.sweeps.declare import sweep
from pipelines.tokens.declare import shards, tokenizer
from pipelines.training.declare import foundation
from pipelines.word_vectors.declare import word_vectors

ASKED = ("_assistant", "_domain")
"""The ends of the keys of a task's models that go on with any text, as a foundation does."""


def declare(recipes: Iterable[Recipe]) -> list[Declaration]:
    """The declarations of some recipes; an asset that recipes share is declared once.

    Raises RecipeError if two different assets would have the same key.
    """
    declared: dict[str, Declaration] = {}
    for recipe in recipes:
        for declaration in stages(recipe):
            if declared.setdefault(declaration.key, declaration) != declaration:
                raise RecipeError(
                    f"{recipe.name}.yaml: two assets would have the key {declaration.key}; give the"
                    " task or the corpus another name"
                )
    return list(declared.values())


def collisions(recipes: Mapping[str, Recipe]) -> dict[str, RecipeError]:
    """The faults, by recipe name, of recipes whose assets cannot be together in one graph.

    A key may be in use, in the same recipe or in an earlier one; the earlier recipe keeps the key.
    Or recipes branch from each other, and each of them waits for the others.
    """
    sound: list[Recipe] = []
    faults = _circles(recipes)
    for name, recipe in recipes.items():
        if name in faults:
            continue
        try:
            declare([*sound, recipe])
        except RecipeError as fault:
            faults[name] = fault
        else:
            sound.append(recipe)
    return faults


def _circles(recipes: Mapping[str, Recipe]) -> dict[str, RecipeError]:
    """The faults of recipes whose trainings branch from each other, by recipe name."""
    trails = {
        name: recipe.training.branch.asset
        for name, recipe in recipes.items()
        if recipe.training is not None and recipe.training.branch is not None
    }
    faults = {}
    for name in trails:
        before, met = name, set()
        while before in trails and before not in met:
            met.add(before)
            before = trails[before].partition("/")[0]
            if before == name:
                faults[name] = RecipeError(
                    f"{name}.yaml: training.from.asset: {trails[name]} comes from a training that"
                    " branches from this recipe's own; name the trail of another recipe"
                )
    return faults


def stages(recipe: Recipe) -> list[Declaration]:
    """A recipe's declarations, each after the assets that it reads.

    The report comes last, and after it the sweep: a report does not wait for a sweep, nor for what
    is made on demand.
    """
    scope = scope_of(recipe)
    chain = list(_before_the_report(recipe, scope))
    on_demand = [declared for name in recipe.corpora for declared in index(name)]
    if recipe.training is not None and recipe.training.keep is not None:
        for name, options in recipe.suites.items():
            on_demand.append(suite_over_steps(scope, name, options))
    made = report(scope, recipe.description, chain)
    return [*chain, *on_demand, *made, *_sweep(recipe, scope)]


def scope_of(recipe: Recipe) -> Scope:
    """The facts about a recipe that its declarations may use."""
    return Scope(
        recipe=recipe.name,
        seed=recipe.seed,
        architecture=recipe.architecture,
        tokenizer_kind=recipe.tokenizer_kind,
        mixture=recipe.mixture(),
        epochs=recipe.epochs(),
        samples=recipe.samples,
        drops=recipe.decontamination is not None and recipe.decontamination.drop,
        permits=recipe.licences is not None,
    )


def _sweep(recipe: Recipe, scope: Scope) -> Iterator[Declaration]:
    trained = {}
    for name, point in recipe.points.items():
        assert point.model is not None  # the schema requires both of a recipe with a sweep
        assert point.training is not None
        of_recipe = replace(scope_of(point), recipe=recipe.name)
        (trained[name],) = foundation(of_recipe, point.model, point.training)
    yield from sweep(scope, recipe.sweep, trained, recipe.own)


def _before_the_report(recipe: Recipe, scope: Scope) -> Iterator[Declaration]:
    for name, options in recipe.corpora.items():
        yield from corpus(name, options)
    for name, vectors in recipe.word_vectors.items():
        yield from word_vectors(name, vectors)
    yield from contamination(scope, recipe.corpora, recipe.decontamination)
    trained_on = [*scope.mixture, *(task.corpus for task in recipe.tasks.values())]
    taken = recipe.weights.licence if recipe.weights else None
    yield from licences(scope, trained_on, recipe.licences, taken)
    if recipe.weights is None:
        assert recipe.tokenizer is not None  # the schema requires all three without `from`
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
    asked: dict[str, list[str]] = {scope.foundation: []}
    # After the others come the tasks that train on another one's model.
    for name, task in sorted(recipe.tasks.items(), key=lambda one: bool(one[1].begins_from)):
        for declaration in tasks.plan(scope, name, task):
            yield declaration
            if declaration.key.endswith(ASKED):
                earlier = [f"{task.begins_from}_assistant"] if task.begins_from else []
                asked[declaration.key] = [scope.foundation, *map(scope.key, earlier)]
    for name, options in recipe.suites.items():
        yield from suite(scope, name, options, trained_on, asked)
