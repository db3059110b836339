"""``dragon certificate``: which documents a model was trained on, as one root."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.files import write_file
from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.store import TARGET, open_store, store_option

if TYPE_CHECKING:
    from pipelines.lineage.certificate import Certificate

PROVES = (
    "It proves that the weights came with this list: dragon prove writes for any text a small file"
    " that says whether it is on the list, exactly as it stands.",
    "It does not prove that nothing else was read (for this repeat the training), it tells nothing"
    " of texts that differ in one letter, and it leaves out what shaped the tokenizer, what a"
    " validation looked at, and what the weights were trained on before.",
)


@click.command()
@click.argument("target", help=f"{TARGET[:-1]}, or an export.")
@click.argument(
    "file", required=False, type=click.Path(path_type=Path), help="A file to write it to, as JSON."
)
@click.option(
    "--authority",
    type=click.Path(path_type=Path),
    help="The certificates (PEM) of the time-stamp authority that you trust.",
)
@json_option
@store_option
def certificate(
    target: str, file: Path | None, authority: Path | None, as_json: bool, store: Path | None
) -> None:
    """Print the root over all documents that a model was trained on.

    The root is computed again from the list of what the training read, and compared with the one
    that the record has from before the first step. A time stamp is checked if there is one.
    """
    from pipelines.lineage.certificate import certificate_of
    from pipelines.lineage.trace import locate, trace

    opened = open_store(store)
    training = trace(opened, locate(opened, target), verify=False)
    found = certificate_of(training)
    stamp = _stamp(found, authority)
    content = found.to_json()
    if file is not None:
        from pipelines.core.identity import canonical

        write_file(file, canonical(content))
    if as_json:
        print_json({**content, "time_stamp": stamp})
        return
    _print(found, stamp)
    if file is not None:
        click.echo(f"written to {file}; dragon check {file} compares it with the store")
    suggest(f"dragon prove {target} DOCUMENT", f"dragon licences {target}")


def _print(found: Certificate, stamp: str) -> None:
    artefact = found.training.artefact
    kind = "examples" if found.is_of_examples else "documents"
    tokens = sum(draw.tokens for draw in found.draws)
    click.echo(f"{artefact.key}  {artefact.version}")
    click.echo(f"  root       {found.root}")
    click.echo(f"  over       {len(found.tree):,} {kind}{_equal(found)}, {tokens:,} tokens")
    click.echo(f"  promised   {_promised(found)}")
    click.echo(f"  time stamp {stamp}")
    for before in found.before:
        click.echo(
            f"  after      {before.key} {before.version[:12]}, which has its own certificate"
        )
    click.echo("")
    for sentence in PROVES:
        click.echo(sentence)


def _equal(found: Certificate) -> str:
    """How many more rows than digests there are, because texts are equal."""
    more = len(found.draws) - len(found.tree)
    return f" ({more:,} more are equal to one of them)" if more else ""


def _promised(found: Certificate) -> str:
    promised = found.promised
    if promised is None:
        return "nothing before the first step, by its record"
    when = f"at {promised.get('committed')}, before the first step"
    if found.is_promised:
        return when
    return (
        f"{when}, another root ({promised['root'][:12]}) over {promised.get('documents'):,}: a"
        " validation chose weights from before the planned end"
    )


def _stamp(found: Certificate, authority: Path | None) -> str:
    """What the time stamp says, in words."""
    stamp = (found.promised or {}).get("timestamp")
    if not stamp:
        return "none; DRAGON_TIMESTAMPS names an authority before a training"
    from pipelines.training.timestamps import read_stamp

    assert found.promised is not None
    return read_stamp(stamp, bytes.fromhex(found.promised["root"]), authority)
