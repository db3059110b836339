"""Sources of documents: local files, packages, the web, the hub, the project's own generators.

A source is read in one fixed order. The order depends only on its content and names, never on the
order of a folder listing, a clock or a locale. Files are read as streams, so memory is bounded for
any size.

    kinds/    the catalogue: one file for each kind of source, with its section of a recipe
    kind      the declaration that such a file holds
    formats   the table of the formats of files
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
    """The documents of a recipe's source, in a fixed order, one at a time.

    A relative folder starts at ``folder_root``. Downloads are kept in ``cache``. ``notes`` counts
    documents in ``bad_utf8_replaced`` and rows in ``bad_rows_dropped``; ``leave`` is called with
    each of these rows. Ids are unique. Raises TextError that names the file, the line or byte
    offset, and the mend; also if there is no text at all, or if an id that the recipe maps occurs
    twice.
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
    """The documents, checked for unique ids. Memory holds a digest of each id, about 100 bytes."""
    seen: set[bytes] = set()
    for document in documents:
        before = len(seen)
        seen.add(blake2b(document.id.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        if len(seen) == before:
            raise TextError(
                f"{document.source}: id={document.id!r} occurs twice; map a field that is unique, "
                "or leave `fields.id` out"
            )
        yield document
