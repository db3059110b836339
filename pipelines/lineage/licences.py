"""What the licences of a model's training texts ask for, derived from what was really read.

This puts together what sources state and what SPDX knows. It is no legal advice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipelines.core.record import StoreError
from pipelines.interop.artefacts import Weights
from pipelines.lineage.sources import training_texts
from pipelines.lineage.trace import Node
from pipelines.report.card import legible
from pipelines.text.spdx import asks, joined, licence_of
from pipelines.training.artefacts import Checkpoint

NO_ADVICE = (
    "This is no legal advice. It says what the sources state; whether and how these licences bind"
    " the weights, a lawyer has to say."
)
MOST_SOURCES = 1000  # of a licence and a corpus that a notice lists


@dataclass
class Share:
    """The texts of one corpus with one licence that a model was trained on.

    ``stated`` has the licence in the words of the sources. ``tokens`` counts over all steps.
    ``sources`` has the number of documents from each file, package or page.
    """

    corpus: str
    expression: str
    known: bool
    documents: int = 0
    tokens: int = 0
    stated: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)

    def add(self, source: str, stated: str) -> None:
        """Count one document."""
        self.documents += 1
        self.stated[stated] = self.stated.get(stated, 0) + 1
        self.sources[source] = self.sources.get(source, 0) + 1

    @property
    def asks(self) -> list[str]:
        """What the licence asks for, in short."""
        return asks(licence_of(next(iter(self.stated))))


@dataclass(frozen=True)
class Terms:
    """The licences behind a model: of its texts, and of weights from elsewhere.

    ``weights`` are (asset, licence as it is stated). ``assumed`` names the trainings of earlier
    programs, which kept no list of what they read: all their training documents are counted.
    """

    key: str
    version: str
    shares: tuple[Share, ...]
    weights: tuple[tuple[str, str], ...]
    assumed: tuple[str, ...]

    @property
    def expression(self) -> str:
        """The licences of all texts and weights together, as one SPDX expression."""
        stated = [licence_of(licence).expression for _, licence in self.weights]
        return joined([*stated, *(share.expression for share in self.shares)])

    def to_json(self) -> dict[str, Any]:
        """The terms for programs."""
        return {
            "key": self.key,
            "version": self.version,
            "expression": self.expression,
            "weights": [
                {"asset": asset, "licence": licence_of(stated).expression, "stated": stated}
                for asset, stated in self.weights
            ],
            "shares": [
                {
                    "corpus": share.corpus,
                    "licence": share.expression,
                    "known": share.known,
                    "asks": share.asks,
                    "documents": share.documents,
                    "tokens": share.tokens,
                    "stated": list(share.stated),
                    "sources": len(share.sources),
                }
                for share in self.shares
            ],
            "assumed": list(self.assumed),
            "note": NO_ADVICE,
        }


def terms_of(node: Node) -> Terms:
    """The licences behind a model and all that it was trained from.

    Raises StoreError for what is no model, or if nothing of its licences is known.
    """
    artefact = node.artefact
    if not isinstance(artefact, Checkpoint):
        raise StoreError(f"{artefact.key}: is no model; name a foundation or a fine-tuned model")
    found = _Found()
    weights, assumed = [], []
    for one in node.walk():
        if isinstance(one.artefact, Weights):
            weights.append((one.artefact.key, str(one.record.decides["recipe"].get("licence", ""))))
        elif not isinstance(one.artefact, Checkpoint) or not one.artefact.trained():
            continue
        elif not found.count(one, one.artefact):
            assumed.append(one.artefact.key)
    ordered = sorted(found.shares.values(), key=lambda share: (-share.documents, share.corpus))
    if not ordered and not weights:
        raise StoreError(f"{artefact.key}: has no texts and no weights behind it in this store")
    return Terms(artefact.key, artefact.version, tuple(ordered), tuple(weights), tuple(assumed))


@dataclass
class _Found:
    """The shares of some trainings. A document that several of them read counts once."""

    shares: dict[tuple[str, str], Share] = field(default_factory=dict)
    counted: set[tuple[str, str]] = field(default_factory=set)

    def count(self, training: Node, model: Checkpoint) -> bool:
        """Count what a training read; False if it has no list, and all its texts are counted."""
        tokens: dict[tuple[str, str], int] = {}
        for draw in model.draws():
            place = draw.corpus, draw.document_id
            tokens[place] = tokens.get(place, 0) + draw.tokens
        is_listed = bool(tokens)
        for drawn, document_id, text in training_texts(training):
            read = tokens.pop((drawn, document_id), None if is_listed else 0)
            if read is None:
                continue
            licence = licence_of(text.licence)
            new = Share(text.corpus, licence.expression, licence.known)
            share = self.shares.setdefault((text.corpus, licence.expression), new)
            share.tokens += read
            if (text.corpus, document_id) not in self.counted:
                self.counted.add((text.corpus, document_id))
                share.add(text.source, text.licence)
        return is_listed


def notice(terms: Terms) -> str:
    """A text to pass on with the weights: what they were made of, and whom to credit."""
    lines = [
        f"NOTICE for {terms.key} {terms.version}",
        "",
        "These weights were trained on the texts below, under the licences that their sources",
        f"state. All licences together: {terms.expression}",
        "",
        NO_ADVICE,
    ]
    if terms.assumed:
        lines += ["", f"No list of what was read: {', '.join(terms.assumed)}. All training texts"
                  " of it are counted."]  # fmt: skip
    for asset, stated in terms.weights:
        licence = licence_of(stated)
        lines += ["", f"Weights {asset}: {licence.expression}{_asking(asks(licence))}"]
    for share in terms.shares:
        lines += ["", f"Corpus {share.corpus}: {share.expression}{_asking(share.asks)}"]
        lines += [
            f"  stated as {stated!r}" for stated in share.stated if stated != share.expression
        ]
        read = "" if terms.assumed else f", {share.tokens:,} tokens read"
        lines.append(f"  {share.documents:,} documents{read}, from")
        named = sorted(share.sources.items())
        lines += [f"    {legible(name)}: {n:,}" for name, n in named[:MOST_SOURCES]]
        if len(named) > MOST_SOURCES:
            lines.append(f"    and {len(named) - MOST_SOURCES:,} more sources")
    return "\n".join(lines) + "\n"


def _asking(asked: list[str]) -> str:
    return f" (asks for: {', '.join(asked)})" if asked else " (asks for nothing)"
