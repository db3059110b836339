"""``dragon chat`` and ``dragon classify``: using what a recipe made."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import typer

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
    network, tokenizer, _ = load_model(project, key)
    from model.inference.quantisation import quantise
    from pipelines.corpora.turns import trimmed
    from pipelines.inference.replies import reply

    network = quantise(network) if int8 else network
    turns: list[str] = []
    if sys.stdin.isatty():
        typer.echo("Say something; an empty line ends it, a backslash goes on with the next line.")
    for number, typed in enumerate(turns_of_input("you: ")):
        said = trimmed(typed)
        if not said:
            break
        turns = [*turns, said][-declared.context_turns :]
        pieces = reply(network, tokenizer, turns, seed + number, length, stops, **sampling)
        typer.echo(f"{found.name}: ", nl=False)
        turns.append("".join(_shown(pieces)))
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
    network, tokenizer, labels = load_model(project, key_of(found, "classifier", task))
    for line in texts_of(text):
        clean = as_trained_on(found, found.tasks[task].corpus, line)
        label, share = _label(network, tokenizer, labels, clean)
        typer.echo(f"{label}\t{share:.1%}")


def _shown(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces of a text, each on the screen before the next is made."""
    for piece in pieces:
        typer.echo(piece, nl=False)
        yield piece


def _label(network: Any, tokenizer: Any, labels: list[str], text: str) -> tuple[str, float]:
    import torch

    from pipelines.tokens.turns import encode_labelled

    where = next(network.parameters()).device
    tokens = encode_labelled(tokenizer, text, network.context_length)
    last = torch.tensor([len(tokens) - 1], device=where)
    network.eval()
    with torch.inference_mode():
        shares = network(torch.tensor([tokens], device=where), last)[0].softmax(dim=-1)
    best = int(shares.argmax())
    return labels[best], float(shares[best])
