"""``dragon chat`` and ``dragon classify``: using what a recipe made."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import typer

from pipelines.artifacts import Checkpoint, TokenizerFiles
from pipelines.cli.running import find_recipe
from pipelines.project import Project
from pipelines.recipe.base import RecipeError
from pipelines.recipe.loading import load_recipes
from pipelines.recipe.schema import Recipe
from pipelines.recipe.tasks import AssistantTask
from pipelines.store import Store, StoreError

MAX_CHARACTERS = 20_000


def chat(recipe: str, task: str | None, seed: int) -> None:
    """Replies to lines from standard input until it ends."""
    project = Project.here()
    found = find_recipe(recipe, project)
    key = _key(found, "assistant", task)
    declared = found.tasks[key.rsplit("/", 1)[1]]
    assert isinstance(declared, AssistantTask)  # as _key found it
    network, tokenizer, _ = _load(project, key)
    from pipelines.evaluating import reply

    turns: list[str] = []
    if sys.stdin.isatty():
        typer.echo("Say something; an empty line ends it.")
    for number, typed in enumerate(_lines("you: ")):
        line = " ".join(typed.split())  # a turn is a line; role marks in it stay ordinary text
        if not line:
            break
        turns = [*turns, line][-declared.context_turns :]
        answer = reply(network, tokenizer, turns, seed=seed + number)
        typer.echo(f"{found.name}: {answer}")
        turns.append(answer)


def classify(task: str, text: str, recipe: str | None) -> None:
    """Prints a label and its probability for a text, or for each line of standard input."""
    project = Project.here()
    found = find_recipe(recipe, project) if recipe else _recipe_with(project, task)
    network, tokenizer, labels = _load(project, _key(found, "classifier", task))
    from pipelines.text.cleaning import clean_text

    steps = found.corpora[found.tasks[task].corpus].cleaning
    form = next((step.form for step in steps if step.step == "normalise"), "none")
    texts: Iterable[str] = _lines("") if text == "-" else [text]
    for line in texts:
        clean = clean_text(_bearable(line), form)  # as the training texts were
        label, share = _label(network, tokenizer, labels, clean)
        typer.echo(f"{label}\t{share:.1%}")


def _label(network: Any, tokenizer: Any, labels: list[str], text: str) -> tuple[str, float]:
    import torch

    from pipelines.text.examples import encode_labelled

    where = next(network.parameters()).device
    tokens = encode_labelled(tokenizer, text, network.context_length)
    last = torch.tensor([len(tokens) - 1], device=where)
    network.eval()
    with torch.inference_mode():
        shares = network(torch.tensor([tokens], device=where), last)[0].softmax(dim=-1)
    best = int(shares.argmax())
    return labels[best], float(shares[best])


def _load(project: Project, key: str) -> tuple[Any, Any, list[str]]:
    """A model ready to use, the tokenizer it was trained with, a classifier's labels."""
    store = Store(project.store)
    try:
        checkpoint = store.current(key, Checkpoint)
    except StoreError:
        raise StoreError(f"{key}: not made yet; dragon run {key.split('/')[1]}") from None
    config = checkpoint.config()
    from pipelines.fitting import load_network

    tokenizer = store.open(
        config["tokenizer"]["key"], config["tokenizer"]["version"], TokenizerFiles
    ).load()
    return load_network(checkpoint), tokenizer, config.get("labels", [])


def _key(recipe: Recipe, kind: str, task: str | None) -> str:
    names = [name for name, declared in recipe.tasks.items() if declared.kind == kind]
    if task is None and len(names) == 1:
        task = names[0]
    if not names:
        raise RecipeError(f"{recipe.name} has no {kind} task; add one to its recipe")
    if task not in names:
        known = ", ".join(names)
        raise RecipeError(f"{recipe.name}: task={task!r} is not one of its {kind}s: {known}")
    return f"{kind}/{recipe.name}/{task}"


def _recipe_with(project: Project, task: str) -> Recipe:
    having = [r for r in load_recipes(project.recipes).values() if task in r.tasks]
    if len(having) != 1:
        names = ", ".join(r.name for r in having) or "none"
        raise RecipeError(f"task={task!r}: recipes that have it: {names}; name one with --recipe")
    return having[0]


def _lines(prompt: str) -> Iterator[str]:
    """Lines a person types or a file holds, until the end of input."""
    while True:
        try:
            yield _bearable(input(prompt if sys.stdin.isatty() else ""))
        except EOFError:
            return
        except UnicodeDecodeError as error:
            raise ValueError(f"standard input: not UTF-8 at byte {error.start}") from None


def _bearable(text: str) -> str:
    """A text of bearable length and of characters that UTF-8 has."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"text of {len(text)} characters: at most {MAX_CHARACTERS}; shorten it")
    return text.encode("utf-8", "replace").decode()
