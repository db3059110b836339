"""The documents behind a training: the corpora that its examples and its tokens were made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.corpora.artefacts import Documents
from pipelines.examples.artefacts import Examples
from pipelines.lineage.trace import Node
from pipelines.tokens.artefacts import EXAMPLES, TokenShards
from pipelines.training.artefacts import Checkpoint, KeptStates


class Text(NamedTuple):
    """A training document: its corpus by the corpus' own name, its source, licence and digest."""

    corpus: str
    source: str
    licence: str
    sha256: str


def training_texts(training: Node) -> Iterator[tuple[str, str, Text]]:
    """Each training document behind a training: the corpus as draws name it, the id, the rest.

    A document that several versions of a corpus have is there for each.
    """
    for drawn, versions in sources_of(training).items():
        for documents in versions:
            corpus = own_name(documents)
            rows = documents.table("train.arrow").rows(("id", "source", "licence", "sha256"))
            for name, source, licence, sha256 in rows:
                yield drawn, name, Text(corpus, source, licence, sha256)


def drawn_name(place: str) -> str:
    """How a list of draws names the corpus of an input: ``documents/tales`` is ``tales``."""
    return place.partition("/")[2] or EXAMPLES


def own_name(documents: Documents) -> str:
    """The name of the corpus of some documents."""
    return documents.key.partition("/")[0]


def sources_of(training: Node) -> dict[str, list[Documents]]:
    """The documents by corpus, as a table of draws names the corpora.

    A branch of another training has read that one's documents too, so a corpus may be there in
    several versions.
    """
    found: dict[str, list[Documents]] = {}
    for corpus, documents in _sources(training):
        known = found.setdefault(corpus, [])
        if all(other.version != documents.version for other in known):
            known.append(documents)
    return found


def _sources(node: Node) -> Iterator[tuple[str, Documents]]:
    for read, parent in zip(node.record.parents, node.parents, strict=True):
        artefact = parent.artefact
        if isinstance(artefact, Documents):
            yield drawn_name(read["input"]), artefact
        elif isinstance(artefact, TokenShards | Examples | KeptStates):
            yield from _sources(parent)


def trainings_of(node: Node) -> list[Node]:
    """The trainings whose weights the target's begin with, and the target's own, oldest first."""
    return [one for one in node.walk() if isinstance(one.artefact, Checkpoint) and _trained(one)]


def _trained(node: Node) -> bool:
    assert isinstance(node.artefact, Checkpoint)
    return node.artefact.trained()
