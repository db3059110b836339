"""``dragon licences``: what the licences of a model's training texts ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.files import write_file
from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.store import TARGET, open_store, store_option

if TYPE_CHECKING:
    from pipelines.lineage.licences import Terms


@click.command()
@click.argument("target", help=f"{TARGET[:-1]}, or an export.")
@click.argument(
    "file", required=False, type=click.Path(path_type=Path), help="A file for the NOTICE to write."
)
@json_option
@store_option
def licences(target: str, file: Path | None, as_json: bool, store: Path | None) -> None:
    """Print what the licences of a model's training texts ask for.

    They are those of the documents that its trainings really read, and of weights from elsewhere.
    The NOTICE names every source for the credit that most licences ask for. It is no legal advice.
    """
    from pipelines.lineage.licences import notice, terms_of
    from pipelines.lineage.trace import locate, trace

    opened = open_store(store)
    terms = terms_of(trace(opened, locate(opened, target), verify=False))
    if file is not None:
        write_file(file, notice(terms).encode())
    if as_json:
        print_json(terms.to_json())
        return
    _print(terms)
    if file is not None:
        click.echo(f"\nNOTICE written to {file}")
    else:
        suggest(f"dragon licences {target} NOTICE.txt")


def _print(terms: Terms) -> None:
    from pipelines.cli.documents import aligned
    from pipelines.lineage.licences import NO_ADVICE
    from pipelines.text.spdx import asks, licence_of

    click.echo(f"{terms.key}  {terms.version}\nall together: {terms.expression}\n")
    rows = [
        {
            "licence": share.expression,
            "corpus": share.corpus,
            "documents": share.documents,
            **({} if terms.assumed else {"tokens read": share.tokens}),
            "asks for": ", ".join(share.asks) or "nothing",
        }
        for share in terms.shares
    ]
    for line in aligned(rows) if rows else ():
        click.echo(line)
    for asset, stated in terms.weights:
        licence = licence_of(stated)
        asked = ", ".join(asks(licence)) or "nothing"
        click.echo(f"  {licence.expression}  {asset}, weights from elsewhere; asks for: {asked}")
    for share in terms.shares:
        if not share.known:
            words = ", ".join(repr(stated) for stated in list(share.stated)[:3])
            click.echo(f"  not known: corpus {share.corpus} states {words}")
    for key in terms.assumed:
        click.echo(f"  {key} has no list of what was read: all its training texts are counted")
    click.echo(f"\n{NO_ADVICE}")
