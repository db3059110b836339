"""The options for records, which the sections of several kinds of source share."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.core.stanza import Outside, Strict
from pipelines.corpora.sources.kind import SourceOptions

WHOLE = "."
"""In the place of a field: the whole record, as JSON."""
IN_BRACES = re.compile(r"\{([^{}\n]+)\}")
"""A field in a template of several."""


class Fields(Strict):
    """The field of a record for each part of a document; ``meta.id`` is a nested field.

    With ``messages``, ``target`` or ``chosen`` a document is a conversation, with a letter for each
    role: ``A:`` the user, ``B:`` the assistant, ``S:`` the system, ``T:`` a tool, ``N:`` a reply
    of the assistant that is not learned, ``R:`` a rejected reply. Each turn keeps its lines.
    """

    text: str = "text"
    """The text of a document, or the request of a conversation of two turns: a field, or a text
    with fields in braces (``"{title}. {body}"``). A single point stands for the whole record, as
    JSON."""
    id: str | None = None
    """null: the place of the record in its file."""
    source: str | None = None
    """null: the name of the file, package or data set."""
    licence: str | None = None
    """null: the source's licence."""
    label: str | None = None
    input: str | None = None
    """The input of an instruction, which is written below ``text``; a record may lack it."""
    target: str | None = None
    """The translation of ``text``, or the reply to it."""
    messages: str | None = None
    """The list of messages, in the layout of OpenAI (role, content) or ShareGPT (from, value)."""
    system: str | None = None
    """Instructions before a conversation, such as its tools; a record may lack them."""
    chosen: str | None = None
    """The better of two replies to ``text`` or to ``messages``: a text, or messages. It may be the
    whole conversation in messages; then neither of the two need be mapped."""
    rejected: str | None = None
    """The other reply."""

    @model_validator(mode="after")
    def _fit_together(self) -> Fields:
        if (self.chosen is None) != (self.rejected is None):
            raise ValueError("chosen and rejected belong together; give both")
        given = [name for name in ("messages", "target", "chosen") if getattr(self, name)]
        if given not in ([], ["messages"], ["target"], ["chosen"], ["messages", "chosen"]):
            raise ValueError(f"{' and '.join(given)} exclude each other; leave one out")
        if self.messages and ({"text", "input"} & self.model_fields_set):
            raise ValueError("messages already have the request; leave text and input out")
        if not given and (self.input or self.system):
            raise ValueError("input and system belong to a conversation; map its target too")
        return self

    def are_conversations(self) -> bool:
        """Whether the records are conversations with an assistant."""
        return bool(self.messages or self.target or self.chosen)

    def columns(self) -> list[str]:
        """The columns that are mapped, each once; none if the whole record is taken."""
        mapped = self.model_dump(exclude_none=True)
        if self.messages or (self.chosen and "text" not in self.model_fields_set):
            del mapped["text"]
        paths = (path for path in mapped.values() if path != WHOLE)
        named = (name for path in paths for name in IN_BRACES.findall(path) or [path])
        return list(dict.fromkeys(named))


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

    def has_roles(self) -> bool:
        return self.fields.are_conversations()
