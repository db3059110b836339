"""``dragon translate``: a recipe's translator at work."""

from __future__ import annotations

import typer

from pipelines.cli.asking import as_trained_on, key_of, load_model, texts_of
from pipelines.cli.run import find_recipe
from pipelines.core.project import Project
from pipelines.core.stanza import RecipeError
from pipelines.tasks.translation.options import TranslationTask


def translate(
    recipe: str, text: str, task: str | None, beams: int | None, decoder_only: bool
) -> None:
    """Prints the translation of a text, or of each line of standard input.

    ``beams`` None is the task's own number; ``decoder_only`` asks the GPT that was fine-tuned on
    the same pairs.
    """
    project = Project.here()
    found = find_recipe(recipe, project)
    key = key_of(found, "translation", task)
    name = key.rsplit("/", 1)[1]
    declared = found.tasks[name]
    assert isinstance(declared, TranslationTask)  # as key_of found it
    if decoder_only and declared.decoder_only is None:
        raise RecipeError(f"{found.name}: task {name} has no decoder_only; add it, or leave it out")
    if decoder_only and beams is not None:
        raise RecipeError("--beams and --decoder-only: the GPT is greedy; give one of them")
    kind = "assistant" if decoder_only else "translator"
    model = load_model(project, f"{kind}/{found.name}/{name}")
    for line in texts_of(text):
        clean = " ".join(as_trained_on(found, declared.corpus, line).split())
        typer.echo(model.translate(clean, beams or declared.beams) if clean else "")
