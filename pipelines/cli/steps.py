"""``dragon steps``: what the steps of a training read."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.store import open_store, store_option

if TYPE_CHECKING:
    from pipelines.lineage.steps import Part

START = 200  # characters of a text that are shown without --full
MOST = 20  # parts of a step that are shown without --full


@click.command()
@click.argument("network", help="A trained network, such as chat/foundation.")
@click.argument("steps", help="A step, counted from 1, or a range such as 120:125.")
@click.option("--full", is_flag=True, help="Show every part of every step, and all of its text.")
@json_option
@store_option
def steps(network: str, steps: str, full: bool, as_json: bool, store: Path | None) -> None:
    """Print what the steps of a training read.

    They are computed again from the record, and checked against the receipt of the training.
    """
    from pipelines.lineage.steps import trained
    from pipelines.lineage.trace import locate

    first, last = _range(steps)
    opened = open_store(store)
    found = trained(opened, locate(opened, network))
    read = list(found.read(first, last))
    key = found.checkpoint.key
    if as_json:
        told = [{"step": one.step, "rows": _as_json(one.rows)} for one in read]
        print_json(
            {"key": key, "version": found.checkpoint.version, "checked": True, "steps": told}
        )
        return
    for one in read:
        _show(one, full)
    click.echo(f"\nchecked: the receipt of {key} {found.checkpoint.version[:12]} says the same")
    part = next((part for one in read for row in one.rows for part in row), None)
    if part is not None:
        suggest(f"dragon impact {_name(part)}", f"dragon trace {key} --documents")


def _name(part: Part) -> str:
    """The document of a part for ``dragon impact``; what an example is of, only its id says."""
    from pipelines.tokens.artefacts import EXAMPLES

    return part.document_id if part.corpus == EXAMPLES else f"{part.corpus}/{part.document_id}"


def _range(text: str) -> tuple[int, int]:
    """The first and the last step of ``120`` or ``120:125``. Raises ValueError."""
    numbers = re.fullmatch(r"(\d{1,15})(?::(\d{1,15}))?", text)
    if numbers is None:
        raise ValueError(f"steps={text!r}: give a step such as 120, or a range such as 120:125")
    first, last = int(numbers[1]), int(numbers[2] or numbers[1])
    if not 1 <= first <= last:
        raise ValueError(f"steps={text!r}: count from 1, and give the smaller number first")
    return first, last


def _as_json(rows: Any) -> list[Any]:
    return [[part._asdict() for part in row] for row in rows]


def _show(read: Any, full: bool) -> None:
    parts = [(number, part) for number, row in enumerate(read.rows, 1) for part in row]
    documents = len({(part.corpus, part.document_id) for _, part in parts})
    tokens = sum(part.last - part.first for _, part in parts)
    click.echo(
        f"step {read.step:,}: {len(read.rows):,} rows, {documents:,} documents, {tokens:,} tokens"
    )
    shown = parts if full else parts[:MOST]
    for number, part in shown:
        click.echo(
            f"  row {number}  {part.corpus}: {part.document_id}  tokens {part.first:,} to"
            f" {part.last:,}"
        )
        text = part.text if full else textwrap.shorten(part.text, START, placeholder=" ...")
        click.echo(textwrap.indent(text, "    "))
    if len(parts) > len(shown):
        click.echo(f"  and {len(parts) - len(shown):,} more parts; --full shows all")
