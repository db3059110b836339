"""Certificates: the documents that a training read, as one root that stood before its first step.

``certificate_of`` computes the root from the list of what was read and compares it with the root in
the record. ``proof_of`` writes the proof that a document is, or is not, among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from heapq import nlargest
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.core.artefact import Artefact, CorruptArtefact
from pipelines.core.identity import HEX, canonical
from pipelines.core.merkle import Tree
from pipelines.core.record import StoreError
from pipelines.core.store import Store
from pipelines.corpora.splits import SPLITS
from pipelines.examples.artefacts import Examples
from pipelines.lineage.check_proof import FORMAT, digests_of, written
from pipelines.lineage.sources import sources_of, trainings_of
from pipelines.lineage.trace import Node, named, trace
from pipelines.text.regular import read_regular
from pipelines.text.tables import Document
from pipelines.training.artefacts import DRAWS, Checkpoint, Draw, KeptStates

CERTIFICATE = "dragon-certificate-1"
PROMISED = ("root", "documents", "committed", "timestamp")
LONGEST_PATH = 4000
LONGEST = 60  # characters of a name in a message
ALIKE, NGRAM, MINIMA, MOST_NEAR = 0.5, 2, 128, 3  # a near copy, as in the cleaning of documents


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


# --- proofs -------------------------------------------------------------------------------------


def proof_of(tree: Tree, digest: bytes) -> bytes:
    """The file that proves whether a digest is among those of a tree, for ``check_proof.py``."""
    path = tree.path(digest)
    proof: dict[str, Any] = {
        "format": FORMAT,
        "claim": "included" if path.leaf[0] == digest else "absent",
        "document": digest.hex(),
        "root": tree.root.hex(),
        "documents": len(tree),
        "place": path.place,
        "leaf": [neighbour.hex() for neighbour in path.leaf],
        "path": [beside.hex() for beside in path.hashes],
    }
    return written({**proof, "digest": sha256(written(proof)).hexdigest()})


class Found(NamedTuple):
    """The document that a person named: its sha256, and its text if it is known."""

    digest: bytes
    text: str | None


def find(certificate: Certificate, name: str) -> Found:
    """The document by its sha256, by a text file, or by an id (``id`` or ``corpus/id``).

    Raises StoreError if it is none of these, or more than one document.
    """
    if HEX.fullmatch(name):
        return Found(bytes.fromhex(name), None)
    if "\0" not in name and len(name) < LONGEST_PATH and Path(name).is_file():
        return _in_file(certificate, Path(name))
    if digests := {d.sha256: d for d in certificate.draws if name in _names(d)}:
        if len(digests) > 1:
            others = sorted(d.example_id or f"{d.corpus}/{d.document_id}" for d in digests.values())
            raise StoreError(
                f"{name[:LONGEST]}: the training read {len(others)} of this name; name one of"
                f" {', '.join(others[:3])}"
            )
        return Found(next(iter(digests)), None)
    unread = _unread_example if certificate.is_of_examples else _unread_document
    if found := unread(certificate.training, name):
        return found
    raise StoreError(
        f"{name[:LONGEST]}: neither a text file nor a sha256, and no document of the corpora of"
        f" {certificate.training.artefact.key} has this id; dragon documents CORPUS lists ids"
    )


def _names(draw: Draw) -> tuple[str, ...]:
    return draw.document_id, f"{draw.corpus}/{draw.document_id}", draw.example_id


def _in_file(certificate: Certificate, path: Path) -> Found:
    """The text of a file; without its last newline if that is what the training read."""
    content = read_regular(path)
    digests = [bytes.fromhex(digest) for digest in digests_of(content)]
    digest = next((digest for digest in digests if digest in certificate.tree), digests[0])
    if certificate.is_of_examples and digest not in certificate.tree:
        raise StoreError(
            f"{path}: {certificate.training.artefact.key} was trained on examples, and a text is"
            " not one; name an example by its id, or ask the foundation about the text"
        )
    return Found(digest, content.decode("utf-8", "replace"))


def _unread_document(training: Node, name: str) -> Found | None:
    for corpus, document in _documents(training, SPLITS):
        if name in (document.id, f"{corpus}/{document.id}"):
            return Found(bytes.fromhex(document.sha256), document.text)
    return None


def _unread_example(training: Node, name: str) -> Found | None:
    tables = (node.artefact for node in training.parents if isinstance(node.artefact, Examples))
    rows = (row for examples in tables for split in SPLITS for row in examples.rows(split))
    example = next((row for row in rows if row["id"] == name), None)
    return Found(sha256(canonical(example)).digest(), None) if example else None


def _documents(training: Node, splits: Iterable[str]) -> Iterator[tuple[str, Document]]:
    for corpus, versions in sources_of(training).items():
        for documents in versions:
            for split in splits:
                yield from ((corpus, document) for document in documents.split(split))


class Near(NamedTuple):
    """A document that a training read and that resembles a text; the likeness is an estimate."""

    corpus: str
    document_id: str
    similarity: float


def near_copies(certificate: Certificate, text: str) -> list[Near]:
    """The documents that were read and share most of their words with a text, the nearest first.

    They are told by their fingerprints (MinHash), which is an estimate and never a proof. Reads
    every document of the training.
    """
    from pipelines.corpora.deduplication import signature

    drawn = {(draw.corpus, draw.document_id) for draw in certificate.draws}
    wanted = signature(text, NGRAM, MINIMA)
    near = (
        Near(corpus, document.id, float((signature(document.text, NGRAM, MINIMA) == wanted).mean()))
        for corpus, document in _documents(certificate.training, ["train"])
        if (corpus, document.id) in drawn
    )
    alike = (one for one in near if one.similarity >= ALIKE)
    return nlargest(MOST_NEAR, alike, key=lambda one: one.similarity)
