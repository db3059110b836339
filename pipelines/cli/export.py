"""``dragon export``: a model as a folder that other people's libraries load."""

from __future__ import annotations

from pathlib import Path

import typer

from pipelines.cli.lineage import open_store
from pipelines.cli.run import find_recipe
from pipelines.core.project import Project
from pipelines.core.record import StoreError
from pipelines.core.stanza import RecipeError
from pipelines.lineage.trace import trace
from pipelines.recipe.schema import Recipe
from pipelines.tasks.assistant.options import AssistantTask
from pipelines.tasks.domain.options import DomainTask
from pipelines.tasks.options import TaskOptions
from pipelines.tasks.translation.options import TranslationTask
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.artefacts import Checkpoint

HELD_BY_NONE = {"classifier": "a classifier", "translation": "an encoder-decoder"}


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
    from pipelines.exports.huggingface import export_hf

    folder = to or Path("exports", "-".join(key.split("/")[1:]))
    class_name = export_hf(checkpoint, tokenizer, lineage, folder)
    typer.echo(f"{key} {checkpoint.version[:12]} -> {folder}, a {class_name}")


def _key(recipe: Recipe, task: str | None) -> str:
    """The key of the foundation, or of a task's model; RecipeError where no stock class has it."""
    if recipe.architecture != "gpt":
        raise RecipeError(
            f"{recipe.name}: no stock class here holds architecture={recipe.architecture}; a "
            "foundation of architecture gpt can be exported"
        )
    if task is None:
        return f"foundation/{recipe.name}"
    kinds = {name: kind for name, t in recipe.tasks.items() if (kind := _kind(t))}
    if task not in kinds:
        why, known = "no such task", ", ".join(kinds) or "none"
        if task in recipe.tasks:
            why = f"{HELD_BY_NONE[recipe.tasks[task].kind]} has no stock class here"
        raise RecipeError(
            f"{recipe.name}: task={task!r}: {why}; the foundation can be exported, without --task,"
            f" and of the tasks: {known}"
        )
    return f"{kinds[task]}/{recipe.name}/{task}"


def _kind(task: TaskOptions) -> str | None:
    """What the key of a task's model begins with; None if it is none that a stock class holds."""
    match task:
        case AssistantTask():
            return "assistant"
        case TranslationTask():
            return "assistant" if task.decoder_only else None
        case DomainTask():
            return "domain"
    return None
