"""The options for the bytes of files, which the sections of all kinds of files share."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipelines.corpora.sources.formats import FORMATS
from pipelines.corpora.sources.options import Records


def _text_encoding(name: str) -> str:
    try:
        codec = codecs.lookup(name).name
        b"".decode(name)
    except LookupError:
        raise ValueError(
            f"encoding={name!r} is unknown; use one such as utf-8 or latin-1"
        ) from None
    # These do not decode text: they give escapes, host names or halves of surrogate pairs.
    if codec in ("utf-7", "unicode-escape", "raw-unicode-escape", "punycode", "idna", "undefined"):
        raise ValueError(f"encoding={name!r} is not for text files; use one such as utf-8")
    return name


Encoding = Annotated[str, AfterValidator(_text_encoding)]


class Reading(Records):
    """How the bytes of a file become documents."""

    format: Literal[("auto", *FORMATS)] = "auto"  # type: ignore[valid-type]
    """auto: by the file's name and its first bytes. A plain, Markdown or HTML file is one document.
    jsonl: one object a line, or one JSON list of objects.
    A file of any format may be packed with gzip or zstandard. pairs: lines ``source TAB target``;
    further columns are ignored."""
    header: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The names of the columns of CSV files without a line of names, in their order:
    ``[class, title, text]``."""
    quotes: Literal["csv", "literal"] = "csv"
    """csv: a field in quotation marks may hold line ends and delimiters. literal: quotation marks
    in a CSV file are plain signs."""
    encoding: Encoding | dict[str, Encoding] = "utf-8"
    """The encoding of text files: one for all, or one for each glob; the first glob that matches
    counts (``{"old/*.txt": latin-1, "*": utf-8}``; a star matches slashes too)."""
    on_bad_utf8: Literal["fail", "replace"] = "fail"
    """replace: bytes that do not decode become U+FFFD, and the document is counted."""

    def names_documents(self) -> bool:
        return super().names_documents() or self.format == "conversations"

    def has_roles(self) -> bool:
        return super().has_roles() or self.format == "pairs"
