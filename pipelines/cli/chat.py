"""``dragon chat``, ``dragon write`` and ``dragon classify``: using what a recipe made."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import typer

from model.architectures import catalogue
from pipelines.cli.asking import (
    as_trained_on,
    key_of,
    lines_of_input,
    load_model,
    recipe_with,
    texts_of,
)
from pipelines.cli.run import find_recipe
from pipelines.core.project import Project
from pipelines.core.stanza import RecipeError
from pipelines.tasks.assistant.options import AssistantTask


def chat(
    recipe: str,
    task: str | None,
    seed: int,
    length: int = 60,
    stops: Sequence[str] = (),
    int8: bool = False,
    **sampling: Any,
) -> None:
    """Replies to lines from standard input until it ends, each of up to ``length`` tokens.

    A line that ends in a backslash goes on with the next; role marks stay ordinary text.

    ``int8`` rounds the weights to eight bits; ``sampling`` are options of ``Sampling``
    (model/inference/sampling.py), those of evaluations where none are given.
    """
    project = Project.here()
    found = find_recipe(recipe, project)
    key = key_of(found, "assistant", task)
    declared = found.tasks[key.rsplit("/", 1)[1]]
    assert isinstance(declared, AssistantTask)  # as key_of found it
    model = load_model(project, key)
    from pipelines.corpora.turns import trimmed

    model = model.in_eight_bits() if int8 else model
    turns: list[str] = []
    if sys.stdin.isatty():
        typer.echo("Say something; an empty line ends it, a backslash goes on with the next line.")
    for number, typed in enumerate(turns_of_input("you: ")):
        said = trimmed(typed)
        if not said:
            break
        turns = [*turns, said][-declared.context_turns :]
        pieces = model.say(turns, seed=seed + number, length=length, stops=stops, **sampling)
        typer.echo(f"{found.name}: ", nl=False)
        turns.append("".join(shown(pieces)))
        typer.echo()


def write(
    recipe: str,
    prompt: str,
    seed: int,
    length: int,
    stops: Sequence[str] = (),
    **sampling: Any,
) -> None:
    """How the foundation goes on with a text, or with each line of standard input."""
    project = Project.here()
    found = find_recipe(recipe, project)
    if catalogue()[found.architecture].objective != "next_token":
        raise RecipeError(f"{found.name}: its network writes nothing; ask it with dragon fill")
    model = load_model(project, f"foundation/{found.name}")
    for text in texts_of(prompt):
        typer.echo(text, nl=False)
        for _ in shown(model.write(text, seed=seed, length=length, stops=stops, **sampling)):
            pass
        typer.echo()


def turns_of_input(prompt: str) -> Iterator[str]:
    """What a person says: a line, and the next where it ends in a backslash."""
    lines: list[str] = []
    for line in lines_of_input(prompt):
        lines.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)


def classify(task: str, text: str, recipe: str | None) -> None:
    """Prints a label and its probability for a text, or for each line of standard input."""
    project = Project.here()
    found = find_recipe(recipe, project) if recipe else recipe_with(project, task)
    model = load_model(project, key_of(found, "classifier", task))
    for line in texts_of(text):
        clean = as_trained_on(found, found.tasks[task].corpus, line)
        label, share = next(iter(model.classify(clean).items()))
        typer.echo(f"{label}\t{share:.1%}")


def shown(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces of a text, each on the screen before the next is made."""
    for piece in pieces:
        typer.echo(piece, nl=False)
        yield piece
