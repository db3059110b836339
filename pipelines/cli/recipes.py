"""Finds the recipe, the task and the model that a command names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.store import current_model, open_store
from pipelines.core.project import Project
from pipelines.core.stanza import RecipeError
from pipelines.core.store import Store
from pipelines.recipe.loading import load_recipe, read_recipes
from pipelines.recipe.schema import Recipe
from pipelines.tasks import Called, Use, catalogue
from pipelines.text.nearest import did_you_mean

if TYPE_CHECKING:
    from pipelines.inference.session import Session


def find_recipe(name: str, project: Project) -> Recipe:
    """A recipe by name or by file. Raises RecipeError with the known names for an unknown one."""
    path = Path(name)
    if path.suffix != ".yaml":
        path = project.recipes / f"{name}.yaml"
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        if not path.exists():
            known = sorted(p.stem for p in project.recipes.glob("*.yaml"))
            raise RecipeError(_no_recipe(name, known))
    return load_recipe(path)


def _no_recipe(name: str, known: list[str]) -> str:
    """The fault of a name that no recipe has; the name of an asset is a near miss."""
    scope, _, rest = name.partition("@")[0].partition("/")
    if scope in known and rest:
        return (
            f"{name} is an asset of the recipe {scope}, and a recipe is needed here: write {scope}"
            f" (to make only this asset: dragon run {scope} --select {scope}/{rest})"
        )
    other = "or name a .yaml file"
    if rest and not name.startswith((".", "/")):
        other += f" (an asset is made with dragon run RECIPE --select {name})"
    mend = did_you_mean(name.removesuffix(".yml"), known, other)
    return f"recipe {name!r}: not one of {', '.join(known)}; {mend}"


def recipe_with(project: Project, task: str) -> Recipe:
    """The only valid recipe that has the task. Raises RecipeError if there is not exactly one."""
    recipes, faults = read_recipes(project.recipes)
    having = [r for r in recipes.values() if task in r.tasks]
    if len(having) != 1:
        names = ", ".join(r.name for r in having) or "none"
        known = sorted({name for recipe in recipes.values() for name in recipe.tasks})
        mend = "name one with --recipe"
        if not having:
            mend = did_you_mean(task, known, f"the tasks are {', '.join(known) or 'none'}")
        unread = f" (not read: {next(iter(faults.values()))})" if faults and not having else ""
        raise RecipeError(f"task {task!r}: recipes that have it: {names}; {mend}{unread}")
    return having[0]


def uses_of(recipe: Recipe, task: str, named: str = "") -> list[Use]:
    """The uses of a task's model; ``named`` is the recipe's name or file on the command line."""
    options = recipe.tasks[task]
    alone = [other.kind for other in recipe.tasks.values()].count(options.kind) == 1
    called = Called(recipe.name, task, named or recipe.name, alone)
    return list(catalogue()[options.kind].used_by(called, options))


def task_for(verb: str, kind: str, recipe: Recipe, task: str | None) -> tuple[str, list[Use]]:
    """The name of a recipe's task, and its uses for ``verb``. For None, the only such task.

    Raises RecipeError if the recipe has no such task; the message calls the tasks ``kind``.
    """
    uses = {name: [use for use in uses_of(recipe, name) if use.verb == verb]
            for name in recipe.tasks}  # fmt: skip
    names = [name for name in uses if uses[name]]
    if task is None and len(names) == 1:
        task = names[0]
    if not names:
        raise RecipeError(f"{recipe.name} has no {kind} task; add one to its recipe")
    if task is None:
        raise RecipeError(
            f"{recipe.name} has several {kind} tasks; name one with --task: {', '.join(names)}"
        )
    if task not in names:
        mend = did_you_mean(task, names, f"it has {', '.join(names)}")
        raise RecipeError(f"{recipe.name}: task {task!r} is not one of its {kind}s; {mend}")
    return task, uses[task]


def as_trained_on(recipe: Recipe, corpus: str, text: str) -> str:
    """The text in the Unicode normal form of the corpus' own texts."""
    from pipelines.corpora.cleaning.steps.normalise import clean_text

    steps = recipe.corpora[corpus].cleaning
    form = next((step.form for step in steps if step.step == "normalise"), "none")
    return clean_text(text, form)


def load_model(project: Project, key: str, recipe: str, place: Path | None = None) -> Session:
    """A model ready to use, from the store at ``place``; None is the project's.

    Raises StoreError naming the ``recipe`` to run if it was not made.
    """
    store = Store(project.store) if place is None else open_store(place)
    checkpoint = current_model(store, key, recipe)
    from pipelines.inference.session import open_session  # loads torch

    return open_session(store, checkpoint)
