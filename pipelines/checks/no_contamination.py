"""Every search for contamination: what is trained on shares nothing with evaluation texts."""

from __future__ import annotations

import itertools

from pipelines.checks import Check, Outcome, Readers
from pipelines.corpora.artefacts import Contamination
from pipelines.tokens.artefacts import TokenShards

MOST = 10  # documents that are named


def look(contamination: Contamination, readers: Readers) -> Outcome:
    """How many documents share words; it passes with any number where shards leave them out."""
    left_out = any(issubclass(reader.makes, TokenShards) for reader in readers)
    count = int(contamination.figures()["documents"])
    first = dict.fromkeys(
        f"{row.corpus}: {row.document_id}"
        for row in itertools.islice(contamination.overlaps(), MOST)
    )
    numbers = {"documents": count, "left out": left_out, "first": list(first)}
    return Outcome(left_out or not count, numbers)


CHECK = Check(
    name="no_contamination",
    view=Contamination,
    description="No document that is trained on shares words in a row with an evaluation text.",
    look=look,
)
