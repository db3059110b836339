"""``dragon prove``: a small file that proves that a document was read by a training, or was not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.files import read_file, write_file
from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.store import TARGET, open_store, store_option

if TYPE_CHECKING:
    from pipelines.lineage.proof import Near

SCRIPT = "check_proof.py"


@click.command()
@click.argument("target", help=f"{TARGET[:-1]}, or an export.")
@click.argument("document", help="A text file, a sha256, or a document's id.")
@click.argument(
    "file",
    required=False,
    type=click.Path(path_type=Path),
    help="The file to write; by default proof-<sha256>.json.",
)
@click.option("--script", is_flag=True, help=f"Also write {SCRIPT}, which needs Python alone.")
@click.option(
    "--near/--no-near",
    default=True,
    show_default=True,
    help="Whether to look for near copies of an absent text, which reads all documents.",
)
@json_option
@store_option
def prove(
    target: str,
    document: str,
    file: Path | None,
    script: bool,
    near: bool,
    as_json: bool,
    store: Path | None,
) -> None:
    """Write a proof that a document was trained on, or was not.

    A proof speaks of the exact text, as dragon documents shows it after cleaning. Near copies are
    told apart from it: they are an estimate by fingerprints, not a proof.
    """
    from pipelines.lineage import check_proof
    from pipelines.lineage.certificate import certificate_of
    from pipelines.lineage.proof import find, near_copies, proof_of
    from pipelines.lineage.trace import locate, trace

    opened = open_store(store)
    certificate = certificate_of(trace(opened, locate(opened, target), verify=False))
    found = find(certificate, document)
    content = proof_of(certificate.tree, found.digest)
    proof = check_proof.check(content)  # what is written is right, by the checker's own rules
    place = file or Path(f"proof-{found.digest.hex()[:12]}.json")
    write_file(place, content)
    if script:
        write_file(place.with_name(SCRIPT), read_file(Path(check_proof.__file__)))
    is_absent = proof["claim"] == "absent"
    alike = near_copies(certificate, found.text) if is_absent and near and found.text else []
    if as_json:
        print_json(_as_json(proof, place, alike))
        return
    was = "was not read" if is_absent else "was read"
    click.echo(f"{found.digest.hex()} {was} in the training of {certificate.training.artefact.key}")
    for one in alike:
        click.echo(f"near, not proven: {_told(one)}")
    click.echo(f"{place}, {len(content):,} bytes" + (f", and {SCRIPT} beside it" if script else ""))
    suggest(f"dragon check {place}")


def _told(near: Near) -> str:
    return f"about {near.similarity:.0%} of the words like {near.corpus}/{near.document_id}"


def _as_json(proof: dict[str, Any], place: Path, alike: list[Near]) -> dict[str, Any]:
    return {"file": str(place), "proof": proof, "near": [one._asdict() for one in alike]}
