"""Proofs: whether a document is among those that a training read, as a small file.

A proof is of an exact text. Near copies are told by fingerprints, which is an estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from heapq import nlargest
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.core.identity import HEX, canonical
from pipelines.core.merkle import Tree
from pipelines.core.record import StoreError
from pipelines.corpora.splits import SPLITS
from pipelines.examples.artefacts import Examples
from pipelines.lineage.certificate import Certificate
from pipelines.lineage.check_proof import FORMAT, digests_of, written
from pipelines.lineage.sources import sources_of
from pipelines.lineage.trace import Node
from pipelines.text.paths import is_file
from pipelines.text.regular import read_regular
from pipelines.text.tables import Document
from pipelines.tokens.artefacts import Draw

LONGEST = 60  # characters of a name in a message
ALIKE, NGRAM, MINIMA, MOST_NEAR = 0.5, 2, 128, 3  # a near copy, as in the cleaning of documents


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
    if is_file(name):
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
