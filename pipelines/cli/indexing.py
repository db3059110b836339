"""The index of a store for a command, with a line while it is brought up to date."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator

import click

from pipelines.cli.terminal import CLEAR, columns, cut, is_terminal
from pipelines.core.progress import watched
from pipelines.core.project import Project
from pipelines.core.store import Store
from pipelines.lineage.index import Index, place_of
from pipelines.lineage.near import NearIndex

PLAIN_SECONDS = 10.0  # between two lines in a pipe


@contextlib.contextmanager
def indexed(store: Store) -> Iterator[Index]:
    """The index of a store, in the project's home; in memory if there is no home.

    Work of more than two seconds shows its progress on standard error.
    """
    home = Project.here().home
    with _shown(), Index(store, place_of(store, home) if home.is_dir() else None) as index:
        yield index


@contextlib.contextmanager
def signed(store: Store) -> Iterator[NearIndex]:
    """The signatures of a store's documents, beside its index."""
    home = Project.here().home
    path = place_of(store, home, "near") if home.is_dir() else None
    with _shown(), NearIndex(store, path) as near:
        yield near


@contextlib.contextmanager
def _shown() -> Iterator[None]:
    """Show the progress of work on standard error: one line that moves, or lines in a pipe."""
    moves, said, drawn = is_terminal(sys.stderr), 0.0, False

    def show(label: str, state: str) -> None:
        nonlocal said, drawn
        if moves:
            drawn = True
            line = cut(f"{label}: {state}", columns(sys.stderr) - 1)
            click.echo(f"{CLEAR}{line}", nl=False, err=True)
        elif time.monotonic() - said > PLAIN_SECONDS:
            said = time.monotonic()
            click.echo(f"{label}: {state}", err=True)

    try:
        with watched(show):
            yield
    finally:
        if drawn:
            click.echo(CLEAR, nl=False, err=True)
