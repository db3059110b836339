"""A check of every corpus: the licence of each document is known."""

from __future__ import annotations

from pipelines.checks import Check, Outcome, Readers
from pipelines.corpora.artefacts import Documents
from pipelines.text.spdx import licence_of

MOST = 5  # licences that the outcome lists


def look(documents: Documents, _: Readers) -> Outcome:
    """The numbers of kept documents and licences, by the ledger; no text is read."""
    licences = documents.ledger().licences
    unknown = {name: n for name, n in licences.most_common() if not licence_of(name).known}
    numbers = {
        "documents": licences.total(),
        "licences": len(licences),
        "documents of unknown licence": sum(unknown.values()),
        "unknown": [f"{name or 'none said'}: {n:,}" for name, n in unknown.items()][:MOST],
        "most frequent": [f"{name}: {count:,}" for name, count in licences.most_common(MOST)],
    }
    return Outcome(not unknown, numbers)


CHECK = Check(
    name="licences_known",
    view=Documents,
    description="The licence of each kept document, as its source or the recipe says it, is of"
    " SPDX's list.",
    look=look,
)
