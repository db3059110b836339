"""``dragon write``: how a recipe's foundation goes on with a text."""

from __future__ import annotations

import click

from pipelines.cli.asking import TEXT, recipe_argument, texts_of
from pipelines.cli.sampling import given, said_with
from pipelines.cli.showing import shown
from pipelines.core.project import Project


@click.command()
@recipe_argument
@click.argument("prompt", help=TEXT)
@said_with(length=120)
def write(
    named: str,
    prompt: str,
    length: int,
    seed: int,
    stops: tuple[str, ...],
    **sampling: float | None,
) -> None:
    """Let a recipe's foundation go on with a text.

    The text is printed as you gave it, then what the model writes behind it.
    """
    from model.architectures import catalogue
    from pipelines.cli.recipes import find_recipe, load_model
    from pipelines.core.stanza import RecipeError

    project = Project.here()
    recipe = find_recipe(named, project)
    if catalogue()[recipe.architecture].objective != "next_token":
        raise RecipeError(f"{recipe.name}: its network writes nothing; ask it with dragon fill")
    model = load_model(project, f"{recipe.name}/foundation", named)
    for line in texts_of(prompt):
        # First: what is wrong with the options is said before anything is shown.
        written = model.write(line, seed=seed, length=length, stops=stops, **given(sampling))
        click.echo(line, nl=False)
        for _ in shown(written):
            pass
        click.echo()
