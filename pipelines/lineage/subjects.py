"""What a person means by the subject of ``dragon impact``: a document, a file, a library."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.core.identity import HEX, file_digest
from pipelines.core.record import StoreError
from pipelines.lineage.graph import Graph, Place
from pipelines.lineage.impact import Impact, of_places, of_rows, rows_of
from pipelines.lineage.index import Index
from pipelines.lineage.near import SPLIT_TABLES, NearIndex
from pipelines.lineage.tables import Row, open_version_bare, texts_of
from pipelines.lineage.trace import named
from pipelines.text.nearest import did_you_mean
from pipelines.text.paths import is_file

LARGEST = 1 << 26  # bytes of a file that may be the text of a document


def impact_of(index: Index, target: str, near: NearIndex | None = None) -> Impact:
    """What ``target`` is in; with ``near`` also what has nearly the words of a document or text.

    It may be a library (``torch==2.13.0``), a file (its bytes in the store, or else its text), an
    asset or a version of it, a corpus, the sha256 of a text, a document's id (``id`` or
    ``corpus/id``), or a text. Raises StoreError if it is nothing of these.
    """
    graph = index.graph()
    graph.require_whole()
    name, is_library, version = target.partition("==")
    if is_library and name and not any(mark.isspace() for mark in target):
        return _library(index, graph, name, version)
    if is_file(target):
        return _file(index, graph, Path(target), near)
    key, _, _ = target.partition("@")
    if key in graph.known.references:
        artefact = named(index.store, key, target.partition("@")[2])
        places = graph.equals([Place(artefact.version, artefact.derivation)])
        return of_places(index, graph, "version", f"{key}@{artefact.version}", places)
    if corpus := [key for key in graph.known.references if key in _of_corpus(target)]:
        places = [place for place in graph.made if any(key in corpus for key in graph.keys(place))]
        return of_places(index, graph, "corpus", target, graph.equals(places))
    if HEX.fullmatch(target) and (found := _digest(graph, target)):
        return of_places(index, graph, "version", target, found)
    return _document(index, graph, target, near)


def impact_of_text(index: Index, text: str, near: NearIndex | None = None) -> Impact:
    """What a text is in: as it is, or without the white space around it, or nearly."""
    graph = index.graph()
    graph.require_whole()
    return _text(index, graph, text, f"a text of {len(text):,} characters", near)


def _of_corpus(name: str) -> tuple[str, str]:
    return f"{name}/raw_text", f"{name}/documents"


def _library(index: Index, graph: Graph, name: str, version: str) -> Impact:
    """What one version of a library decided."""
    known = {(n, v) for made in graph.made.values() for n, v in made.libraries.items()}
    versions = sorted(v for n, v in known if n == name)
    wanted = version.split("+")[0]
    if wanted not in versions:
        mend = did_you_mean(name, {n for n, _ in known}, "dragon show prints an asset's libraries")
        if versions:
            mend = f"the records name {', '.join(versions)}"
        raise StoreError(f"{name}=={version}: no record of this store names it; {mend}")
    places = [p for p, made in graph.made.items() if made.libraries.get(name) == wanted]
    return of_places(index, graph, "library", f"{name}=={wanted}", places)


def _digest(graph: Graph, sha256: str) -> list[Place]:
    """The places of a version, of a derivation, or of a file with a sha256."""
    if sha256 in graph.of_version:
        return graph.of_version[sha256]
    places = graph.equals(place for place in graph.made if place.derivation == sha256)
    holders = graph.holders.get(sha256, [])
    return places or [place for version, _ in holders for place in graph.of_version[version]]


def _file(index: Index, graph: Graph, path: Path, near: NearIndex | None) -> Impact:
    """What has the bytes of a file among its files, or else as the text of a document."""
    if places := _digest(graph, file_digest(path)):
        return of_places(index, graph, "file", str(path), places)
    if path.stat().st_size <= LARGEST:
        try:
            return _text(index, graph, path.read_text("utf-8"), str(path), near)
        except UnicodeDecodeError:
            pass
    raise StoreError(
        f"{path}: no version of {index.store.root} has a file of these bytes, and they are no"
        " document's text"
    )


def _document(index: Index, graph: Graph, target: str, near: NearIndex | None) -> Impact:
    rows = rows_of(index, graph, [target])
    corpus, _, name = target.partition("/")
    if not rows and name and any(key in graph.known.references for key in _of_corpus(corpus)):
        rows = rows_of(index, graph, [name], corpus)
    if rows:
        text = None if near is None else _text_of(index, rows)
        return of_rows(index, graph, target, [*rows, *_near(index, graph, rows, text, near)])
    if not any(mark.isspace() for mark in target):
        raise StoreError(
            f"{target}: no document of {index.store.root} has this id or this sha256, and no asset,"
            " file or corpus is called so; dragon documents CORPUS shows ids; - reads a text from"
            " standard input"
        )
    return _text(index, graph, target, f"a text of {len(target):,} characters", near)


def _text(index: Index, graph: Graph, text: str, subject: str, near: NearIndex | None) -> Impact:
    """What has a text, or else what has nearly its words."""
    forms = dict.fromkeys((text, text.removesuffix("\n"), text.strip()))
    rows = rows_of(index, graph, [hashlib.sha256(form.encode()).hexdigest() for form in forms])
    found = of_rows(index, graph, subject, [*rows, *_near(index, graph, rows, text, near)])
    if not found.reached:
        also = "" if near is None else " or nearly its words"
        raise StoreError(
            f"{subject}: no document of {index.store.root} has exactly this text{also}"
            + ("; --near searches for near copies too" if near is None else "")
        )
    return found


def _near(
    index: Index, graph: Graph, rows: Sequence[Row], text: str | None, near: NearIndex | None
) -> Iterator[Row]:
    """The rows of documents with nearly the words of a text, without those of the text itself."""
    if near is None or text is None:
        return
    ours = {str(row.values.get("sha256", "")) for row in rows}
    alike = {row.values["sha256"]: share for row, share in near.alike(graph, text, ours)}
    for sha256, share in alike.items():
        for row in rows_of(index, graph, [sha256]):
            yield row._replace(similarity=share)


def _text_of(index: Index, rows: Sequence[Row]) -> str | None:
    """The clean text of a document, or else the raw one; None if no row is of a text."""
    held = [row for row in rows if "document_id" not in row.values and "sha256" in row.values]
    for row in sorted(held, key=lambda row: row.table not in SPLIT_TABLES):
        artefact = open_version_bare(index.store, row.version)
        return next(text for _, text in texts_of(artefact, row.table, [row.number]))
    return None
