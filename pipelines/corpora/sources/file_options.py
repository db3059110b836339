"""How the bytes of a file become documents: what the sections of all kinds of files share."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from pydantic import AfterValidator

from pipelines.corpora.sources.formats import FORMATS
from pipelines.corpora.sources.options import Records


def _text_encoding(name: str) -> str:
    try:
        found = codecs.lookup(name).name
        b"".decode(name)
    except LookupError:
        raise ValueError(f"encoding={name!r} is unknown; utf-8 and latin-1 are two") from None
    # These decode to what no file of text means: escapes, host names, halves of surrogate pairs.
    if found in ("utf-7", "unicode-escape", "raw-unicode-escape", "punycode", "idna", "undefined"):
        raise ValueError(f"encoding={name!r} is none of text files; utf-8 and latin-1 are two")
    return name


Encoding = Annotated[str, AfterValidator(_text_encoding)]


class Reading(Records):
    """How the bytes of a file become documents."""

    format: Literal[("auto", *FORMATS)] = "auto"  # type: ignore[valid-type]
    """auto: by the file's name and its first bytes. A plain, Markdown or HTML file is one document;
    each may be packed with gzip or zstandard. pairs: lines ``source TAB target``, whatever stands
    behind another tab."""
    encoding: Encoding | dict[str, Encoding] = "utf-8"
    """Of text files: one for all, or by glob (``{"old/*.txt": latin-1, "*": utf-8}``, where a star
    stands for slashes too), the first that fits."""
    on_bad_utf8: Literal["fail", "replace"] = "fail"
    """replace: bytes that do not decode become U+FFFD, and the document is counted."""

    def names_documents(self) -> bool:
        return super().names_documents() or self.format == "conversations"
