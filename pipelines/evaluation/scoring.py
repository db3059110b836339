"""Scores of the items of an evaluation set as figures and tables, with intervals.

Items that training documents hold too are scored apart: a model may have learned them by heart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from pipelines.core.artefact import Rows
from pipelines.evaluation.asking import Answered
from pipelines.evaluation.findings import Answers
from pipelines.evaluation.intervals import bounds, of_mean
from pipelines.evaluation.items import SeenItems

LISTED = 100  # items in a table


def scored(
    name: str, answered: Sequence[Answered], values: Sequence[float], seen: frozenset[str]
) -> dict[str, float]:
    """The mean of a score over all items, and over those in training text and the others apart.

    ``values`` has the score of each item. Each mean has its bounds.
    """
    parts = {name: list(values)}
    is_seen = [one.item.id in seen for one in answered]
    if any(is_seen):
        for part, wanted in (("clean", False), ("contaminated", True)):
            own = [v for v, known in zip(values, is_seen, strict=True) if known is wanted]
            if own:
                parts[f"{part}_{name}"] = own
    figures: dict[str, float] = {}
    for part, own in parts.items():
        figures |= {part: fmean(own), **bounds(part, of_mean(own))}
    return figures


def counts(answered: Sequence[Answered], seen: frozenset[str]) -> dict[str, float]:
    """How many items were asked, are in training text, and did not fit into the context."""
    return {
        "items": len(answered),
        "contaminated_items": sum(one.item.id in seen for one in answered),
        "cut_items": sum(one.cut > 0 for one in answered),
    }


def tables(
    answered: Sequence[Answered], measures: Mapping[str, Sequence[float]], seen: SeenItems
) -> dict[str, Rows]:
    """The scores by file of the source if there are several, and the items in training text."""
    groups: dict[str, list[int]] = {}
    for place, one in enumerate(answered):
        groups.setdefault(one.item.id.rpartition(":")[0], []).append(place)
    by_file = [
        {"file": file, "items": len(places)} | _row(measures, places)
        for file, places in sorted(groups.items())
    ]
    return {
        "scores by file": by_file if len(groups) > 1 else [],
        "items in training text": _listed(answered, measures, seen),
    }


def _row(measures: Mapping[str, Sequence[float]], places: Sequence[int]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, values in measures.items():
        own = [values[place] for place in places]
        low, high = of_mean(own)
        row |= {name: fmean(own), f"{name} low": low, f"{name} high": high}
    return row


def _listed(
    answered: Sequence[Answered], measures: Mapping[str, Sequence[float]], seen: SeenItems
) -> Rows:
    """The first items that training documents hold too, each with the first such document."""
    places = {one.item.id: place for place, one in enumerate(answered)}
    first: dict[str, dict[str, Any]] = {}
    for row in seen.overlaps():
        if row.evaluation_id in places and len(first) < LISTED:
            scores = {
                name: float(values[places[row.evaluation_id]]) for name, values in measures.items()
            }
            told = {"item": row.evaluation_id, "corpus": row.corpus, "document": row.document_id}
            first.setdefault(row.evaluation_id, {**told, "words": row.ngram, **scores})
    return list(first.values())


def answers(measure: str, answered: Sequence[Answered], values: Sequence[float]) -> Answers:
    """The score of every item, by which two models are compared item by item."""
    return {
        "measure": measure,
        "ids": [one.item.id for one in answered],
        "values": [float(value) for value in values],
    }
