"""An open file, with the information that its format needs."""

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
"""The number of first bytes that decide the format of a file."""


@dataclass(frozen=True)
class Opened:
    """An open, seekable ``file`` and its unpacked content as ``blocks``.

    ``head`` are the first bytes of the content, at least ``HEAD`` if it is that long. ``name`` is
    the file's name without the suffix of its packing.
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
        """The most characters that may be in memory at once."""
        return held_bytes(self.source)

    def chunks(self, stated: str | None = None) -> Iterator[str]:
        """The decoded content; ``stated`` is the encoding that the file states, for messages."""
        where = self.origin.where
        return decoded(self.blocks, self.encoding, self.source.on_bad_utf8, where, stated)

    def whole(self, stated: str | None = None) -> str:
        """The decoded content in one string, for a format that is parsed as a whole.

        Raises TextError for more than ``most`` characters.
        """
        chunks, length = [], 0
        for chunk in self.chunks(stated):
            chunks.append(chunk)
            length += len(chunk)
            if length > self.most:
                raise TextError(
                    f"{self.origin.where}: more than {self.most} characters in a format that is "
                    "read as a whole; split the file or raise max_document_bytes"
                )
        return mended("".join(chunks), self.notes)

    def of_text(self, chunks: Iterable[str]) -> Iterator[Document | Unread]:
        """The file as one document, or as several if it is long and may be split."""
        return documents_of_text(chunks, self.origin, self.source, self.notes)

    def of_rows(self, rows: Rows, fields: Fields | None = None) -> Iterator[Document | Unread]:
        """A document for each row; ``fields`` None: the recipe's fields map the columns."""
        return documents_of_rows(rows, self.origin, self.source, self.notes, fields)
