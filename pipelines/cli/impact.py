"""``dragon impact``: what holds a document, or hangs on a file, a corpus or a library."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli.indexing import indexed, signed
from pipelines.cli.showing import json_option, print_json, suggest
from pipelines.cli.store import open_store, store_option
from pipelines.cli.terminal import columns, cut, is_terminal

if TYPE_CHECKING:
    from pipelines.lineage.impact import Impact, Reached

HELD = {
    "document": "holds it",
    "file": "has this file",
    "library": "made with it",
    "corpus": "is of it",
    "version": "is it",
}


@click.command()
@click.argument(
    "subject",
    help="A document's id (ID or CORPUS/ID), the sha256 of its text, a text, a file, a corpus, an"
    " asset or a version of it, or a library with its version (torch==2.13.0). - reads a text from"
    " standard input.",
)
@click.option("--near", is_flag=True, help="Search for near copies of a document or text too.")
@click.option(
    "--exports",
    type=click.Path(path_type=Path, file_okay=False),
    show_default="exports, in the project",
    help="The folder in whose folders exports are searched.",
)
@json_option
@store_option
def impact(
    subject: str, near: bool, exports: Path | None, as_json: bool, store: Path | None
) -> None:
    """Print what a document, file, corpus or library is in.

    For a document it says which models read it, how many of its tokens, and in which step first.
    Exports are not recorded: it reads the lineage of each folder in the folder of exports.
    """
    from pipelines.core.project import Project
    from pipelines.lineage.exported import exported_in
    from pipelines.lineage.subjects import impact_of, impact_of_text

    opened = open_store(store)
    with contextlib.ExitStack() as stack:
        index = stack.enter_context(indexed(opened))
        alike = stack.enter_context(signed(opened)) if near else None
        if subject == "-":
            found = impact_of_text(index, sys.stdin.read(), alike)
        else:
            found = impact_of(index, subject, alike)
    place = exports or Project.here().root / "exports"
    held = exported_in(place, {one.place.version for one in found.reached})
    if as_json:
        print_json(_as_json(found, place, held))
        return
    room = columns() - 1 if is_terminal() else 10_000
    for line in _lines(found, place, held):
        click.echo(cut(line, room))
    suggest(*(f"dragon trace {one.key} --documents" for one in found.reached if one.how == "read"))


def _as_json(found: Impact, place: Path, held: list[Path]) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "subject": found.subject,
        "documents": [asdict(one) for one in found.documents],
        "reached": [
            {
                **{name: value for name, value in asdict(one).items() if name != "place"},
                "version": one.place.version,
                "derivation": one.place.derivation,
            }
            for one in found.reached
        ],
        "exports": {"searched": str(place), "found": [str(folder) for folder in held]},
    }


def _lines(found: Impact, place: Path, held: list[Path]) -> Iterator[str]:
    exact = [one for one in found.documents if not one.similarity]
    for document in found.documents:
        near = f", near: {document.similarity:.0%} alike" if document.similarity else ""
        yield f"document {document.corpus} {document.id}  sha256 {document.sha256[:12]}{near}"
    if found.documents and not exact:
        yield "no document is the same; near copies are told by a fingerprint of their words"
    if found.documents:
        yield ""
    width = max((len(one.key) for one in found.reached), default=0)
    several = len({document.name for document in found.documents}) > 1
    for one in found.reached:
        current = "" if one.current else "  (not current)"
        told = f"{_told(one, found.kind)}{current}"
        of = f"  of {', '.join(one.documents)}" if several and one.documents else ""
        yield f"{one.key:{width}}  {one.place.version[:12]}  {told}{of}"
        for other in one.keys:
            if other != one.key:
                yield f"{'':{width}}  also called {other}"
    read = [one for one in found.reached if one.how == "read"]
    counts = f"{len(found.reached)} artefacts"
    if found.kind == "document":
        counts += f"; {len(read)} model{'s' * (len(read) != 1)} read it"
    yield ""
    yield f"{counts}; their records and manifests were read again"
    for folder in held:
        yield f"exported to {folder}"
    if not held:
        yield f"no export in {place} (exports are not recorded; --exports names another folder)"


def _told(one: Reached, kind: str) -> str:
    """How a place is reached, in words."""
    facts = one.facts
    near = f", near: {facts['near']:.0%} alike" if "near" in facts else ""
    if one.how == "read":
        tokens, step = facts["tokens"], facts["first_step"]
        told = f"read it: {tokens:,} token{'s' * (tokens != 1)}, first in step {step:,}"
        return told + near
    if one.how == "holds":
        if "reasons" in facts:
            return f"left it out: {', '.join(facts['reasons'])}{near}"
        splits = [name for name in facts.get("splits", ()) if name not in ("documents", "overlaps")]
        return f"{HELD[kind]}{' in ' * bool(splits)}{', '.join(splits)}{near}"
    told = "hangs on it"
    if one.how == "from":
        told = f"made from what read it: {', '.join(one.through)}"
    return f"{told}; {one.remark}" if one.remark else told
