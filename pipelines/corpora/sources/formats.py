"""The table of the formats of files: the suffixes of each format, and the function that reads it.

A new format needs a line here and a file with its function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from pipelines.corpora.sources.conversations import conversation_rows
from pipelines.corpora.sources.json_list import begins_list, json_list_rows
from pipelines.corpora.sources.markup import html_text, stated_charset, without_front_matter
from pipelines.corpora.sources.opened import HEAD, Opened
from pipelines.corpora.sources.options import Fields
from pipelines.corpora.sources.parquet import on_disk, parquet_rows
from pipelines.corpora.sources.rows import csv_rows, json_rows, labelled_rows, pair_rows
from pipelines.text.tables import Document, Unread

Documents: TypeAlias = Iterator[Document | Unread]


class Format(NamedTuple):
    """A format: the function that reads a file of it, and the suffixes of such files."""

    read: Callable[[Opened], Documents]
    suffixes: tuple[str, ...] = ()


def _plain(file: Opened) -> Documents:
    return file.of_text(file.chunks())


def _markdown(file: Opened) -> Documents:
    return file.of_text(without_front_matter(file.chunks()))


def _html(file: Opened) -> Documents:
    stated = stated_charset(file.head[:HEAD])
    return file.of_text([html_text(file.whole(stated))])


def _jsonl(file: Opened) -> Documents:
    arguments = file.chunks(), file.most, file.notes
    if begins_list(file.head.decode(file.encoding, "ignore")):
        return file.of_rows(json_list_rows(*arguments, where=str(file.origin.where)))
    return file.of_rows(json_rows(*arguments))


def _csv(file: Opened) -> Documents:
    arguments, where = (file.chunks(), file.most, file.notes), file.origin.where
    tabs = file.name.lower().endswith(".tsv")
    return file.of_rows(csv_rows(*arguments, file.source, where, tabs=tabs))


def _parquet(file: Opened) -> Documents:
    with on_disk(file.file, file.blocks if file.packed else None) as seekable:
        records = parquet_rows(seekable, file.source.fields, file.origin.where)
        yield from file.of_rows(records)


def _labelled_lines(file: Opened) -> Documents:
    labelled = labelled_rows(file.chunks(), file.most, file.notes)
    return file.of_rows(labelled, Fields(label="label"))


def _conversations(file: Opened) -> Documents:
    conversations = conversation_rows(file.whole(), file.origin.where)
    return file.of_rows(conversations, Fields(id="id"))


def _pairs(file: Opened) -> Documents:
    pairs = pair_rows(file.chunks(), file.most, file.notes)
    return file.of_rows(pairs, Fields(target="target"))


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "plain": Format(_plain, (".txt", ".text")),
        "markdown": Format(_markdown, (".md", ".markdown")),
        "html": Format(_html, (".html", ".htm")),
        "jsonl": Format(_jsonl, (".jsonl", ".ndjson", ".json")),
        "csv": Format(_csv, (".csv", ".tsv")),
        "parquet": Format(_parquet, (".parquet",)),
        "labelled_lines": Format(_labelled_lines),
        "conversations": Format(_conversations),
        "pairs": Format(_pairs),
    }
)
LIBRARIES = ("resiliparse",)
"""The distributions, apart from pyarrow, whose versions decide the text of a file."""
