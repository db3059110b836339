"""A check of every reference: both replies of each pair have a likelihood, and it is a number."""

from __future__ import annotations

import math

from pipelines.checks import Check, Outcome, Readers
from pipelines.training.reference import NATS, Reference

MOST = 5  # pairs that the outcome lists


def look(reference: Reference, _: Readers) -> Outcome:
    """The pairs of all splits; a likelihood is at most 1, so no reply has nats below 0."""
    pairs = [pair for split in reference.json(NATS).values() for pair in split]
    wrong = [
        name for name, *nats in pairs if not all(math.isfinite(one) and one >= 0 for one in nats)
    ]
    return Outcome(bool(pairs) and not wrong, {"pairs": len(pairs), "wrong": wrong[:MOST]})


CHECK = Check(
    name="likelihoods_there",
    view=Reference,
    description="Both replies of each pair have a likelihood, and it is a number.",
    look=look,
    blocking=True,
)
