"""What the commands that use a model ask: which one, and on what text."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.core.project import Project
from pipelines.core.record import StoreError
from pipelines.core.stanza import RecipeError
from pipelines.core.store import Store
from pipelines.recipe.loading import read_recipes
from pipelines.recipe.schema import Recipe
from pipelines.training.artefacts import Checkpoint

if TYPE_CHECKING:
    from pipelines.inference.session import Session

MAX_CHARACTERS = 20_000


def texts_of(text: str) -> Iterator[str]:
    """The text, or each line of standard input for ``-``."""
    yield from lines_of_input("") if text == "-" else [bearable(text)]


def as_trained_on(recipe: Recipe, corpus: str, text: str) -> str:
    """The text in the normal form that the corpus' own texts were given."""
    from pipelines.corpora.cleaning.steps.normalise import clean_text

    steps = recipe.corpora[corpus].cleaning
    form = next((step.form for step in steps if step.step == "normalise"), "none")
    return clean_text(text, form)


def load_model(project: Project, key: str) -> Session:
    """A model ready to use. StoreError where it was not made yet."""
    store = Store(project.store)
    try:
        checkpoint = store.current(key, Checkpoint)
    except StoreError:
        raise StoreError(f"{key}: not made yet; dragon run {key.split('/')[1]}") from None
    from pipelines.inference.session import open_session

    return open_session(store, checkpoint)


def key_of(recipe: Recipe, kind: str, task: str | None) -> str:
    """The key of a task's model; the only task of that kind if none is named."""
    names = [name for name, declared in recipe.tasks.items() if declared.kind == kind]
    if task is None and len(names) == 1:
        task = names[0]
    if not names:
        raise RecipeError(f"{recipe.name} has no {kind} task; add one to its recipe")
    if task not in names:
        known = ", ".join(names)
        raise RecipeError(f"{recipe.name}: task={task!r} is not one of its {kind}s: {known}")
    return f"{kind}/{recipe.name}/{task}"


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


def lines_of_input(prompt: str) -> Iterator[str]:
    """Lines a person types or a file holds, until the end of input."""
    while True:
        try:
            yield bearable(input(prompt if sys.stdin.isatty() else ""))
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise ValueError(f"standard input: not UTF-8 at byte {error.start}") from None


def bearable(text: str) -> str:
    """A text of bearable length and of characters that UTF-8 has."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"text of {len(text)} characters: at most {MAX_CHARACTERS}; shorten it")
    return text.encode("utf-8", "replace").decode()
