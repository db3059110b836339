"""``dragon chat``: a conversation with a recipe's assistant."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.asking import lines_of_input, recipe_argument
from pipelines.cli.sampling import given, said_with
from pipelines.cli.showing import shown
from pipelines.cli.store import store_option
from pipelines.core.project import Project

if TYPE_CHECKING:
    from pipelines.recipe.schema import Recipe


@click.command()
@recipe_argument
@click.option("--task", help="The task, if the recipe has several assistants.")
@click.option(
    "--foundation", is_flag=True, help="Talk to the weights as they came, by their own template."
)
@click.option("--system", help="Instructions before the conversation.")
@said_with(length=60)
@click.option("--int8", is_flag=True, help="Round the weights to eight bits.")
@store_option
def chat(
    named: str,
    task: str | None,
    foundation: bool,
    system: str | None,
    length: int,
    seed: int,
    stops: tuple[str, ...],
    int8: bool,
    store: Path | None,
    **sampling: float | None,
) -> None:
    """Talk to a recipe's assistant.

    Weights from elsewhere are talked to as they came if the recipe has no assistant. It answers
    each line that you type, or that standard input holds. An empty line or Ctrl-D ends the
    conversation. A line that ends in a backslash is continued by the next line. Role marks such as
    <|user|> in your text stay plain text.
    """
    from pipelines.cli.recipes import find_recipe, load_model

    project = Project.here()
    recipe = find_recipe(named, project)
    key, remembered = _partner(recipe, task, foundation)
    model = load_model(project, key, named, store)
    from pipelines.corpora.turns import trimmed

    model = model.in_eight_bits() if int8 else model
    turns: list[str] = []
    if sys.stdin.isatty():
        click.echo(
            "Type a message. An empty line ends the conversation; a backslash at the end of a line"
            " continues it on the next."
        )
    for number, typed in enumerate(turns_of_input("you: ")):
        message = trimmed(typed)
        if not message:
            break
        turns = [*turns, message][-remembered:]
        settings: dict[str, Any] = {"seed": seed + number, "length": length, **given(sampling)}
        pieces = model.say(turns, stops=stops, system=system, **settings)
        click.echo(f"{recipe.name}: ", nl=False)
        turns.append("".join(shown(pieces)))
        click.echo()


def _partner(recipe: Recipe, task: str | None, foundation: bool) -> tuple[str, int]:
    """The key of the model to talk to, and how many turns it reads; 0 for all that fit.

    Without an assistant, weights from elsewhere are talked to as they came.
    """
    from pipelines.cli.recipes import task_for, uses_of

    if foundation and task is not None:
        raise click.UsageError("--task and --foundation exclude each other; give one")
    uses = (use for name in recipe.tasks for use in uses_of(recipe, name))
    alone = recipe.weights is not None and not any(use.verb == "chat" for use in uses)
    if foundation or (alone and task is None):
        return f"{recipe.name}/foundation", 0
    _, (use,) = task_for("chat", "assistant", recipe, task)
    return use.key, use.settings.get("context_turns", 0)


def turns_of_input(prompt: str) -> Iterator[str]:
    """The person's messages: one line each, continued where a line ends in a backslash."""
    lines: list[str] = []
    for line in lines_of_input(prompt):
        lines.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)
