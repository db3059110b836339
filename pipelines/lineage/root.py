"""The root of a lineage: one digest over all records that led to a version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipelines.core.artefact import CorruptArtefact
from pipelines.core.identity import digest
from pipelines.core.record import Record
from pipelines.core.store import Store

if TYPE_CHECKING:
    from pipelines.lineage.trace import Node


def lineage_root(node: Node) -> str:
    """The sha256 of the sorted (version, derivation, digest of what decides) of a whole lineage.

    The third is the digest of a record without what it only observed (``made``): version, view,
    deciding part and parents. So equal roots mean equal lineages, at any time and on any machine.
    """
    return root_of(one.record for one in node.walk())


def root_of(records: Iterable[Record]) -> str:
    """The root over the records of a lineage, in any order."""
    return digest(sorted({(r.version, r.derivation, _decided(r)) for r in records}))


def lineage_root_at(store: Store, version: str, derivation: str) -> str:
    """The root of a version in a store, from the records alone.

    Raises CorruptArtefact if a record is missing or damaged.
    """
    found: dict[tuple[str, str], Record] = {}
    waiting = [(version, derivation)]
    while waiting:
        place = waiting.pop()
        if place in found:
            continue
        record = store.record(place[1], place[0])
        if record is None or record.version != place[0]:
            raise CorruptArtefact(
                f"the store has no record {place[1][:12]} of version {place[0][:12]}; materialize"
                " it again"
            )
        found[place] = record
        waiting += [(parent["version"], parent["derivation"]) for parent in record.parents]
    return root_of(found.values())


def _decided(record: Record) -> str:
    return digest(
        {
            "version": record.version,
            "makes": record.makes,
            "decides": record.decides,
            "parents": list(record.parents),
        }
    )
