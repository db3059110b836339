"""A check of all examples: each split has some, and of each label."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

from pipelines.checks import Check, Outcome, Readers
from pipelines.corpora.splits import SPLITS
from pipelines.examples.artefacts import Examples

LOOKED_AT = 100_000  # labels of each split


def look(examples: Examples, _: Readers) -> Outcome:
    """The number of examples of each split, and of each label if they have labels."""
    numbers: dict[str, Any] = {}
    missing: list[str] = []
    labels: set[str] = set()
    for split in SPLITS:
        numbers[split] = rows = examples.table(f"{split}.arrow").index.rows
        missing += [] if rows else [split]
        if not rows or "label" not in next(examples.rows(split)):
            continue
        looked = itertools.islice(examples.labelled(split), LOOKED_AT)
        counts = Counter(row.label for row in looked)
        labels |= counts.keys()
        missing += [f"{label} in {split}" for label in sorted(labels - counts.keys())]
        numbers |= {f"{label} in {split}": counts[label] for label in sorted(labels)}
    return Outcome(not missing, {**numbers, "missing": missing})


CHECK = Check(
    name="in_each_split",
    view=Examples,
    description="Each split has examples, and of each label that an earlier split has.",
    look=look,
)
