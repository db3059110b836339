"""Where documents come from: local files, packages, the web, the hub, a generator of our own.

A source is read in one fixed order that depends on its content and names alone, never on a
listing's order, a clock or a locale. Files are streams: memory is bounded whatever their size.

    kinds/    the catalogue: one file a kind of source, with its section of a recipe
    kind      what such a file declares
    formats   the table of what a file may be
    files, packages, web -> reading (compression, formats, decoding) -> a text (markup) or rows
    hub -> rows (rows, parquet, conversations) -> documents (records)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

from pipelines.corpora.sources.kind import Places, SourceOptions
from pipelines.corpora.sources.kinds import catalogue
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, Unread

__all__ = ["Document", "Unread", "read_source"]


def read_source(
    source: SourceOptions,
    *,
    folder_root: Path,
    cache: Path,
    notes: Counter[str] | None = None,
    leave: Callable[[Unread], None] = lambda _: None,
) -> Iterator[Document]:
    """The documents that a recipe's source names, in a fixed order, one at a time.

    A relative folder starts at ``folder_root``; what is fetched is kept in ``cache``. ``notes``
    counts documents in ``bad_utf8_replaced`` and rows in ``bad_rows_dropped``; ``leave`` is given
    each of these rows. Ids are unique. TextError names the file, the line or byte offset, and the
    mend; it is raised too if there is no text at all, or an id that the recipe maps comes twice.
    """
    notes = Counter() if notes is None else notes
    places = Places(folder_root, cache)
    documents = _read(catalogue()[source.kind].read(source, places, notes), leave)
    if source.names_documents():
        documents = _unique(documents)
    return _not_empty(documents, source.kind, notes)


def _read(
    items: Iterable[Document | Unread], leave: Callable[[Unread], None]
) -> Iterator[Document]:
    for item in items:
        if isinstance(item, Unread):
            leave(item)
        else:
            yield item


def _not_empty(documents: Iterable[Document], kind: str, notes: Counter[str]) -> Iterator[Document]:
    empty = True
    for document in documents:
        empty = empty and not document.text
        yield document
    if empty:
        bad = notes["bad_rows_dropped"]
        why = f", and {bad} bad rows were left out; read with on_bad_row: fail" if bad else ""
        raise TextError(
            f"{kind} source: there is no text in it{why}; correct the recipe's `source`"
        )


def _unique(documents: Iterable[Document]) -> Iterator[Document]:
    """Only a digest of each id is held, some 100 bytes a document."""
    seen: set[bytes] = set()
    for document in documents:
        before = len(seen)
        seen.add(blake2b(document.id.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        if len(seen) == before:
            raise TextError(
                f"{document.source}: id={document.id!r} comes twice; map a field that is unique, "
                "or leave `fields.id` out"
            )
        yield document
