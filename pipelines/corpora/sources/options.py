"""The options for records, which the sections of several kinds of source share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipelines.core.stanza import Outside, Strict
from pipelines.corpora.sources.kind import SourceOptions

WHOLE = "."
"""In the place of a field: the whole record, as JSON."""


class Fields(Strict):
    """The field of a record for each part of a document; ``meta.id`` is a nested field."""

    text: str = "text"
    """A field, or a text with fields in braces: ``"{title}. {body}"``. A single point stands for
    the whole record, as JSON."""
    id: str | None = None
    """null: the place of the record in its file."""
    source: str | None = None
    """null: the name of the file, package or data set."""
    licence: str | None = None
    """null: the source's licence."""
    label: str | None = None
    target: str | None = None
    """The translation of ``text``, or the reply to it. The document is then a conversation of two
    turns, ``A: <text>`` and ``B: <target>``; each turn keeps its lines."""


class Records(SourceOptions):
    """How records (JSON lines, CSV, Parquet, rows of a data set) become documents."""

    fields: Fields = Fields()
    on_bad_row: Literal["fail", "drop"] = "fail"
    """drop: a row that cannot be read is left out and counted. Broken quotation marks in a CSV file
    fail in both cases, because the start of the next row is then unknown."""
    max_document_bytes: Annotated[int, Field(gt=0, le=1 << 30, strict=True)] = 60_000_000
    """A longer document is refused or split; see ``on_long``."""
    unescape: Outside = False
    """true: entities of HTML in a text, such as ``&amp;``, become their characters."""
    on_long: Literal["fail", "split"] = "fail"
    """split: a document that is too long becomes several, cut at line ends."""
    licence: str

    def names_documents(self) -> bool:
        return self.fields.id is not None
