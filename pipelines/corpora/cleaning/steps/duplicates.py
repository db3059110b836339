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
    """Remembers 16 bytes of the digest of each text, so that memory does not grow with the text.

    For a labelled text it also remembers the label, in about 100 bytes.
    """

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self._labels: dict[bytes, str] = {}

    def again(self, text_sha256: str) -> bool:
        """Whether this text occurred before; the text is remembered."""
        digest = bytes.fromhex(text_sha256[:32])
        if digest in self._digests:
            return True
        self._digests.add(digest)
        return False

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
        again, first_label = self._seen.again(digest), self._seen.label(digest, document.label)
        if not again:
            return Cleaned(document.text)
        detail = "the same text as an earlier document"
        if document.label not in (None, first_label):
            return Dropped("contradicting_label", f"{detail}, whose label is {first_label}")
        return Dropped("duplicate", detail)


STEP = Step(Duplicates, DropDuplicates, remembers=True)
