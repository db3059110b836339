"""Near-duplicates: documents with nearly the words of an earlier document."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipelines.core.stanza import Positive
from pipelines.corpora.cleaning.outcome import Cleaned, Dropped
from pipelines.corpora.cleaning.step import Step, StepOptions
from pipelines.corpora.deduplication import NearDuplicates as Alike

if TYPE_CHECKING:
    from pipelines.text.tables import Document


class NearDuplicates(StepOptions):
    """Keep only the first of documents with nearly the same words (MinHash; Broder 1997)."""

    step: Literal["near_duplicates"]
    similarity: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The least Jaccard similarity of the word n-grams of two documents that are duplicates."""
    ngram: Positive = 2
    permutations: Annotated[int, Field(ge=16, le=1024, strict=True)] = 128


class DropNearDuplicates:
    """Drop a document with nearly the words of an earlier one, which the detail names.

    If the two have different labels, a few words decide the label or one label is wrong: the
    reason is then ``near_duplicate_other_label``.
    """

    def __init__(self, options: NearDuplicates) -> None:
        self._alike = Alike(options.similarity, options.ngram, options.permutations)
        self._labels: dict[str, str] = {}

    def __call__(self, document: Document) -> Cleaned | Dropped:
        match = self._alike(document.text, document.id)
        if match is None:
            if document.label is not None:
                self._labels[document.id] = sys.intern(document.label)
            return Cleaned(document.text)
        detail = f"{match.similarity:.0%} like {match.document_id}"
        other_label = self._labels.get(match.document_id)
        if None not in (document.label, other_label) and document.label != other_label:
            detail = f"{detail}, whose label is {other_label}"
            return Dropped("near_duplicate_other_label", detail, match.document_id)
        return Dropped("near_duplicate", detail, match.document_id)


STEP = Step(
    NearDuplicates,
    DropNearDuplicates,
    remembers=True,
    libraries=("numpy", "regex", "rensa"),
)
