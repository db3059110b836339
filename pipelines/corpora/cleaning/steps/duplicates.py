"""Exact duplicates: documents whose text an earlier document has, character for character."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from pipelines.corpora.cleaning.outcome import Cleaned, Dropped
from pipelines.corpora.cleaning.step import Step, StepOptions

if TYPE_CHECKING:
    from pipelines.text.tables import Document


class Duplicates(StepOptions):
    """Keep only the first of several documents with the same text."""

    step: Literal["duplicates"]


class Seen:
    """Remembers the id of the first document with each text, and 16 bytes of the text's digest, so
    that memory does not grow with the text.

    For a labelled text it also remembers the label, in about 100 bytes.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, str] = {}
        self._labels: dict[bytes, str] = {}

    def before(self, text_sha256: str, document_id: str) -> str | None:
        """The id of the first document with this text; None if this document is the first."""
        digest = bytes.fromhex(text_sha256[:32])
        first = self._first.get(digest)
        if first is None:
            self._first[digest] = document_id
        return first

    def label(self, text_sha256: str, label: str | None) -> str | None:
        """The first label of this text; if it had none, ``label``, which is then remembered."""
        if label is None:
            return self._labels.get(bytes.fromhex(text_sha256[:32]))
        return self._labels.setdefault(bytes.fromhex(text_sha256[:32]), sys.intern(label))


class DropDuplicates:
    """Drop a document whose text an earlier one has, character for character.

    If the labels differ, one of the two is wrong: the reason is then ``contradicting_label``.
    """

    def __init__(self, _: Duplicates) -> None:
        self._seen = Seen()

    def __call__(self, document: Document) -> Cleaned | Dropped:
        digest = document.sha256
        first = self._seen.before(digest, document.id)
        first_label = self._seen.label(digest, document.label)
        if first is None:
            return Cleaned(document.text)
        detail = "the same text as an earlier document"
        if document.label not in (None, first_label):
            detail = f"{detail}, whose label is {first_label}"
            return Dropped("contradicting_label", detail, first)
        return Dropped("duplicate", detail, first)


STEP = Step(Duplicates, DropDuplicates, remembers=True)
