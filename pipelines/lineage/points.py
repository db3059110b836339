"""Finds how far the training of a point of a sweep came: all of it, or the last start."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.core.artefact import Artefact
from pipelines.core.declaration import Declaration
from pipelines.core.identity import digest
from pipelines.core.project import Project
from pipelines.core.record import Record, StoreError
from pipelines.core.store import Store
from pipelines.lineage.views import open_current


def farthest(store: Store, way: Sequence[Declaration], project: Project) -> Artefact:
    """The artefact of the last of some declarations that was made from the current inputs.

    Raises StoreError if none of them was made.
    """
    for declared in reversed(way):
        loaded = {key: open_current(store, key) for key in declared.upstream()}
        derivation = digest(declared.decided_by(loaded, project))
        record = store.record(derivation)
        if record is not None and store.holds(record.version):
            return store.open(declared.address, record.version, declared.makes, derivation)
    raise StoreError(f"{way[-1].address}: not made yet; materialize {way[-1].key} first")


def seconds_by_point(store: Store, key: str, comparison: Record) -> dict[str, float]:
    """The seconds that the training of each point took, over all its parts, by the point's name.

    ``key`` is the key of the sweep. A part is a start of the training or its end. A point whose
    records are gone has no entry.
    """
    records = {record.derivation: record for record in store.records(key)}
    newest: dict[tuple[str, str], Record] = {}  # of a part: earlier code may have made it too
    for record in sorted(records.values(), key=lambda one: str(one.made.get("finished", ""))):
        newest[_training(record), str(record.decides["recipe"].get("steps"))] = record
    taken: dict[str, float] = {}
    for (training, _), record in newest.items():
        if "training_seconds" in record.made:
            taken[training] = taken.get(training, 0.0) + float(record.made["training_seconds"])
    parts = {
        parent["input"].partition("/")[2]: _training(records[parent["derivation"]])
        for parent in comparison.parents
        if parent["derivation"] in records
    }
    return {name: taken[part] for name, part in parts.items() if part in taken}


def _training(record: Record) -> str:
    """A digest of the training that a record is of, whether of its start or of its end."""
    recipe = record.decides["recipe"]
    return digest([recipe.get("whole", recipe), record.decides["inputs"]])
