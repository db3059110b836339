"""``dragon write``: continues a text with a recipe's foundation."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.asking import TEXT, recipe_argument, texts_of
from pipelines.cli.sampling import given, said_with
from pipelines.cli.showing import shown
from pipelines.cli.store import store_option
from pipelines.core.project import Project


@click.command()
@recipe_argument
@click.argument("prompt", help=TEXT)
@said_with(length=120)
@store_option
def write(
    named: str,
    prompt: str,
    length: int,
    seed: int,
    stops: tuple[str, ...],
    store: Path | None,
    **sampling: float | None,
) -> None:
    """Let a recipe's foundation go on with a text.

    It prints your text, and the model's continuation after it. Several texts of standard input are
    separated by a line of three dashes.
    """
    from model.architectures import catalogue
    from pipelines.cli.recipes import find_recipe, load_model
    from pipelines.core.stanza import RecipeError

    project = Project.here()
    recipe = find_recipe(named, project)
    if catalogue()[recipe.architecture].objective != "next_token":
        raise RecipeError(
            f"{recipe.name}: its network cannot continue a text; use dragon fill with it"
        )
    model = load_model(project, f"{recipe.name}/foundation", named, store)
    for number, line in enumerate(texts_of(prompt)):
        # Call the model first: a fault of the options is raised before any output.
        written = model.write(line, seed=seed, length=length, stops=stops, **given(sampling))
        click.echo("---\n" * (number > 0) + line, nl=False)
        for _ in shown(written):
            pass
        click.echo()
