"""The output of commands: generated text piece by piece, and suggestions of next commands."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import click


def shown(pieces: Iterable[str]) -> Iterator[str]:
    """Print and pass on the pieces of a text, each before the next one is generated."""
    for piece in pieces:
        click.echo(piece, nl=False)
        yield piece


def suggest(*commands: str) -> None:
    """Print commands that may follow, on a terminal only and not into a pipe or a file."""
    if commands and sys.stdout.isatty():
        click.echo("\n".join(("", "Next:", *(f"  {command}" for command in commands))))
