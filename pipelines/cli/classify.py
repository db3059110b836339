"""``dragon classify``: the label of a text."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.asking import TEXT, texts_of
from pipelines.cli.store import store_option
from pipelines.core.project import Project


@click.command()
@click.argument("task", help="A classifier task of a recipe, such as spam.")
@click.argument("text", help=TEXT)
@click.option("--recipe", "named", help="The recipe, if several have such a task, or a .yaml file.")
@store_option
def classify(task: str, text: str, named: str | None, store: Path | None) -> None:
    """Label a text with a recipe's classifier.

    Prints one line for each text: the most likely label and its probability.
    """
    from pipelines.cli.recipes import as_trained_on, find_recipe, load_model, recipe_with, task_for

    project = Project.here()
    recipe = find_recipe(named, project) if named else recipe_with(project, task)
    task, (use,) = task_for("classify", "classifier", recipe, task)
    model = load_model(project, use.key, named or recipe.name, store)
    for line in texts_of(text):
        clean = as_trained_on(recipe, recipe.tasks[task].corpus, line)
        label, share = next(iter(model.classify(clean).items()))
        click.echo(f"{label}\t{share:.1%}")
