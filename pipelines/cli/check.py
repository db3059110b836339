"""``dragon check``: whether a proof or a certificate is right, and of which model it speaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipelines.cli.files import read_file
from pipelines.cli.showing import json_option, print_json
from pipelines.cli.store import open_store, store_option
from pipelines.core.project import Project
from pipelines.core.record import StoreError

MOST_BYTES = 1 << 17  # of a certificate with a time stamp


@click.command()
@click.argument(
    "file",
    type=click.Path(path_type=Path),
    help="A file that dragon prove or dragon certificate wrote.",
)
@click.argument(
    "text",
    required=False,
    type=click.Path(path_type=Path),
    help="The document as a text file; the proof has to be of it.",
)
@json_option
@store_option
def check(file: Path, text: Path | None, as_json: bool, store: Path | None) -> None:
    """Check a proof that a document was trained on, or was not.

    With a store it also says of which of its models the proof speaks; it computes the root again
    from what these models read. Without one the proof is checked by itself. A certificate is
    compared with the store of its model.
    """
    from pipelines.lineage import check_proof
    from pipelines.lineage.certificate import CERTIFICATE

    content = read_file(file, MOST_BYTES)
    if CERTIFICATE.encode() in content:
        if text is not None:
            raise click.UsageError(
                f"{file} is a certificate, which is of no single text; give TEXT with a proof"
                " (dragon prove MODEL TEXT)"
            )
        _check_certificate(file, content, as_json, store)
        return
    try:
        right = check_proof.check(content)
    except check_proof.Refused as fault:
        raise ValueError(f"{file}: refused: {fault}") from None
    if text is not None and not check_proof.is_text_of(read_file(text), right["document"]):
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


def _check_certificate(file: Path, content: bytes, as_json: bool, store: Path | None) -> None:
    from pipelines.lineage.certificate import check_certificate

    try:
        right = check_certificate(open_store(store), content)
    except ValueError as fault:
        raise ValueError(f"{file}: refused: {fault}") from None
    if as_json:
        print_json({"certificate": right.to_json()})
        return
    artefact = right.training.artefact
    click.echo(f"right: {artefact.key} {artefact.version[:12]} has the root {right.root}")


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
