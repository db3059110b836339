"""Opens versions of a store through the view class that their records name."""

from __future__ import annotations

from pipelines.core.artefact import Artefact
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.corpora.artefacts import Contamination, Documents, Forgotten, Licences, RawText
from pipelines.evaluation.findings import Evaluation
from pipelines.evaluation.items import Items, SeenItems
from pipelines.examples.artefacts import Examples
from pipelines.index.artefacts import TextIndex
from pipelines.interop.artefacts import Weights
from pipelines.report.artefacts import Report
from pipelines.sweeps.artefacts import SweepComparison, Trial
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import Checkpoint, KeptStates
from pipelines.training.reference import Reference
from pipelines.word_vectors.artefacts import WordVectors

VIEWS: dict[str, type[Artefact]] = {
    view.__name__: view
    for view in (
        RawText,
        Forgotten,
        Documents,
        TextIndex,
        Contamination,
        Licences,
        TokenizerFiles,
        TokenShards,
        Checkpoint,
        KeptStates,
        Weights,
        Examples,
        WordVectors,
        Reference,
        Items,
        SeenItems,
        Evaluation,
        Report,
        Trial,
        SweepComparison,
    )
}


def view_of(makes: str) -> type[Artefact]:
    """The view class of that name; ``Artefact`` if this version of the program has none."""
    return VIEWS.get(makes, Artefact)


def open_current(store: Store, key: str) -> Artefact:
    """The version of a key that was made or reused last. Raises StoreError if there is none."""
    record = store.current_record(key)
    return store.open(key, record.version, view_of(record.makes), record.derivation)


def open_version(store: Store, key: str, version: str) -> Artefact:
    """One version of a key.

    Raises StoreError if the store does not hold the version or has no record of it.
    """
    if not store.holds(version):
        raise StoreError(f"{key}: the store has no version {version[:12]}; materialize it")
    for record in store.records(key, version):
        return store.open(key, version, view_of(record.makes), record.derivation)
    raise StoreError(
        f"{key}: the store has no record of version {version[:12]}; materialize it again"
    )


def open_derivation(store: Store, key: str, derivation: str) -> Artefact:
    """The version that a derivation made under a key. Raises StoreError if there is none."""
    record = store.record(derivation)
    if record is None:
        raise StoreError(f"{key}: the store has no record {derivation[:12]}; materialize it again")
    return store.open(key, record.version, view_of(record.makes), derivation)
