"""A lineage as lines of a tree, each artefact with its main facts in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.core.artefact import CorruptArtefact
from pipelines.corpora.artefacts import Documents, RawText
from pipelines.interop.artefacts import Weights

if TYPE_CHECKING:
    from pipelines.lineage.trace import Node


def tree(node: Node) -> list[str]:
    """The lineage as lines of a tree; a repeated artefact has one line without its parents."""
    return _tree(node, "", "", set())


def _tree(node: Node, lead: str, below: str, seen: set[tuple[str, str]]) -> list[str]:
    artefact = node.artefact
    mark = (artefact.version, artefact.derivation)
    again = mark in seen and bool(node.parents)
    seen.add(mark)
    told = "see above" if again else ", ".join(facts(node))
    line = f"{lead}{artefact.key}  {artefact.version[:12]}" + (f"  {told}" if told else "")
    lines = [line]
    children = () if again else node.parents
    for number, parent in enumerate(children):
        last = number == len(children) - 1
        branch, deeper = ("└─ ", "   ") if last else ("├─ ", "│  ")
        lines += _tree(parent, below + branch, below + deeper, seen)
    return lines


def facts(node: Node) -> list[str]:
    """The main facts of one artefact in words: documents, source, commit.

    Raises CorruptArtefact if its files or its record lack the fields of their kind.
    """
    try:
        return _facts(node)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        artefact = node.artefact
        raise CorruptArtefact(
            f"{artefact.key}: version {artefact.version[:12]} or its record"
            f" {node.record.derivation[:12]} is not a valid {node.record.makes} ({error!r});"
            " remove both and run again"
        ) from None


def _facts(node: Node) -> list[str]:
    # Here, because the catalogues load pydantic, which other verbs than trace do without.
    from pipelines.corpora.sources import kinds as sources
    from pipelines.interop import kinds as weights

    artefact = node.artefact
    facts: list[str] = []
    if isinstance(artefact, Documents):
        ledger = artefact.ledger()
        divided = sum(step.added for step in ledger.steps)
        unit = f"parts of {ledger.documents_in:,} documents" if divided else "documents"
        facts.append(f"{ledger.kept.total():,} of {ledger.documents_in + divided:,} {unit}")
    figures: dict[str, Any] = artefact.figures()
    if isinstance(artefact, RawText):
        facts += [f"{figures['documents']:,} documents", *_origin(node, sources.catalogue())]
    if isinstance(artefact, Weights):
        count = int(figures["source_files"])
        facts += [f"{count:,} file{'s' * (count > 1)}", *_origin(node, weights.catalogue())]
    if "parameters" in figures:
        commit = node.record.made.get("git_commit")
        dirty = " with changes" if node.record.made.get("git_dirty") else ""
        facts += [
            f"{figures['parameters']:,} parameters",
            f"commit {commit[:10]}{dirty}" if commit else "no commit",
        ]
    return facts


def _origin(node: Node, kinds: Mapping[str, Any]) -> tuple[str, str]:
    """The origin of a source's bytes and their licence; ``kinds`` is a catalogue of sources."""
    section = node.record.decides["recipe"]
    return kinds[section["kind"]].origin.format(**section), section["licence"]
