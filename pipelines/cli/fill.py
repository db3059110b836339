"""``dragon fill``: the hidden words of a sentence, by a network that reads both sides of them."""

from __future__ import annotations

import click

from pipelines.cli.asking import bearable
from pipelines.core.project import Project


@click.command()
@click.argument(
    "named", metavar="RECIPE", help="A recipe whose network reads both ways, such as bert."
)
@click.argument("text", help="A text with ___ where words are missing.")
@click.option(
    "--count", type=click.IntRange(min=1), default=3, show_default=True, help="Words for each gap."
)
def fill(named: str, text: str, count: int) -> None:
    """Say which words fit the gaps of a text.

    Prints a line for each gap: the best words, each with its probability.
    """
    from model.architectures import catalogue
    from pipelines.cli.recipes import as_trained_on, find_recipe, load_model
    from pipelines.core.stanza import RecipeError

    project = Project.here()
    recipe = find_recipe(named, project)
    if catalogue()[recipe.architecture].objective != "masked_token":
        raise RecipeError(f"{recipe.name}: its network fills no blanks; name a recipe of a bert")
    mixture = recipe.mixture()
    # As a whole: a piece between two blanks would lose the space at its end.
    clean = as_trained_on(recipe, max(mixture, key=lambda name: mixture[name]), bearable(text))
    model = load_model(project, f"{recipe.name}/foundation", named)
    from pipelines.inference.blanks import told

    click.echo(told(model.fill(clean, count)))
