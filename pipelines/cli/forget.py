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
    from pipelines.lineage.chosen import Chosen
    from pipelines.lineage.forget import Stale
    from pipelines.lineage.index import Index
    from pipelines.lineage.near import NearIndex


@click.command()
@click.argument("corpus", help="A corpus that was made.")
@click.argument("documents", nargs=-1, help="Ids of documents, or sha256 of their texts.")
@click.option("--reason", metavar="TEXT", help="Why; it is kept in the list.")
@click.option(
    "--near/--no-near",
    default=True,
    help="Name the documents that are nearly one of these and would stay, or do not search.",
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
    from pipelines.lineage.chosen import chosen
    from pipelines.lineage.forget import write_list

    opened, root = open_store(store), Project.here().root
    if certificate is not None:
        if documents or reason or yes:
            raise click.UsageError("--certificate takes a corpus alone; forget the documents first")
        _certify(opened, root, corpus, certificate, near=near)
        return
    if not documents or not reason:
        raise ValueError("name the documents, and give --reason; see dragon documents CORPUS")
    path, meant = _list_of(root, corpus), chosen(opened, corpus, documents)
    for line in _costs(opened, corpus, meant, near=near):
        click.echo(line)
    if not yes:
        click.echo("\nnothing was written; --yes puts them on the list")
        return
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    file, count = write_list(root, path, meant.entries, reason, today)
    click.echo(f"\n{file}: has {count} more; the next run makes everything without them")
    certify = f"dragon forget {corpus} --certificate FILE"
    suggest("dragon run RECIPE", certify, "dragon gc --older-than 0 --yes")


def _list_of(root: Path, corpus: str) -> str:
    """The list that the recipes read for a corpus, relative to the project.

    Raises StoreError if they name several.
    """
    from pipelines.corpora.options import FORGOTTEN
    from pipelines.recipe.loading import read_recipes

    path = f"{FORGOTTEN}/{corpus}.json"
    known = list((root / "recipes").glob("*.yaml"))
    recipes = read_recipes(root / "recipes")[0].values() if known else ()
    corpora = [recipe.corpora[corpus] for recipe in recipes if corpus in recipe.corpora]
    named = sorted({one.forget or path for one in corpora})
    if len(named) > 1:
        raise StoreError(
            f"{corpus}: the recipes name several lists ({', '.join(named)}); let all name one"
        )
    return named[0] if named else path


def _costs(store: Store, corpus: str, meant: Chosen, *, near: bool) -> Iterator[str]:
    """What would be forgotten, what stays, and what the next run makes anew."""
    from pipelines.lineage.absence import near_to
    from pipelines.lineage.forget import also_in, clean_texts, stale

    yield from _lines(meant)
    with _searched(store, near=near) as (index, alike):
        graph = index.graph()
        if alike is not None:
            parts = {(corpus, part["id"]) for entry in meant.entries for part in entry.parts}
            texts = clean_texts(store, corpus, meant.entries)
            yield from _stays(near_to(graph, alike, texts, parts))
        rows = index.rows(graph, [entry.sha256 for entry in meant.entries])
        for other in also_in(graph, rows, corpus):
            yield f"\n{other} holds the same text and keeps it: dragon forget {other} DOCUMENT"
        yield from _anew(stale(store, graph, corpus, meant.entries))


@contextlib.contextmanager
def _searched(store: Store, *, near: bool) -> Iterator[tuple[Index, NearIndex | None]]:
    """The index of a store, and its signatures if near copies are searched for."""
    with contextlib.ExitStack() as stack:
        index = stack.enter_context(indexed(store))
        yield index, stack.enter_context(signed(store)) if near else None


def _lines(meant: Chosen) -> Iterator[str]:
    for entry in meant.entries:
        copy = f", a copy of {entry.because}" if entry.because else ""
        yield f"{entry.id}  sha256 {entry.sha256[:12]}  {entry.bytes:,} bytes{copy}"
        for part in entry.parts:
            counts = sorted(set(part["tokens"].values()))
            tokens = f", {' or '.join(f'{n:,}' for n in counts)} tokens" if counts else ""
            yield f"  {part['id']}: {part['split']}{tokens}"
    if meant.partly:
        yield "\nnot among them, with a part that is a copy of one and comes back without it:"
    for name, original in meant.partly.items():
        yield f"  {name}: a part of {original}"


def _stays(near: list[Near]) -> Iterator[str]:
    if near:
        yield "\nnearly the same, and not among them (a fingerprint of their words says so):"
    for one in near:
        yield f"  {one.corpus} {one.id}: {one.similarity:.0%} of {one.like}"


def _anew(stale: list[Stale]) -> Iterator[str]:
    yield "\nthe next run makes anew:"
    for one in stale:
        yield f"  {one.key}  {one.seconds:,.0f} s last time{_replay(one)}"
    yield f"  {sum(one.seconds for one in stale):,.0f} s in all, if everything is trained anew"


def _replay(one: Stale) -> str:
    if not one.steps:
        return ""
    if not one.first_step:
        because = f", but {' and '.join(one.through)} is made anew" if one.through else ""
        return f"; none of its {one.steps:,} steps read them{because}"
    if not one.state:
        return f"; first read in step {one.first_step:,} of {one.steps:,}; no state kept before it"
    return (
        f"; first read in step {one.first_step:,} of {one.steps:,}: goes on from the state of step"
        f" {one.state:,}, if the tokenizer, the mixture's limits, the splits and the"
        " decontamination stay the same"
    )


def _certify(store: Store, root: Path, corpus: str, path: Path, *, near: bool) -> None:
    from pipelines.corpora.forgotten import read_list
    from pipelines.lineage.absence import Near, certificate

    list_path = _list_of(root, corpus)
    if not (root / list_path).exists():
        raise StoreError(f"{root / list_path}: no such list; nothing of {corpus} was forgotten")
    if not path.parent.is_dir():
        raise StoreError(f"{path.parent}: no such folder; make it, or name a file in another one")
    listed = read_list(root, list_path)["documents"]
    with _searched(store, near=near) as (index, alike):
        told = certificate(store, index, corpus, listed, alike)
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    scan, missing = told["scan"], told["not_searched"]
    click.echo(
        f"searched {scan['bytes'] / 1e6:,.1f} MB in {scan['files']:,} files of"
        f" {scan['artefacts']:,} current artefacts for {scan['texts']} texts of"
        f" {len(listed)} forgotten ones"
    )
    for line in _stays([Near(**one) for one in told["near"] or ()]):
        click.echo(line)
    if scan["found"]:
        raise StoreError(
            f"{scan['found'][0]}: the text is still there; run every recipe that makes it again"
        )
    if missing or not listed:
        count = f"{len(missing)} of {len(listed)} texts"
        raise StoreError(
            f"{path}: not proved: no version of the store holds {count} any more, so nothing could"
            " be searched for; ask for the certificate after the run and before dragon gc"
        )
    click.echo(f"none was found; {path} says so")
