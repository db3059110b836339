"""Documents that came before, character for character."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from pipelines.corpora.cleaning.outcome import Cleaned, Dropped
from pipelines.corpora.cleaning.step import Step, StepOptions

if TYPE_CHECKING:
    from pipelines.text.tables import Document


class Duplicates(StepOptions):
    """Of documents with the same text the first stays."""

    step: Literal["duplicates"]


class Seen:
    """Remembers 16 bytes of a text's digest, so that memory does not grow with the text.

    Of labelled texts also the label, 100 bytes more.
    """

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self._labels: dict[bytes, str] = {}

    def again(self, text_sha256: str) -> bool:
        """Whether this text came before; from now on it did."""
        digest = bytes.fromhex(text_sha256[:32])
        if digest in self._digests:
            return True
        self._digests.add(digest)
        return False

    def label(self, text_sha256: str, label: str | None) -> str | None:
        """The label that this text had first; if it had none, ``label``, from now on."""
        if label is None:
            return self._labels.get(bytes.fromhex(text_sha256[:32]))
        return self._labels.setdefault(bytes.fromhex(text_sha256[:32]), sys.intern(label))


class DropDuplicates:
    """Leave out a document whose text an earlier one had, character for character.

    If the earlier one says another label, one of the two is wrong: ``contradicting_label``.
    """

    def __init__(self, _: Duplicates) -> None:
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


STEP = Step(Duplicates, DropDuplicates, remembers=True)
