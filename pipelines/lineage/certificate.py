"""Certificates: the documents that a training read, as one root that stood before its first step.

``certificate_of`` computes the root from the list of what was read and compares it with the root in
the record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.identity import HEX, canonical
from pipelines.core.merkle import Tree
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.lineage.sources import trainings_of
from pipelines.lineage.trace import Node, named, trace
from pipelines.tokens.artefacts import DRAWS, Draw
from pipelines.training.artefacts import Checkpoint, KeptStates

CERTIFICATE = "dragon-certificate-1"
PROMISED = ("root", "documents", "committed", "timestamp")


@dataclass(frozen=True)
class Certificate:
    """The tree over what a training read, and what its record promised before the first step.

    ``promised`` has ``root``, ``documents``, ``committed`` and ``timestamp``; None for a training
    of an earlier program. ``is_promised`` says whether its root is the tree's.
    """

    training: Node
    tree: Tree
    draws: tuple[Draw, ...]
    promised: dict[str, Any] | None

    @property
    def root(self) -> str:
        """The root over what was read, in hexadecimal."""
        return self.tree.root.hex()

    @property
    def is_promised(self) -> bool:
        """Whether the root in the record is that of what was read."""
        return self.promised is not None and self.promised["root"] == self.root

    @property
    def before(self) -> list[Artefact]:
        """The models that the training began with, the oldest first."""
        trained = (one.artefact for one in trainings_of(self.training))
        return [model for model in trained if model.version != self.training.artefact.version]

    @property
    def is_of_examples(self) -> bool:
        """Whether it is over the examples of a fine-tuning; else over documents."""
        return any(draw.example_id for draw in self.draws)

    def to_json(self) -> dict[str, Any]:
        """The certificate for a file."""
        artefact, promised = self.training.artefact, self.promised or {}
        return {
            "format": CERTIFICATE,
            "key": artefact.key,
            "version": artefact.version,
            "root": self.root,
            "documents": len(self.tree),
            "tokens": sum(draw.tokens for draw in self.draws),
            "promised": {name: promised.get(name) for name in PROMISED} if promised else None,
        }


def certificate_of(training: Node) -> Certificate:
    """The certificate of a training, whose root is computed again from what it read.

    Raises StoreError if there is no list of what it read, and CorruptArtefact if the root in the
    record is another one although the training went to its planned end.
    """
    artefact = training.artefact
    if not isinstance(artefact, Checkpoint) or not artefact.trained():
        raise StoreError(f"{artefact.key}: no training made it; name a model that was trained here")
    draws = tuple(artefact.draws())
    if not draws:
        raise StoreError(
            f"{artefact.key}: version {artefact.version[:12]} has no list of what was read, since"
            " an earlier program trained it; run its recipe again"
        )
    promised = _promised(training)
    certificate = Certificate(training, Tree(draw.sha256 for draw in draws), draws, promised)
    if promised and not certificate.is_promised and not _ended_early(artefact):
        raise CorruptArtefact(
            f"{artefact.key}: the record promised the root {promised['root'][:12]} before the first"
            f" step, and what was read has the root {certificate.root[:12]}; do not trust this"
            " version, and run its recipe again"
        )
    return certificate


def _promised(training: Node) -> dict[str, Any] | None:
    """What the record says, or that of the kept states whose end the weights are.

    Raises CorruptArtefact for what is no certificate.
    """
    states = (node for node in training.parents if isinstance(node.artefact, KeptStates))
    for node in (training, *states):
        told = node.record.made.get("certificate")
        if told is None:
            continue
        if not _is_promise(told):
            raise CorruptArtefact(
                f"{node.artefact.key}: the certificate in the record {node.record.derivation[:12]}"
                " has not the fields of one; remove the record and run again"
            )
        return dict(told)
    return None


def _is_promise(told: Any) -> bool:
    """Whether a part of a record has the fields of a certificate, each of its type."""
    if not isinstance(told, dict) or not set(PROMISED) <= told.keys():
        return False
    root, documents, committed, timestamp = (told[name] for name in PROMISED)
    return (
        isinstance(root, str)
        and HEX.fullmatch(root) is not None
        and type(documents) is int
        and isinstance(committed, str)
        and isinstance(timestamp, dict | None)
    )


def _ended_early(artefact: Artefact) -> bool:
    """Whether a validation chose the weights, so that the last planned steps are not in them."""
    return "steps_run" in artefact.figures()


def check_certificate(store: Store, content: bytes) -> Certificate:
    """The certificate in a file, computed again from what the store's model read.

    Raises ValueError naming the entries that differ, and StoreError without the model.
    """
    try:
        told = json.loads(content)
        key, version = str(told["key"]), str(told["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("is not a certificate") from None
    if not HEX.fullmatch(version):
        raise ValueError("version: is not a sha256")
    found = certificate_of(trace(store, named(store, key, version), verify=False))
    right = found.to_json()
    if content != canonical(right):
        names = [name for name in {**right, **told} if told.get(name) != right.get(name)]
        wrong = f"{', '.join(map(repr, names))} differ" if names else "it is written otherwise"
        raise ValueError(f"{wrong} from what {key} {version[:12]} has; write it again")
    return found


def models_of(store: Store, root: str) -> Iterator[Artefact]:
    """The models of a store that were trained on the documents with a root, each version once.

    The root of each is computed again from what it read. Raises CorruptArtefact for a false record.
    """
    seen = set()
    for reference in store.references.all():
        record = store.record(reference.derivation, reference.version)
        if record is None or record.makes != Checkpoint.__name__ or record.version in seen:
            continue
        seen.add(record.version)
        model = store.open(reference.key, record.version, Checkpoint, record.derivation)
        promised = record.made.get("certificate") or {}
        if promised.get("root") not in (None, root) and not _ended_early(model):
            continue  # what it read has the root that it promised
        if DRAWS in model.files and certificate_of(trace(store, model, verify=False)).root == root:
            yield model
