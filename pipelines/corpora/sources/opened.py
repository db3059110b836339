"""A file that is being read, and what a format needs to know of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from pipelines.corpora.sources.decoding import decoded, mended
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
    from pipelines.corpora.sources.file_options import Reading
    from pipelines.corpora.sources.options import Fields

HEAD = 4096
"""So many bytes of a file's start tell what it is."""


@dataclass(frozen=True)
class Opened:
    """An open, seekable ``file`` and its unpacked content as ``blocks``.

    ``head`` are the first bytes of the content, at least ``HEAD`` where there are so many; ``name``
    is the file's without the suffix of its packing.
    """

    file: IO[bytes]
    packed: bool
    name: str
    head: bytes
    blocks: Iterator[bytes]
    encoding: str
    origin: Origin
    source: Reading
    notes: Counter[str]

    @property
    def most(self) -> int:
        """So many characters may be held at once."""
        return held_bytes(self.source)

    def chunks(self, stated: str | None = None) -> Iterator[str]:
        """The characters; ``stated`` is the encoding that the file itself states, for the mend."""
        where = self.origin.where
        return decoded(self.blocks, self.encoding, self.source.on_bad_utf8, where, stated)

    def whole(self, stated: str | None = None) -> str:
        """The characters of a file that is parsed in one go, so that its size is bounded."""
        held, length = [], 0
        for chunk in self.chunks(stated):
            held.append(chunk)
            length += len(chunk)
            if length > self.most:
                raise TextError(
                    f"{self.origin.where}: more than {self.most} characters, and it is read as a "
                    "whole; split the file or raise max_document_bytes"
                )
        return mended("".join(held), self.notes)

    def of_text(self, chunks: Iterable[str]) -> Iterator[Document | Unread]:
        """The file as one document, or as several where a long one may be split."""
        return documents_of_text(chunks, self.origin, self.source, self.notes)

    def of_rows(self, rows: Rows, fields: Fields | None = None) -> Iterator[Document | Unread]:
        """A document for each row; without ``fields`` those of the recipe say what is what."""
        return documents_of_rows(rows, self.origin, self.source, self.notes, fields)
