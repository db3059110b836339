"""``dragon export``: a model as a folder that other people's libraries load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.asking import recipe_argument
from pipelines.cli.showing import suggest
from pipelines.cli.store import current_model, open_store, store_option
from pipelines.core.project import Project
from pipelines.lineage.trace import trace
from pipelines.tokens.artefacts import TokenizerFiles

if TYPE_CHECKING:
    from pipelines.recipe.schema import Recipe


@click.command()
@recipe_argument
@click.option(
    "--format",
    "layout",
    default="hf",
    show_default=True,
    help="hf: a folder that transformers loads.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    show_default="exports/RECIPE, or exports/RECIPE-TASK",
    help="The folder to make.",
)
@click.option("--task", help="The model of this task, not the foundation.")
@store_option
def export(named: str, layout: str, to: Path | None, task: str | None, store: Path | None) -> None:
    """Write a model with its tokenizer and lineage as others read it.

    It is the foundation, or the model of a task. Every byte behind it is hashed again first.
    """
    from pipelines.cli.recipes import find_recipe

    if layout != "hf":
        raise ValueError(f"--format {layout}: only hf is written, a folder for transformers")
    key = _key(find_recipe(named, Project.here()), task)
    opened = open_store(store)
    checkpoint = current_model(opened, key, named)
    lineage = trace(opened, checkpoint)
    told = checkpoint.config()["tokenizer"]
    tokenizer = opened.open(key, told["version"], TokenizerFiles).load()
    from pipelines.exports.huggingface import export_hf

    name = key.split("/")[0]
    folder = to or Path("exports", f"{name}-{task}" if task else name)
    class_name = export_hf(checkpoint, tokenizer, lineage, folder)
    click.echo(f"{key} {checkpoint.version[:12]} -> {folder}, a {class_name}")
    suggest(f"read {folder / 'README.md'}", f"dragon trace {folder}")


def _key(recipe: Recipe, task: str | None) -> str:
    """The key of the foundation, or of a task's model; RecipeError where no stock class has it."""
    from pipelines.cli.recipes import uses_of
    from pipelines.core.stanza import RecipeError

    if recipe.architecture != "gpt":
        raise RecipeError(
            f"{recipe.name}: no stock class here holds architecture={recipe.architecture}; a "
            "foundation of architecture gpt can be exported"
        )
    if task is None:
        return f"{recipe.name}/foundation"
    keys = {
        name: use.key
        for name in recipe.tasks
        for use in uses_of(recipe, name)
        if use.verb == "export"
    }
    if task not in keys:
        why, known = "no such task", ", ".join(keys) or "none"
        if task in recipe.tasks:
            why = f"what a task of kind {recipe.tasks[task].kind} makes has no stock class here"
        raise RecipeError(
            f"{recipe.name}: task={task!r}: {why}; the foundation can be exported, without --task,"
            f" and of the tasks: {known}"
        )
    return keys[task]
