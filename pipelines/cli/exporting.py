"""``dragon export``: a model as a folder that other people's libraries load."""

from __future__ import annotations

from pathlib import Path

import typer

from pipelines.artifacts import Checkpoint, TokenizerFiles
from pipelines.cli.looking import open_store
from pipelines.cli.running import find_recipe
from pipelines.lineage import trace
from pipelines.project import Project
from pipelines.recipe.base import RecipeError
from pipelines.recipe.schema import Recipe
from pipelines.store import StoreError

KINDS = ("assistant", "domain", "classifier")  # of tasks; the key of a model begins so


def export(recipe: str, layout: str, to: Path | None, task: str | None, store: Path | None) -> None:
    """Write the foundation, or a task's model, with its tokenizer and lineage."""
    if layout != "hf":
        raise ValueError(f"--format {layout}: only hf is written, a folder for transformers")
    project = Project.here()
    found = find_recipe(recipe, project)
    key = _key(found, task)
    opened = open_store(store)
    try:
        checkpoint = opened.current(key, Checkpoint)
    except StoreError:
        raise StoreError(f"{key}: not made yet; dragon run {recipe}") from None
    lineage = trace(opened, checkpoint)  # every byte behind it is hashed again
    told = checkpoint.config()["tokenizer"]
    tokenizer = opened.open(told["key"], told["version"], TokenizerFiles).load()
    from pipelines.interop.exporting import export_hf

    folder = to or Path("exports", "-".join(key.split("/")[1:]))
    class_name = export_hf(checkpoint, tokenizer, lineage, folder)
    typer.echo(f"{key} {checkpoint.version[:12]} -> {folder}, a {class_name}")


def _key(recipe: Recipe, task: str | None) -> str:
    if task is None:
        return f"foundation/{recipe.name}"
    declared = recipe.tasks.get(task)
    if declared is None or declared.kind not in KINDS:
        known = ", ".join(n for n, t in recipe.tasks.items() if t.kind in KINDS) or "none"
        raise RecipeError(f"{recipe.name}: task={task!r}: tasks that can be exported: {known}")
    return f"{declared.kind}/{recipe.name}/{task}"
