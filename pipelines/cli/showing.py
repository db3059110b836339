"""What a command shows: a text as it comes, and what to do next."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import click


def shown(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces of a text, each on the screen before the next is made."""
    for piece in pieces:
        click.echo(piece, nl=False)
        yield piece


def suggest(*commands: str) -> None:
    """Name commands that may follow, where a person looks on; a pipe or a file gets none."""
    if commands and sys.stdout.isatty():
        click.echo("\n".join(("", "Next:", *(f"  {command}" for command in commands))))
