"""A check of every corpus: the ledger's counts equal the rows of the tables."""

from __future__ import annotations

from pipelines.checks import Check, Outcome, Readers
from pipelines.corpora.artefacts import DROPPED, Documents


def look(documents: Documents, _: Readers) -> Outcome:
    """Compare the rows of each table with the ledger; no text is read."""
    ledger = documents.ledger()  # raises unless it adds up
    kept = {split: count + ledger.holes[split] for split, count in ledger.kept.items()}
    counted = {f"{split}.arrow": count for split, count in kept.items()}
    counted[DROPPED] = ledger.dropped.total()
    rows = {name: documents.table(name).index.rows for name in counted}
    numbers = {f"rows of {name.removesuffix('.arrow')}": count for name, count in rows.items()}
    return Outcome(rows == counted, {"documents in": ledger.documents_in, **numbers})


CHECK = Check(
    name="ledger_adds_up",
    view=Documents,
    description="Every document is kept or dropped, and lies in the table where it is counted.",
    look=look,
    blocking=True,
)
