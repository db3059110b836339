"""A check of every source: it gave documents, and few of its rows could not be read."""

from __future__ import annotations

from pipelines.checks import Check, Outcome, Readers
from pipelines.corpora.artefacts import RawText

MOST = 0.05  # the largest share of rows that are left out


def look(raw: RawText, _: Readers) -> Outcome:
    """The numbers of rows that are documents and that are none; no text is read."""
    documents = int(raw.figures()["documents"])  # without the holes of forgotten ones
    left_out = raw.table(raw.UNREAD).index.rows if raw.UNREAD in raw.files else 0
    share = left_out / max(documents + left_out, 1)
    numbers = {"documents": documents, "rows left out": left_out, "share left out": share}
    return Outcome(documents > 0 and share <= MOST, numbers)


CHECK = Check(
    name="has_text",
    view=RawText,
    description="The source gave documents, and at most one row in 20 could not be read.",
    look=look,
)
