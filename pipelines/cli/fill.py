"""``dragon fill``: the hidden words of a sentence, by a network that reads both sides of them."""

from __future__ import annotations

import typer

from model.architectures import catalogue
from pipelines.cli.asking import as_trained_on, bearable, load_model
from pipelines.cli.run import find_recipe
from pipelines.core.project import Project
from pipelines.core.stanza import RecipeError


def fill(recipe: str, text: str, count: int) -> None:
    """Prints for each ___ of a text a line: the best words, each with its probability."""
    project = Project.here()
    found = find_recipe(recipe, project)
    if catalogue()[found.architecture].objective != "masked_token":
        raise RecipeError(f"{found.name}: its network fills no blanks; name a recipe of a bert")
    mixture = found.mixture()
    # As a whole: a piece between two blanks would lose the space at its end.
    clean = as_trained_on(found, max(mixture, key=lambda name: mixture[name]), bearable(text))
    model = load_model(project, f"foundation/{found.name}")
    from pipelines.inference.blanks import told

    typer.echo(told(model.fill(clean, count)))
