"""How records become documents: what the sections of several kinds of source share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.core.stanza import Strict
from pipelines.corpora.sources.kind import SourceOptions


class Fields(Strict):
    """Which field of a record is what; a dot goes into a nested record (``meta.id``)."""

    text: str = "text"
    id: str | None = None
    """null: the record's place in its file."""
    source: str | None = None
    """null: the name of the file, package or data set."""
    licence: str | None = None
    """null: the source's licence."""
    label: str | None = None
    target: str | None = None
    """What ``text`` is translated to, or answered with: the document is then a conversation of two
    turns, ``A: <text>`` and ``B: <target>``, each of as many lines as it has."""


class Records(SourceOptions):
    """How records (JSON lines, CSV, Parquet, rows of a data set) become documents."""

    fields: Fields = Fields()
    on_bad_row: Literal["fail", "drop"] = "fail"
    """drop: a row that cannot be read is left out, and counted. Broken quotation marks in a CSV
    file fail either way, for nobody can tell where the next row starts."""
    max_document_bytes: Annotated[int, Field(gt=0, le=1 << 30, strict=True)] = 60_000_000
    """A longer document is refused, or split."""
    on_long: Literal["fail", "split"] = "fail"
    """split: a document that is too long becomes several, cut at line ends."""
    licence: str

    def names_documents(self) -> bool:
        return self.fields.id is not None
