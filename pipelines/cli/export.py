"""``dragon export``: a model as a folder that other libraries can load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.asking import recipe_argument
from pipelines.cli.showing import suggest
from pipelines.cli.store import current_model, open_store, store_option
from pipelines.core.project import Project
from pipelines.lineage.trace import trace
from pipelines.text.nearest import did_you_mean
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
@click.option("--task", help="Export the model of this task, not the foundation.")
@click.option(
    "--adapter",
    "apart",
    is_flag=True,
    help="Write what was learned by lora apart from the weights, for the library peft.",
)
@store_option
def export(
    named: str, layout: str, to: Path | None, task: str | None, apart: bool, store: Path | None
) -> None:
    """Write a model with its tokenizer and lineage as others read it.

    It writes the foundation, or the model of a task; an adapter is merged into the weights that it
    adapts. First it hashes all files of its lineage.
    """
    from pipelines.cli.recipes import find_recipe

    if layout != "hf":
        raise ValueError(f"--format {layout}: only hf is known, a folder for transformers")
    key = _key(find_recipe(named, Project.here()), task)
    opened = open_store(store)
    checkpoint = current_model(opened, key, named)
    lineage = trace(opened, checkpoint)
    name = key.split("/")[0] + (f"-{task}" if task else "") + ("-adapter" if apart else "")
    folder = to or Path("exports", name)
    if apart:
        from pipelines.exports.peft import export_adapter

        written = f"an adapter of {export_adapter(checkpoint, lineage, folder)}"
    else:
        from pipelines.exports.huggingface import export_hf

        tokenizer_of = checkpoint.config()["tokenizer"]
        tokenizer = opened.open(key, tokenizer_of["version"], TokenizerFiles).load()
        written = f"a {export_hf(checkpoint, tokenizer, lineage, folder)}"
    click.echo(f"{key} {checkpoint.version[:12]} -> {folder}, {written}")
    suggest(f"read {folder / 'README.md'}", f"dragon trace {folder}")


def _key(recipe: Recipe, task: str | None) -> str:
    """The key of the foundation or of a task's model.

    Raises RecipeError if no stock class can hold the model.
    """
    from pipelines.cli.recipes import uses_of
    from pipelines.core.stanza import RecipeError

    if recipe.architecture != "gpt":
        raise RecipeError(
            f"{recipe.name}: a foundation of architecture={recipe.architecture} cannot be exported;"
            " choose a recipe of architecture gpt"
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
            why = f"the model of a task of kind {recipe.tasks[task].kind} cannot be exported"
        mend = "leave out --task to export the foundation, or name one of these tasks"
        mend = f"{mend}: {known}"
        near = mend if task in recipe.tasks else did_you_mean(task, keys, mend)
        raise RecipeError(f"{recipe.name}: task {task!r}: {why}; {near}")
    return keys[task]
