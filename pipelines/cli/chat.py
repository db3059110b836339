"""``dragon chat``: a conversation with a recipe's assistant."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pipelines.cli.asking import lines_of_input, recipe_argument
from pipelines.cli.sampling import given, said_with
from pipelines.cli.showing import shown
from pipelines.cli.store import store_option
from pipelines.core.project import Project


@click.command()
@recipe_argument
@click.option("--task", help="The task, if the recipe has several assistants.")
@said_with(length=60)
@click.option("--int8", is_flag=True, help="Round the weights to eight bits.")
@store_option
def chat(
    named: str,
    task: str | None,
    length: int,
    seed: int,
    stops: tuple[str, ...],
    int8: bool,
    store: Path | None,
    **sampling: float | None,
) -> None:
    """Talk to a recipe's assistant.

    It answers each line that you type, or that standard input holds. An empty line or Ctrl-D ends
    the conversation. A line that ends in a backslash is continued by the next line. Role marks
    such as <|user|> in your text stay plain text.
    """
    from pipelines.cli.recipes import find_recipe, load_model, task_for

    project = Project.here()
    recipe = find_recipe(named, project)
    _, (use,) = task_for("chat", "assistant", recipe, task)
    model = load_model(project, use.key, named, store)
    from pipelines.corpora.turns import trimmed

    model = model.in_eight_bits() if int8 else model
    turns: list[str] = []
    remembered = use.settings.get("context_turns", 0)  # 0: as many as the context holds
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
        pieces = model.say(turns, seed=seed + number, length=length, stops=stops, **given(sampling))
        click.echo(f"{recipe.name}: ", nl=False)
        turns.append("".join(shown(pieces)))
        click.echo()


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
