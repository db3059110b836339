"""The store that a command reads, and the models in it."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.core.project import Project
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.training.artefacts import Checkpoint

store_option = click.option(
    "--store",
    type=click.Path(path_type=Path),
    show_default="DRAGON_STORE, else ./assets_store",
    help="The folder of the store.",
)

TARGET = "An asset (chat/foundation), a version of it (chat/foundation@3f2a), its folder or a file."


def root_of(path: Path | None) -> Path:
    """The folder of a store; None is the project's. Raises StoreError if there is none."""
    root = (path or Project.here().store).resolve()
    if not root.is_dir():
        raise StoreError(f"{root}: no store; run a recipe, or choose one with --store")
    return root


def open_store(path: Path | None) -> Store:
    """The store at ``path``; None is the project's. Raises StoreError if there is none."""
    return Store(root_of(path))


def current_model(store: Store, key: str, recipe: str) -> Checkpoint:
    """The current version of a model. Raises StoreError naming the ``recipe`` to run if none."""
    try:
        return store.current(key, Checkpoint)
    except StoreError:
        raise StoreError(f"{key}: not made yet; make it with dragon run {recipe}") from None
