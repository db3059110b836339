"""The survey of the licences of all texts that a recipe trains on, before it trains."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import LICENCES, Documents
from pipelines.corpora.permission import Surveyed
from pipelines.text.spdx import Licence, licence_of, refused

MOST_NAMED = 5  # documents that a message names, and writings of a licence that the survey keeps

log = logging.getLogger("dragon.corpora")


@dataclass
class _Count:
    """The training documents of a corpus with one licence."""

    licence: Licence
    documents: int = 0
    stated: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def add(self, document_id: str, source: str, stated: str) -> None:
        self.documents += 1
        self.stated[stated[:200]] += 1
        if len(self.first) < MOST_NAMED:
            self.first.append(f"{document_id} of {source}")

    def named(self) -> str:
        """The first documents, and how many more there are."""
        more = self.documents - len(self.first)
        return ", ".join(self.first) + (f" and {more:,} more" if more else "")


def survey(making: Making, settings: Surveyed, documents: dict[str, Documents]) -> None:
    """The licences of the training documents, counted; one that the recipe refuses is an error.

    What the recipe permits is not in the files. So a change of it makes nothing else anew.
    """
    counts = {corpus: _count(texts) for corpus, texts in documents.items()}
    for corpus, by_expression in counts.items():
        for count in by_expression.values():
            if not count.licence.known:
                log.warning(
                    "%s: corpus %s has documents of an unknown licence %s: %s; name an SPDX"
                    " identifier in the recipe or in their field",
                    making.key, corpus, list(count.stated)[:MOST_NAMED], count.named(),
                )  # fmt: skip
    if faults := list(_refused(settings, counts)):
        raise ValueError(
            f"licences: {'; '.join(faults)}; leave these texts out, or change the section licences"
            " of the recipe"
        )
    making.write(LICENCES, {corpus: _told(found) for corpus, found in counts.items()})
    every = [count for found in counts.values() for count in found.values()]
    making.write(
        FIGURES,
        {
            "documents": sum(count.documents for count in every),
            "licences": len({count.licence.expression for count in every}),
            "documents_of_unknown_licence": sum(c.documents for c in every if not c.licence.known),
        },
    )


def _count(documents: Documents) -> dict[str, _Count]:
    """The training documents of a corpus by expression."""
    found: dict[str, _Count] = {}
    rows = documents.table("train.arrow").rows(("id", "source", "licence"))
    for document_id, source, stated in rows:
        licence = licence_of(stated)
        count = found.setdefault(licence.expression, _Count(licence))
        count.add(document_id, source, stated)
    return found


def _refused(settings: Surveyed, counts: dict[str, dict[str, _Count]]) -> Iterator[str]:
    """A phrase for each licence that the recipe refuses."""
    for corpus, found in counts.items():
        for count in found.values():
            if reasons := refused(count.licence, settings.refuse, settings.allow):
                yield (
                    f"{', '.join(reasons)} is refused, and {count.documents:,} documents of corpus"
                    f" {corpus} have it: {count.named()}"
                )
    if settings.weights is not None:
        reasons = refused(licence_of(settings.weights), settings.refuse, settings.allow)
        if reasons:
            yield f"{', '.join(reasons)} is refused, and the weights (from) have it"


def _told(found: dict[str, _Count]) -> list[dict[str, Any]]:
    """The counts as JSON, the most documents first."""
    ordered = sorted(found.values(), key=lambda count: (-count.documents, count.licence.expression))
    return [
        {
            "licence": count.licence.expression,
            "known": count.licence.known,
            "documents": count.documents,
            "stated": [stated for stated, _ in count.stated.most_common(MOST_NAMED)],
        }
        for count in ordered
    ]
