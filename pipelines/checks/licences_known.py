"""A check of every corpus: the licence of each document is known."""

from __future__ import annotations

from pipelines.checks import Check, Outcome, Readers
from pipelines.corpora.artefacts import Documents

UNKNOWN = ("", "unknown", "none", "null")
MOST = 5  # licences that the outcome lists


def look(documents: Documents, _: Readers) -> Outcome:
    """The numbers of kept documents and licences, by the ledger; no text is read."""
    licences = documents.ledger().licences
    unknown = sum(count for name, count in licences.items() if name.strip().lower() in UNKNOWN)
    numbers = {
        "documents": licences.total(),
        "licences": len(licences),
        "documents of unknown licence": unknown,
        "most frequent": [f"{name}: {count:,}" for name, count in licences.most_common(MOST)],
    }
    return Outcome(not unknown, numbers)


CHECK = Check(
    name="licences_known",
    view=Documents,
    description="Each kept document has a licence, from its source or from the recipe.",
    look=look,
)
