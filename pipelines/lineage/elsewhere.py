"""The versions that things outside the store name: MLflow's runs and models, a served reply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.record import Record, StoreError
from pipelines.core.store import Store
from pipelines.lineage.root import lineage_root_at
from pipelines.lineage.views import view_of

MLFLOW = ("runs:/", "models:/")  # how MLflow names a run and a model
REPLY = "dragon"  # the field of a served reply with the lineage of its model
LARGEST = 1 << 24  # bytes of a file that may be a served reply


def of_mlflow(store: Store, folder: Path, target: str) -> Artefact:
    """The version of a run or a model in MLflow, ``runs:/...`` or ``models:/...``.

    ``folder`` has the project's MLflow. Raises StoreError if MLflow does not know it or does not
    say its version, and CorruptArtefact if the store's lineage of it is another.
    """
    from pipelines.core.tracking.named import named

    try:
        told = named(folder, target)
    except OSError as error:
        raise StoreError(f"{target}: MLflow does not tell of it ({error})") from None
    if not told.version:
        raise StoreError(
            f"{target}: MLflow does not say which version of the store it is (it has no tag"
            " dragon.version): a run that made nothing, or one of another program"
        )
    return _claimed(store, target, told.key, told.version, told.lineage_root)


def reply_in(path: Path) -> Mapping[str, Any] | None:
    """What a served reply in a file says of its model; None if the file is no reply."""
    try:
        if path.stat().st_size > LARGEST:
            return None
        content = json.loads(path.read_bytes())
        told = content[REPLY] if isinstance(content, dict) else None
    except (OSError, ValueError, KeyError, RecursionError):
        return None
    return told if isinstance(told, dict) and "version" in told else None


def of_reply(store: Store, path: Path, told: Mapping[str, Any]) -> Artefact:
    """The model that gave a served reply: its ``version`` and ``lineage_root`` must fit the store.

    Raises StoreError if the store does not hold it, and CorruptArtefact if the lineage is another.
    """
    root = told.get("lineage_root")
    if not isinstance(root, str):
        raise CorruptArtefact(
            f"{path}: the reply names no lineage_root; it was changed, or another server gave it"
        )
    return _claimed(store, str(path), str(told.get("model", "")), str(told["version"]), root)


def _claimed(store: Store, target: str, key: str, version: str, root: str) -> Artefact:
    """The version that something names; ``root`` is the root of its lineage, or empty."""
    if not store.holds(version):
        raise StoreError(
            f"{target}: is of {key or 'a model'} {version[:12]}, which {store.root} does not hold;"
            " choose its store with --store"
        )
    references = [r for r in store.references.all() if r.version == version]
    if not references:
        store.key_of(version)  # raises the error that names the mend
    records = [store.record(r.derivation, version) for r in references]
    found = [(r.key, record) for r, record in zip(references, records, strict=True) if record]
    fitting = [(name, record) for name, record in found if not root or _root(store, record) == root]
    if not fitting:
        raise CorruptArtefact(
            f"{target}: its lineage_root is {root[:12]}, but no record of version {version[:12]} in"
            f" {store.root} has this lineage; it was changed, or is of another store"
        )
    name, record = next((one for one in fitting if one[0] == key), fitting[0])
    return store.open(name, version, view_of(record.makes), record.derivation)


def _root(store: Store, record: Record) -> str:
    return lineage_root_at(store, record.version, record.derivation)
