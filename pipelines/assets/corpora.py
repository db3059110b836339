"""From a source to documents: ``raw_text/<corpus>`` and ``documents/<corpus>``."""

import unicodedata
from collections import Counter
from typing import Any

import dagster as dg

from pipelines.artifacts import FIGURES, Documents, RawText
from pipelines.assets.declare import Making, asset
from pipelines.project import Project
from pipelines.recipe import Corpus, FolderSource
from pipelines.text.documents import make_documents
from pipelines.text.sources import folder_state, read_source
from pipelines.text.tables import write_documents


def raw_text(corpus: str, declared: Corpus) -> dg.AssetsDefinition:
    """The asset that reads a corpus' source."""
    source = declared.source

    def observe(project: Project) -> dict[str, Any]:
        # A folder's name says nothing of what is in it: its content decides.
        if isinstance(source, FolderSource):
            return {"files": folder_state(source, project.root)}
        return {}

    @asset(
        f"raw_text/{corpus}",
        makes=RawText,
        decides=source.decides(),
        libraries=("pyarrow",),
        observe=observe,
        group="corpora",
    )
    def raw_text(making: Making) -> None:
        """Documents as their source gave them: id, text, source, licence and sha256."""
        mended: Counter[str] = Counter()
        documents = read_source(
            source,
            folder_root=making.project.root,
            package_cache=making.project.packages,
            notes=mended,
        )
        written = write_documents(making.folder / "documents.arrow", documents)
        making.write(FIGURES, {"documents": written, **mended})

    return raw_text


def documents(corpus: str, declared: Corpus) -> dg.AssetsDefinition:
    """The asset that cleans, deduplicates and splits a corpus."""

    @asset(
        f"documents/{corpus}",
        makes=Documents,
        inputs={"raw_text": f"raw_text/{corpus}"},
        decides={"cleaning": declared.cleaning.decides(), "split": declared.split.decides()},
        libraries=("pyarrow",),
        observe=lambda _: {"unicode": unicodedata.unidata_version},
        group="corpora",
    )
    def documents(making: Making, raw_text: RawText) -> None:
        """Clean documents, each once, split by the hash of their text, with a ledger."""
        make_documents(raw_text.documents(), declared.cleaning, declared.split, making.folder)

    return documents
