"""The documents behind a training: the corpora that its examples and its tokens were made from."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.corpora.artefacts import Documents
from pipelines.examples.artefacts import Examples
from pipelines.lineage.trace import Node
from pipelines.tokens.artefacts import EXAMPLES, TokenShards
from pipelines.training.artefacts import Checkpoint, KeptStates


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
            yield read["input"].partition("/")[2] or EXAMPLES, artefact
        elif isinstance(artefact, TokenShards | Examples | KeptStates):
            yield from _sources(parent)


def trainings_of(node: Node) -> list[Node]:
    """The trainings whose weights the target's begin with, and the target's own, oldest first."""
    return [one for one in node.walk() if isinstance(one.artefact, Checkpoint) and _trained(one)]


def _trained(node: Node) -> bool:
    assert isinstance(node.artefact, Checkpoint)
    return node.artefact.trained()
