"""Versions of a store, each opened through the view that its record names."""

from __future__ import annotations

from pipelines.core.artefact import Artefact
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.corpora.artefacts import Contamination, Documents, RawText
from pipelines.evaluation.findings import Evaluation
from pipelines.examples.artefacts import Examples
from pipelines.interop.artefacts import Weights
from pipelines.report.artefacts import Report
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import Checkpoint
from pipelines.word_vectors.artefacts import WordVectors

VIEWS: dict[str, type[Artefact]] = {
    view.__name__: view
    for view in (
        RawText,
        Documents,
        Contamination,
        TokenizerFiles,
        TokenShards,
        Checkpoint,
        Weights,
        Examples,
        WordVectors,
        Evaluation,
        Report,
    )
}


def view_of(makes: str) -> type[Artefact]:
    """The view of that name; a plain artefact where this version of the program has none."""
    return VIEWS.get(makes, Artefact)


def open_current(store: Store, key: str) -> Artefact:
    """The version of a key that was made or reused last. Raises StoreError when there is none."""
    record = store.current_record(key)
    return store.open(key, record.version, view_of(record.makes), record.derivation)


def open_version(store: Store, key: str, version: str) -> Artefact:
    """One version of a key.

    Raises StoreError where the store does not hold it, or where no record tells how it came about.
    """
    artefact = store.open(key, version, Artefact)
    for record in store.records(key, version):
        return store.open(key, version, view_of(record.makes), record.derivation)
    raise StoreError(
        f"{artefact.key}: no record tells how version {version[:12]} came about; materialize it"
        " again"
    )
