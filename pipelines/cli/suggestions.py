"""What ``dragon run`` says at its end: a command for each kind of thing that was made."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator

from model.architectures import catalogue
from pipelines.recipe.schema import Recipe
from pipelines.tasks.assistant.options import AssistantTask
from pipelines.tasks.classifier.options import ClassifierTask
from pipelines.tasks.domain.options import DomainTask
from pipelines.tasks.options import TaskOptions
from pipelines.tasks.translation.options import TranslationTask

Suggestion = tuple[str, str]  # what can be done, and the command


def suggestions(recipe: Recipe, named: str, keys: Collection[str]) -> Iterator[Suggestion]:
    """What can be done with the assets ``keys`` of a recipe that the run was told as ``named``."""
    corpus = next(iter(recipe.mixture()))
    if f"documents/{corpus}" in keys:
        yield "Look at the data", _dragon("documents", corpus)
    for task, declared in recipe.tasks.items():
        yield from _of_task(recipe, task, declared, named, keys)
    for corpus, vectors in recipe.word_vectors.items():
        if f"word_vectors/{corpus}" in keys:
            yield "Nearest words", _dragon("neighbours", corpus, vectors.shown()[0])
    foundation = f"foundation/{recipe.name}"
    if foundation in keys:
        if catalogue()[recipe.architecture].objective == "masked_token":
            yield "Fill a gap", _dragon("fill", named, "A: how ___ you?")
        else:
            yield "For others to use", _dragon("export", named)
        yield "Where from", _dragon("trace", foundation)


def _of_task(
    recipe: Recipe, task: str, declared: TaskOptions, named: str, keys: Collection[str]
) -> Iterator[Suggestion]:
    below = f"{recipe.name}/{task}"
    several = sum(other.kind == declared.kind for other in recipe.tasks.values()) > 1
    which = ("--task", task) if several else ()
    match declared:
        case AssistantTask() if f"assistant/{below}" in keys:
            yield "Talk to it", _dragon("chat", named, *which)
        case ClassifierTask() if f"classifier/{below}" in keys:
            of = ("--recipe", named) if named.endswith(".yaml") else ()
            text = "URGENT! You have won a prize, call 09061701461"
            yield "Label a text", _dragon("classify", task, text, *of)
        case TranslationTask() if f"translator/{below}" in keys:
            yield "Translate", _dragon("translate", named, "14 July 1789", *which)
        case DomainTask() if f"evaluation/domain/{below}" in keys:
            yield "Learned, forgotten", _dragon("show", f"evaluation/domain/{below}")


def _dragon(*words: str) -> str:
    return shlex.join(("dragon", *words))
