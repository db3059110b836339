"""An open file to the documents in it, whatever its packing, format and encoding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, TYPE_CHECKING

from pipelines.corpora.sources import markup, parquet, rows
from pipelines.corpora.sources.compression import BLOCK, unpacked
from pipelines.corpora.sources.conversations import conversation_rows
from pipelines.corpora.sources.decoding import decoded, mended
from pipelines.corpora.sources.files import encoding_of
from pipelines.corpora.sources.formats import HEAD, format_of, packing_and_name
from pipelines.corpora.sources.records import (
    Origin,
    Rows,
    documents_of_rows,
    documents_of_text,
    held_bytes,
)
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, Unread

if TYPE_CHECKING:
    from pipelines.corpora.sources.options import Fields, Reading


def documents_of_file(
    file: IO[bytes], origin: Origin, source: Reading, notes: Counter[str]
) -> Iterator[Document | Unread]:
    """The documents of an open, seekable file, read as a recipe's source says.

    Memory is bounded by ``max_document_bytes`` and the largest row, whatever the file's size.
    TextError names the file and the line, row or byte offset.
    """
    where = origin.where
    head, blocks = _peeked(iter(lambda: file.read(BLOCK), b""))
    packing, name = packing_and_name(origin.name, head, where)
    if packing:
        head, blocks = _peeked(unpacked(file, packing, where))
    encoding = encoding_of(origin.name, source.encoding, where)
    form = format_of(name, head[:HEAD], source.format, encoding, where)
    if form == "parquet":
        with parquet.on_disk(file, blocks if packing else None) as seekable:
            records = parquet.parquet_rows(seekable, source.fields, where)
            yield from documents_of_rows(records, origin, source, notes)
        return
    stated = markup.stated_charset(head[:HEAD]) if form == "html" else None
    chunks = decoded(blocks, encoding, source.on_bad_utf8, where, stated)
    if form in ("plain", "markdown", "html"):
        text = _text(form, chunks, source, where, notes)
        yield from documents_of_text(text, origin, source, notes)
    else:
        found, fields = _rows(form, name, chunks, source, where, notes)
        yield from documents_of_rows(found, origin, source, notes, fields)


def _peeked(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """At least ``HEAD`` bytes where there are so many, and all blocks again."""
    head = b""
    while len(head) < HEAD and (block := next(blocks, b"")):
        head += block
    return head, chain([head], blocks)


def _text(
    form: str, chunks: Iterator[str], source: Reading, where: str, notes: Counter[str]
) -> Iterable[str]:
    if form == "markdown":
        return markup.without_front_matter(chunks)
    if form == "html":
        return [markup.html_text(_whole(chunks, source, where, notes))]
    return chunks


def _rows(
    form: str,
    name: str,
    chunks: Iterator[str],
    source: Reading,
    where: str,
    notes: Counter[str],
) -> tuple[Rows, Fields]:
    """Rows, and which of their fields is what."""
    from pipelines.corpora.sources.options import Fields

    fields, most = source.fields, held_bytes(source)
    if form == "jsonl":
        return rows.json_rows(chunks, most, notes), fields
    if form == "csv":
        tabs = name.lower().endswith(".tsv")
        return rows.csv_rows(chunks, most, notes, fields=fields, tabs=tabs, where=where), fields
    if form == "labelled_lines":
        return rows.labelled_rows(chunks, most, notes), Fields(label="label")
    if form == "pairs":
        return rows.pair_rows(chunks, most, notes), Fields(target="target")
    return conversation_rows(_whole(chunks, source, where, notes), where), Fields(id="id")


def _whole(chunks: Iterable[str], source: Reading, where: str, notes: Counter[str]) -> str:
    """A file that is parsed in one go, so that its size is bounded."""
    held, length, most = [], 0, held_bytes(source)
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length > most:
            raise TextError(
                f"{where}: more than {most} characters, and it is read as a whole; "
                "split the file or raise max_document_bytes"
            )
    return mended("".join(held), notes)
