"""``dragon documents --json``: the data card and the documents of a corpus, for programs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from pipelines.core.artefact import Rows
from pipelines.corpora.artefacts import Contamination, Documents
from pipelines.report import card
from pipelines.tokens.artefacts import TokenShards


def card_of(
    found: Documents,
    shards: Mapping[str, TokenShards],
    contaminations: Mapping[str, Contamination],
) -> dict[str, Any]:
    """The data card. ``shards`` and ``contaminations`` were made from these documents, by key."""
    ledger, corpus = found.ledger(), found.key.split("/")[0]
    return {
        **_head(found),
        "headline": card.headline(ledger),
        **dict(card.tables(ledger).items()),
        "lengths": dict(sorted(ledger.lengths.items(), key=_number)),
        "tokens": {key: card.tokens(made, corpus) for key, made in shards.items()},
        "contaminated": {key: shared(made, corpus) for key, made in contaminations.items()},
        "samples": card.samples(found),
        "examples_of_dropped": card.examples(found),
    }


def split_of(found: Documents, split: str, count: int, length: int | None) -> dict[str, Any]:
    """The first ``count`` documents of a split, their texts cut to ``length`` characters."""
    documents = [
        {
            "id": document.id,
            "source": document.source,
            "licence": document.licence,
            "label": document.label,
            "characters": len(document.text),
            "changes": list(document.changes),
            "text": _start(document.text, length),
        }
        for document in itertools.islice(found.split(split), count)
    ]
    return {
        **_head(found),
        "split": split,
        "total": found.ledger().kept[split],
        "documents": documents,
    }


def dropped_of(found: Documents, reason: str, count: int, length: int | None) -> dict[str, Any]:
    """The first ``count`` documents that were dropped for a reason."""
    rows = (row for row in found.dropped() if row.reason == reason)
    total = found.ledger().dropped[reason]
    documents = [
        {**row._asdict(), "text": _start(row.text, length)}
        for row in itertools.islice(rows, min(count, total))
    ]
    return {**_head(found), "dropped": reason, "total": total, "documents": documents}


def contaminated_of(found: Documents, made: Contamination, count: int) -> dict[str, Any]:
    """The training documents that share words with evaluation texts."""
    corpus = found.key.split("/")[0]
    return {
        **_head(found),
        "contamination": {"key": made.key, "version": made.version},
        "sets": shared(made, corpus),
        "overlaps": card.overlaps(made, count, corpus),
    }


def shared(contamination: Contamination, corpus: str) -> Rows:
    """How many documents of a corpus share words with each evaluation set."""
    return card.contaminated(contamination, corpus)


def _head(found: Documents) -> dict[str, Any]:
    return {"key": found.key, "version": found.version}


def _start(text: str, length: int | None) -> str:
    return text if length is None else text[:length]


def _number(pair: tuple[str, int]) -> int:
    return int(pair[0])
