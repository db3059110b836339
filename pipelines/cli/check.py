"""``dragon check``: whether a proof is right, and of which training of the store it speaks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from pipelines.cli.showing import json_option, print_json
from pipelines.cli.store import open_store, store_option
from pipelines.core.project import Project
from pipelines.core.record import StoreError


@click.command()
@click.argument("proof", type=click.Path(path_type=Path), help="A file that dragon prove wrote.")
@click.argument(
    "text",
    required=False,
    type=click.Path(path_type=Path),
    help="The document as a text file; the proof has to be of it.",
)
@json_option
@store_option
def check(proof: Path, text: Path | None, as_json: bool, store: Path | None) -> None:
    """Check a proof that a document was trained on, or was not.

    With a store it also says of which of its models the proof speaks; it computes the root again
    from what these models read. Without one the proof is checked by itself.
    """
    from pipelines.lineage import check_proof

    try:
        right = check_proof.check(_read(proof))
    except check_proof.Refused as fault:
        raise ValueError(f"{proof}: refused: {fault}") from None
    if text is not None and not check_proof.is_text_of(text.read_bytes(), right["document"]):
        raise ValueError(f"{text}: is not the document of the proof; name the file as it was read")
    models = _models(store, right["root"])
    if as_json:
        print_json({"proof": right, "models": models})
        return
    click.echo(check_proof.told(right))
    for model in models or ():
        click.echo(f"the root is that of {model['key']} {model['version'][:12]}")
    if models is None:
        click.echo("no store is here, so it is not known of which model the root is")


def _read(proof: Path) -> bytes:
    from pipelines.lineage.check_proof import MOST_BYTES
    from pipelines.text.regular import open_regular

    with os.fdopen(open_regular(proof), "rb") as file:
        return file.read(MOST_BYTES + 1)


def _models(path: Path | None, root: str) -> list[dict[str, Any]] | None:
    """The models whose root it is, computed again; None without a store.

    Raises StoreError if the store has none.
    """
    if path is None and not Project.here().store.is_dir():
        return None
    from pipelines.lineage.certificate import models_of

    opened = open_store(path)
    models = [{"key": one.key, "version": one.version} for one in models_of(opened, root)]
    if not models:
        raise StoreError(
            f"root {root[:12]}: the proof is right in itself, but no training in {opened.root} has"
            " this root; choose the store of the model with --store"
        )
    return models
