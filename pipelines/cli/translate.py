"""``dragon translate``: translates a text with a recipe's translator."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.asking import TEXT, texts_of
from pipelines.cli.store import store_option
from pipelines.core.project import Project


@click.command()
@click.argument(
    "named", metavar="RECIPE", help="A recipe with a translation task: a name, or a .yaml file."
)
@click.argument("text", help=TEXT)
@click.option("--task", help="The task, if the recipe has several translators.")
@click.option(
    "--beams",
    type=click.IntRange(min=1),
    show_default="as its evaluation",
    help="Beams of the search.",
)
@click.option("--decoder-only", is_flag=True, help="Use the GPT trained on the same pairs.")
@store_option
def translate(
    named: str,
    text: str,
    task: str | None,
    beams: int | None,
    decoder_only: bool,
    store: Path | None,
) -> None:
    """Translate a text with a recipe's translator.

    Prints one line for each text.
    """
    from pipelines.cli.recipes import as_trained_on, find_recipe, load_model, task_for
    from pipelines.core.stanza import RecipeError

    project = Project.here()
    recipe = find_recipe(named, project)
    task, uses = task_for("translate", "translation", recipe, task)
    fitting = [use for use in uses if ("--decoder-only" in use.words) == decoder_only]
    if not fitting:
        raise RecipeError(
            f"{recipe.name}: task {task} has no section decoder_only; add it to the task, or leave"
            " out --decoder-only"
        )
    if decoder_only and beams is not None:
        raise RecipeError(
            "--beams and --decoder-only: the GPT decodes without beams; give only one of them"
        )
    model = load_model(project, fitting[0].key, named, store)
    beams = beams or fitting[0].settings.get("beams")
    for line in texts_of(text):
        clean = " ".join(as_trained_on(recipe, recipe.tasks[task].corpus, line).split())
        click.echo(model.translate(clean, beams) if clean else "")
