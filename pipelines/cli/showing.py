"""The output of commands: generated text, figures, JSON, and suggestions of next commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.core.artefact import Artefact
    from pipelines.report.figures import Figure

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, for programs."
)
PLAIN = {"final", "bytes", "of", "the", "per"}  # words of a label that say nothing beside the value


def shown(pieces: Iterable[str]) -> Iterator[str]:
    """Print and pass on the pieces of a text, each before the next one is generated."""
    for piece in pieces:
        click.echo(piece, nl=False)
        yield piece


def print_json(value: Any) -> None:
    """Print one JSON document; other characters than ASCII are escaped, so any pipe takes it."""
    click.echo(json.dumps(value, indent=2, sort_keys=False, allow_nan=False, default=str))


def headline_texts(artefact: Artefact) -> list[str]:
    """The artefact's headlines for one line: ``validation loss 3.214 nats``.

    Empty if they cannot be read: a line for people must not fail.
    """
    from pipelines.report.figures import headlines

    try:
        return [told(figure) for figure in headlines(artefact)]
    except (ValueError, KeyError, TypeError):
        return []


def told(figure: Figure) -> str:
    """A figure with the words of its label that its text lacks: ``train 12,310 pairs``."""
    if figure.name == "ours":
        return figure.text
    words = set(figure.text.split()) | PLAIN
    missing = " ".join(word for word in figure.label.split() if word not in words)
    return f"{missing} {figure.text}".strip()


def suggest(*commands: str) -> None:
    """Print commands that may follow, on a terminal only and not into a pipe or a file."""
    if commands and sys.stdout.isatty():
        click.echo("\n".join(("", "Next:", *(f"  {command}" for command in commands))))
