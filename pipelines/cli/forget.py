"""``dragon forget``: takes documents back."""

from __future__ import annotations

import contextlib
import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.indexing import indexed, signed
from pipelines.cli.showing import suggest
from pipelines.cli.store import open_store, store_option
from pipelines.core.record import StoreError

if TYPE_CHECKING:
    from pipelines.core.store import Store
    from pipelines.lineage.absence import Near
    from pipelines.lineage.forget import Entry, Stale
    from pipelines.lineage.graph import Graph
    from pipelines.lineage.near import NearIndex


@click.command()
@click.argument("corpus", help="A corpus that was made.")
@click.argument("documents", nargs=-1, help="Ids of documents, or sha256 of their texts.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the list.")
@click.option(
    "--near/--no-near",
    default=True,
    help="Search for documents that are nearly one of these and would stay, or do not.",
)
@click.option("--yes", is_flag=True, help="Write the list; without it, only say what would be.")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    help="After the run: search all current artefacts for the texts, and write what was found.",
)
@store_option
def forget(
    corpus: str,
    documents: tuple[str, ...],
    reason: str | None,
    near: bool,
    yes: bool,
    certificate: Path | None,
    store: Path | None,
) -> None:
    """Take documents back: put them on the list of a corpus.

    The next run makes everything without them. The list holds digests, never texts. The files of
    your own source still hold the documents: remove them there yourself.
    """
    from pipelines.core.project import Project
    from pipelines.lineage import forget as forgetting

    opened, root = open_store(store), Project.here().root
    if certificate is not None:
        _certify(opened, root, corpus, certificate, near=near)
        return
    if not documents or not reason:
        raise ValueError("name the documents, and give --reason; see dragon documents CORPUS")
    entries = forgetting.entries_of(opened, corpus, documents)
    stays = list(_near(opened, corpus, entries)) if near else []
    for line in _lines(entries, stays, forgetting.stale(opened, corpus, entries)):
        click.echo(line)
    if not yes:
        click.echo("\nnothing was written; --yes puts them on the list")
        return
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    path = forgetting.write_list(root, corpus, entries, reason, today)
    click.echo(f"\n{path}: has {len(entries)} more; the next run makes everything without them")
    suggest("dragon run RECIPE", f"dragon forget {corpus} --certificate FILE", "dragon gc --yes")


def _near(store: Store, corpus: str, entries: list[Entry]) -> list[Near]:
    from pipelines.lineage.absence import near_to
    from pipelines.lineage.forget import clean_texts

    texts = clean_texts(store, corpus, entries)
    with _searched(store, near=True) as (graph, alike):
        assert alike is not None
        return near_to(graph, alike, texts, {entry.id for entry in entries})


@contextlib.contextmanager
def _searched(store: Store, *, near: bool) -> Iterator[tuple[Graph, NearIndex | None]]:
    """The graph of a store, and its signatures if near copies are searched for."""
    with contextlib.ExitStack() as stack:
        index = stack.enter_context(indexed(store))
        yield index.graph(), stack.enter_context(signed(store)) if near else None


def _lines(entries: list[Entry], stays: list[Near], stale: list[Stale]) -> Iterator[str]:
    for entry in entries:
        copy = f", a copy of {entry.because}" if entry.because else ""
        yield f"{entry.id}  sha256 {entry.sha256[:12]}  {entry.bytes:,} bytes{copy}"
        for part in entry.parts:
            counts = sorted(set(part["tokens"].values()))
            tokens = f", {' or '.join(f'{n:,}' for n in counts)} tokens" if counts else ""
            yield f"  {part['id']}: {part['split']}{tokens}"
    yield from _stays(stays)
    yield "\nthe next run makes anew:"
    for one in stale:
        yield f"  {one.key}  {one.seconds:,.0f} s last time{_replay(one)}"
    yield f"  {sum(one.seconds for one in stale):,.0f} s in all, if everything is trained anew"


def _stays(near: list[Near]) -> Iterator[str]:
    if near:
        yield "\nnearly the same, and not among them (a fingerprint of their words says so):"
    for one in near:
        yield f"  {one.corpus} {one.id}: {one.similarity:.0%} of {one.like}"


def _replay(one: Stale) -> str:
    if not one.steps:
        return ""
    if not one.first_step:
        return f"; none of its {one.steps:,} steps read them"
    if not one.state:
        return f"; first read in step {one.first_step:,} of {one.steps:,}; no state kept before it"
    return (
        f"; first read in step {one.first_step:,} of {one.steps:,}: goes on from the state of step"
        f" {one.state:,}, if the tokenizer, the mixture's limits and the splits stay the same"
    )


def _certify(store: Store, root: Path, corpus: str, path: Path, *, near: bool) -> None:
    from pipelines.corpora.forgotten import read_list
    from pipelines.corpora.options import FORGOTTEN
    from pipelines.lineage.absence import Near, certificate

    listed = read_list(root, f"{FORGOTTEN}/{corpus}.json")["documents"]
    with _searched(store, near=near) as (graph, alike):
        told = certificate(store, corpus, listed, graph, alike)
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    scan = told["scan"]
    click.echo(
        f"searched {scan['bytes'] / 1e6:,.1f} MB in {scan['files']:,} files of"
        f" {scan['artefacts']:,} current artefacts for {scan['texts']} texts of"
        f" {len(listed)} forgotten ones"
    )
    if not scan["texts"]:
        click.echo("no version in the store holds any of them any more")
    for line in _stays([Near(**one) for one in told["near"] or ()]):
        click.echo(line)
    if scan["found"]:
        raise StoreError(f"{scan['found'][0]}: the text is still there; run the recipe again")
    click.echo(f"none was found; {path} says so")
