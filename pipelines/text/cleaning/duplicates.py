"""Documents that came before, word for word or nearly so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.text.cleaning.outcome import Cleaned, Dropped
from pipelines.text.deduplication import NearDuplicates, Seen

if TYPE_CHECKING:
    from pipelines.text.tables import Document


class DropDuplicates:
    """Leave out a document whose text an earlier one had, character for character."""

    def __init__(self) -> None:
        self._seen = Seen()

    def __call__(self, document: Document) -> Cleaned | Dropped:
        if self._seen.again(document.sha256):
            return Dropped("duplicate", "the same text as an earlier document")
        return Cleaned(document.text)


class DropNearDuplicates:
    """Leave out a document with nearly the words of an earlier one, which the detail names."""

    def __init__(self, *, similarity: float, ngram: int, permutations: int) -> None:
        self._alike = NearDuplicates(similarity, ngram, permutations)

    def __call__(self, document: Document) -> Cleaned | Dropped:
        match = self._alike(document.text, document.id)
        if match is None:
            return Cleaned(document.text)
        return Dropped("near_duplicate", f"{match.similarity:.0%} like {match.document_id}")
