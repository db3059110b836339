"""The making of an index: the text of the training documents, and its suffixes sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydivsufsort import divsufsort

from pipelines.core.artefact import FIGURES
from pipelines.core.identity import canonical
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Documents
from pipelines.index.artefacts import DOCUMENTS, PARTS, Standing, names_of
from pipelines.index.parts import HEAD, PLACES_PER_BLOCK
from pipelines.text.arrow import ArrowFile
from pipelines.text.blocks import checksums
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, TableWriter, write_index

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

PART = 128 << 20  # bytes of text in a part; sorting it takes five times as many of memory
MOST = (1 << 31) - 1  # bytes of text in a part that a single long document fills
CLOSE = b"\xff"  # behind each document; UTF-8 never has this byte, so nothing is found across it


def build(making: Making, documents: Documents) -> None:
    """Index the training documents. A later try keeps the parts that this one has sorted."""
    advance = making.advance(documents.ledger().bytes_kept["train"])
    names = write_parts(documents.split("train"), making.folder, making.parts(), advance=advance)
    for name in names:
        making.take(name)


def write_parts(
    documents: Iterable[Document],
    folder: Path,
    parts: Path,
    *,
    limit: int = PART,
    advance: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Write the files of the parts to ``parts`` and the others to ``folder``.

    Gives the names of the files in ``parts``. A part has at most ``limit`` bytes, or one document.
    The memory is that of one part. ``advance`` receives the bytes of text that were sorted.
    """
    sizes: list[int] = []
    names: list[str] = []
    count = 0
    with TableWriter(folder, DOCUMENTS, _schema()) as table:
        for text, standing in _gathered(documents, limit):
            for one in standing:
                table.add(one, sum(len(word) for word in one[:4]))
            written = names_of(len(sizes))
            _write_part(parts, written, text)
            names += written.values()
            sizes.append(len(text))
            count += len(standing)
            advance(len(text) - len(standing))
    write_index(folder, [table.index])
    batches = ArrowFile(folder, table.index).batches()
    firsts = [int(batch.column("start")[0].as_py()) for batch in batches]
    (folder / PARTS).write_bytes(canonical({"sizes": sizes, "firsts": firsts}))
    figures = {"documents": count, "text_bytes": sum(sizes) - count, "parts": len(sizes)}
    (folder / FIGURES).write_bytes(canonical(figures))
    return names


def _gathered(
    documents: Iterable[Document], limit: int
) -> Iterator[tuple[bytearray, list[Standing]]]:
    """The text of each part, and the documents in it."""
    text, standing, before = bytearray(), list[Standing](), 0
    for document in documents:
        data = document.text.encode()
        if len(data) >= MOST:
            raise TextError(f"document {document.id}: {len(data)} bytes, at most {MOST}; divide it")
        if text and len(text) + len(data) + len(CLOSE) > limit:
            yield text, standing
            before += len(text)
            text, standing = bytearray(), []
        place = before + len(text)
        about = (document.id, document.source, document.licence, document.sha256)
        standing.append(Standing(*about, place, len(data)))
        text += data
        text += CLOSE
    if text:
        yield text, standing


def _write_part(folder: Path, names: dict[str, str], text: bytearray) -> None:
    """The files of a part. Its sorted order is kept if an earlier try has written it."""
    order = _kept(folder, names, text)
    if order is None:
        order = divsufsort(text).astype("<i4", copy=False)
        (folder / names["order"]).write_bytes(order.data)
        # After the order: these say that all of it was written.
        (folder / names["checksums"]).write_bytes(checksums(text) + checksums(order.data))
    (folder / names["text"]).write_bytes(text)
    (folder / names["heads"]).write_bytes(_heads(text, order))


def _kept(folder: Path, names: dict[str, str], text: bytearray) -> npt.NDArray[np.int32] | None:
    """The order that an earlier try has written, or None if not all of it is there."""
    try:
        expected = (folder / names["checksums"]).read_bytes()
        order = (folder / names["order"]).read_bytes()
    except FileNotFoundError:
        return None
    if checksums(text) + checksums(order) != expected:
        return None
    return np.frombuffer(order, "<i4")


def _heads(text: bytearray, order: npt.NDArray[np.int32]) -> bytes:
    """The first letters of the first suffix of each block of the order.

    At the end of the text zeros fill a head up: a zero sorts before any other byte.
    """
    places = order[::PLACES_PER_BLOCK].tolist()
    return b"".join(text[place : place + HEAD].ljust(HEAD, b"\0") for place in places)


def _schema() -> pa.Schema:
    """The columns of the table of documents: those of a ``Standing``."""
    import pyarrow as pa

    words = [pa.field(name, pa.string(), nullable=False) for name in Standing._fields[:4]]
    numbers = [pa.field(name, pa.int64(), nullable=False) for name in Standing._fields[4:]]
    return pa.schema([*words, *numbers])
