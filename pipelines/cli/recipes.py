"""Which recipe a command means, which task of it, and the model to use."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.store import current_model
from pipelines.core.project import Project
from pipelines.core.stanza import RecipeError
from pipelines.core.store import Store
from pipelines.recipe.loading import load_recipe, read_recipes
from pipelines.recipe.schema import Recipe
from pipelines.tasks import Called, Use, catalogue

if TYPE_CHECKING:
    from pipelines.inference.session import Session


def find_recipe(name: str, project: Project) -> Recipe:
    """A recipe by name or by file. Raises RecipeError naming those there are."""
    path = Path(name)
    if path.suffix != ".yaml":
        path = project.recipes / f"{name}.yaml"
        if path.is_relative_to(Path.cwd()):
            path = path.relative_to(Path.cwd())
        if not path.exists():
            known = sorted(p.stem for p in project.recipes.glob("*.yaml"))
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"did you mean {near[0]!r}?" if near else "or name a .yaml file"
            raise RecipeError(f"recipe={name!r}: not one of {', '.join(known)}; {mend}")
    return load_recipe(path)


def recipe_with(project: Project, task: str) -> Recipe:
    """The one recipe that has the task, of those that can be read."""
    recipes, faults = read_recipes(project.recipes)
    having = [r for r in recipes.values() if task in r.tasks]
    if len(having) != 1:
        names = ", ".join(r.name for r in having) or "none"
        known = sorted({name for recipe in recipes.values() for name in recipe.tasks})
        near = [] if having else difflib.get_close_matches(task, known, n=1)
        mend = f"did you mean {near[0]!r}?" if near else "name one with --recipe"
        unread = f" (not read: {next(iter(faults.values()))})" if faults and not having else ""
        raise RecipeError(f"task={task!r}: recipes that have it: {names}; {mend}{unread}")
    return having[0]


def uses_of(recipe: Recipe, task: str, named: str = "") -> list[Use]:
    """What can be done with what a task made; ``named`` is what a person calls the recipe by."""
    options = recipe.tasks[task]
    alone = [other.kind for other in recipe.tasks.values()].count(options.kind) == 1
    called = Called(recipe.name, task, named or recipe.name, alone)
    return list(catalogue()[options.kind].used_by(called, options))


def task_for(verb: str, kind: str, recipe: Recipe, task: str | None) -> tuple[str, list[Use]]:
    """(name, what ``verb`` can do with it) of a recipe's task; the only such task for None.

    RecipeError, which calls such tasks by ``kind``, where the recipe has none of that name.
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
        known = ", ".join(names)
        raise RecipeError(f"{recipe.name}: task={task!r} is not one of its {kind}s: {known}")
    return task, uses[task]


def as_trained_on(recipe: Recipe, corpus: str, text: str) -> str:
    """The text in the normal form that the corpus' own texts were given."""
    from pipelines.corpora.cleaning.steps.normalise import clean_text

    steps = recipe.corpora[corpus].cleaning
    form = next((step.form for step in steps if step.step == "normalise"), "none")
    return clean_text(text, form)


def load_model(project: Project, key: str, recipe: str) -> Session:
    """A model ready to use; StoreError with the ``recipe`` to run where it was not made yet."""
    store = Store(project.store)
    checkpoint = current_model(store, key, recipe)
    from pipelines.inference.session import open_session  # loads torch

    return open_session(store, checkpoint)
