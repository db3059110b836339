"""``dragon fill``: finds missing words of a text with a network that reads both sides."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.asking import bearable
from pipelines.cli.store import store_option
from pipelines.core.project import Project


@click.command()
@click.argument(
    "named", metavar="RECIPE", help="A recipe whose network reads both ways, such as bert."
)
@click.argument("text", help="A text with ___ where words are missing.")
@click.option(
    "--count", type=click.IntRange(min=1), default=3, show_default=True, help="Words for a gap."
)
@store_option
def fill(named: str, text: str, count: int, store: Path | None) -> None:
    """Say which words fit the gaps of a text.

    Prints one line for each gap: the best words, each with its probability.
    """
    from model.architectures import catalogue
    from pipelines.cli.recipes import as_trained_on, find_recipe, load_model
    from pipelines.core.stanza import RecipeError

    project = Project.here()
    recipe = find_recipe(named, project)
    if catalogue()[recipe.architecture].objective != "masked_token":
        raise RecipeError(
            f"{recipe.name}: its network fills no gaps; name a recipe whose network does, such as"
            " bert"
        )
    mixture = recipe.mixture()
    # Clean the text as a whole: a piece between two gaps would lose the space at its end.
    clean = as_trained_on(recipe, max(mixture, key=lambda name: mixture[name]), bearable(text))
    model = load_model(project, f"{recipe.name}/foundation", named, store)
    from pipelines.inference.blanks import told

    click.echo(told(model.fill(clean, count)))
