"""``dragon fill``: the hidden words of a sentence, by a network that reads both sides of them."""

from __future__ import annotations

import typer

from pipelines.cli.asking import bearable, load_model
from pipelines.cli.running import find_recipe
from pipelines.project import Project
from pipelines.recipe.base import RecipeError


def fill(recipe: str, text: str, count: int) -> None:
    """Prints for each ___ of a text a line: the best words, each with its probability."""
    project = Project.here()
    found = find_recipe(recipe, project)
    network, tokenizer, _ = load_model(project, f"foundation/{found.name}")
    if not hasattr(network, "mask"):
        raise RecipeError(f"{found.name}: its network fills no blanks; name a recipe of a bert")
    from pipelines.masked import fill, told

    typer.echo(told(fill(network, tokenizer, bearable(text), count)))
