"""From a source to documents: ``raw_text/<corpus>`` and ``documents/<corpus>``."""

import unicodedata
from collections import Counter
from typing import Any

import dagster as dg

from pipelines.artifacts import FIGURES, Documents, RawText
from pipelines.assets.declare import Making, asset
from pipelines.project import Project
from pipelines.recipe.corpora import Corpus
from pipelines.recipe.sources import FolderSource, HubSource, Source
from pipelines.text.addresses import HUB_ADDRESS, hub_endpoint
from pipelines.text.cleaning import LIBRARIES
from pipelines.text.documents import make_documents
from pipelines.text.generators import LIBRARIES as WRITERS
from pipelines.text.sources import folder_state, read_source
from pipelines.text.tables import (
    TableWriter,
    Unread,
    unread_schema,
    write_documents,
    write_index,
)

# What decides the rows of the hub, and the text of a file's HTML.
HUB = ("datasets", "fsspec", "huggingface-hub", "pandas")
FILES = ("resiliparse",)


def readers(source: Source) -> tuple[str, ...]:
    """The libraries, beside pyarrow, whose version decides what a source gives."""
    match source.kind:
        case "generated":
            return WRITERS.get(source.generator, ())
        case "hub":
            return HUB
    return FILES


def observed(source: Source, project: Project) -> dict[str, Any]:
    """What outside the recipe decides what a source gives.

    A folder's name says nothing of what is in it: its content does. Rows of a hub are proved by
    nothing but their revision, so it counts who answers where that is not the usual hub.
    """
    if isinstance(source, FolderSource):
        return {"files": folder_state(source, project.root)}
    if isinstance(source, HubSource) and hub_endpoint() != HUB_ADDRESS:
        return {"hub": hub_endpoint()}
    return {}


def raw_text(corpus: str, declared: Corpus) -> dg.AssetsDefinition:
    """The asset that reads a corpus' source."""
    source = declared.source

    @asset(
        f"raw_text/{corpus}",
        makes=RawText,
        decides=source.decides(),
        libraries=("pyarrow", *readers(source)),
        observe=lambda project: observed(source, project),
        exact=True,
        group="corpora",
    )
    def raw_text(making: Making) -> None:
        """Documents as their source gave them, and beside them the rows that are none, with why."""
        notes: Counter[str] = Counter()
        reasons: Counter[str] = Counter()

        def leave(row: Unread) -> None:
            reasons[f"dropped_{row.reason}"] += 1
            unread.add(row, len(row.detail))

        root, cache = making.project.root, making.project.downloads
        with TableWriter(making.folder, RawText.UNREAD, unread_schema()) as unread:
            documents = read_source(source, folder_root=root, cache=cache, notes=notes, leave=leave)
            told = making.telling(documents, lambda document: len(document.text))
            index = write_documents(making.folder, RawText.TABLE, told)
        write_index(making.folder, [index, unread.index])
        making.write(FIGURES, {"documents": index.rows, **notes, **reasons})

    return raw_text


def documents(corpus: str, declared: Corpus) -> dg.AssetsDefinition:
    """The asset that cleans, deduplicates and splits a corpus."""

    @asset(
        f"documents/{corpus}",
        makes=Documents,
        inputs={"raw_text": f"raw_text/{corpus}"},
        decides={
            "cleaning": [step.decides() for step in declared.cleaning],
            "split": declared.split.decides(),
        },
        libraries=(
            "pyarrow",
            *(name for s in declared.cleaning for name in LIBRARIES.get(s.step, ())),
        ),
        observe=lambda _: {"unicode": unicodedata.unidata_version},
        exact=True,
        group="corpora",
    )
    def documents(making: Making, raw_text: RawText) -> None:
        """Documents cleaned step by step and split by the hash of their text, with a ledger."""
        table = raw_text.table(RawText.TABLE)
        make_documents(
            raw_text.folder,
            table.index,
            declared.cleaning,
            declared.split,
            making.folder,
            unread=raw_text.unread(),
            workers=making.project.workers,
            advance=making.advance(table.index.size),
        )

    return documents
