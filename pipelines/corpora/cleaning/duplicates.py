"""Documents that came before, word for word or nearly so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pipelines.corpora.cleaning.outcome import Cleaned, Dropped
from pipelines.corpora.deduplication import NearDuplicates, Seen

if TYPE_CHECKING:
    from pipelines.text.tables import Document


class DropDuplicates:
    """Leave out a document whose text an earlier one had, character for character.

    If the earlier one says another label, one of the two is wrong: ``contradicting_label``.
    """

    def __init__(self) -> None:
        self._seen = Seen()

    def __call__(self, document: Document) -> Cleaned | Dropped:
        digest = document.sha256
        again, first = self._seen.again(digest), self._seen.label(digest, document.label)
        if not again:
            return Cleaned(document.text)
        same = "the same text as an earlier document"
        if document.label not in (None, first):
            return Dropped("contradicting_label", f"{same}, whose label is {first}")
        return Dropped("duplicate", same)


class DropNearDuplicates:
    """Leave out a document with nearly the words of an earlier one, which the detail names.

    If the two have different labels, a few words decide or one of them is wrong:
    ``near_duplicate_other_label``.
    """

    def __init__(self, *, similarity: float, ngram: int, permutations: int) -> None:
        self._alike = NearDuplicates(similarity, ngram, permutations)
        self._labels: dict[str, str] = {}

    def __call__(self, document: Document) -> Cleaned | Dropped:
        match = self._alike(document.text, document.id)
        if match is None:
            if document.label is not None:
                self._labels[document.id] = sys.intern(document.label)
            return Cleaned(document.text)
        like = f"{match.similarity:.0%} like {match.document_id}"
        other = self._labels.get(match.document_id)
        if None not in (document.label, other) and document.label != other:
            return Dropped("near_duplicate_other_label", f"{like}, whose label is {other}")
        return Dropped("near_duplicate", like)
