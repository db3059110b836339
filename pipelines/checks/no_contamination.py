"""A check of every contamination search: training documents share nothing with evaluation texts."""

from __future__ import annotations

import itertools

from pipelines.checks import Check, Outcome, Readers
from pipelines.corpora.artefacts import Contamination
from pipelines.tokens.artefacts import TokenShards

MOST = 10  # documents that the outcome lists


def look(contamination: Contamination, readers: Readers) -> Outcome:
    """The number of contaminated documents; it passes if there are none or shards omit them."""
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
