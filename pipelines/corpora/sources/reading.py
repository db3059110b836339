"""The documents of an open file of any packing, format and encoding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import IO, TYPE_CHECKING

from pipelines.corpora.sources.compression import BLOCK, unpacked
from pipelines.corpora.sources.files import encoding_of
from pipelines.corpora.sources.formats import FORMATS, LIBRARIES
from pipelines.corpora.sources.opened import HEAD, Opened
from pipelines.corpora.sources.records import Origin
from pipelines.corpora.sources.telling import format_of, packing_and_name
from pipelines.text.tables import Document, Unread

if TYPE_CHECKING:
    from pipelines.corpora.sources.file_options import Reading


def documents_of_file(
    file: IO[bytes], origin: Origin, source: Reading, notes: Counter[str]
) -> Iterator[Document | Unread]:
    """The documents of an open, seekable file, read with the options of a recipe's source.

    Memory is bounded by ``max_document_bytes`` and the largest row, for any size of the file.
    Raises TextError that names the file and the line, row or byte offset.
    """
    where = origin.where
    head, blocks = _peeked(iter(lambda: file.read(BLOCK), b""))
    packing, name = packing_and_name(origin.name, head, where)
    if packing:
        head, blocks = _peeked(unpacked(file, packing, where))
    encoding = encoding_of(origin.name, source.encoding, where)
    form = format_of(name, head[:HEAD], source.format, encoding, where)
    arguments = (encoding, origin, source, notes)
    yield from FORMATS[form].read(Opened(file, bool(packing), name, head, blocks, *arguments))


def libraries(_: Reading) -> tuple[str, ...]:
    """The distributions whose versions decide the text of a file."""
    return LIBRARIES


def _peeked(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, at least ``HEAD`` if there are so many, and all blocks including them."""
    head = b""
    while len(head) < HEAD and (block := next(blocks, b"")):
        head += block
    return head, chain([head], blocks)
