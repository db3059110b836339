"""The output of commands: generated text, figures, JSON, and suggestions of next commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.core.artefact import Artefact

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, for programs."
)


def shown(pieces: Iterable[str]) -> Iterator[str]:
    """Print and pass on the pieces of a text, each before the next one is generated."""
    for piece in pieces:
        click.echo(piece, nl=False)
        yield piece


def print_json(value: Any) -> None:
    """Print one JSON document; other characters than ASCII are escaped, so any pipe takes it."""
    click.echo(json.dumps(value, indent=2, sort_keys=False, allow_nan=False, default=str))


def headlines_of(artefact: Artefact, room: int) -> str:
    """The artefact's headlines and its remark on one line, as many as fit into ``room`` columns.

    Empty if they cannot be read: a line for people must not fail.
    """
    from pipelines.report.figures import headlines_or_none

    figures = headlines_or_none(artefact) or []
    parts = [figure.phrase for figure in figures]
    if parts and len(parts[0]) > room:
        parts[0] = figures[0].text
    if parts and len(parts[0]) > room:
        parts[0] = parts[0].partition(" (")[0]  # without the interval
    try:
        remark = artefact.remark()
    except (ValueError, KeyError, TypeError, OSError):
        return ""
    line = ""
    for part in [*parts, *([remark] if remark else [])]:
        longer = f"{line}, {part}" if line else part
        if len(longer) > room:
            break
        line = longer
    return line


def suggest(*commands: str) -> None:
    """Print commands that may follow, on a terminal only and not into a pipe or a file."""
    if commands and sys.stdout.isatty():
        click.echo("\n".join(("", "Next:", *(f"  {command}" for command in commands))))
