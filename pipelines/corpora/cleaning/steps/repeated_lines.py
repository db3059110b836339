"""Lines that many documents share: menus, notices, signatures."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

from pipelines.core.stanza import Positive
from pipelines.corpora.cleaning.outcome import Cleaned, Dropped, changed
from pipelines.corpora.cleaning.step import Step, StepOptions

if TYPE_CHECKING:
    from pipelines.text.tables import Document

MOST_LINES = 4_000_000
"""The most lines that are remembered at once, in about 150 bytes each."""


class RepeatedLines(StepOptions):
    """Remove lines that occurred in earlier documents: menus, notices, signatures."""

    step: Literal["repeated_lines"]
    min_characters: Positive = 30
    """Shorter lines may repeat."""
    documents: Positive = 3
    """The number of documents that may have a line; it is removed from later documents."""


class TakeOutRepeatedLines:
    """Remove lines of ``min_characters`` or more that ``documents`` earlier documents have.

    The result depends on the earlier documents and their order, so one object serves one corpus,
    from its first document to its last. A line counts once for each document, without the white
    space around it. Only an 8-byte hash of a line is remembered (the chance that two of a billion
    lines share one is 3 %). Above ``MOST_LINES`` the rarest lines are forgotten until half of that
    number are left, so memory is bounded (after Manku and Motwani 2002, lossy counting).
    """

    def __init__(self, options: RepeatedLines) -> None:
        self._min_characters = options.min_characters
        self._documents = options.documents
        self._seen: dict[bytes, int] = {}

    def __call__(self, document: Document) -> Cleaned | Dropped:
        """The text without the repeated lines; Dropped("empty") if no text is left."""
        kept: list[str] = []
        new: set[bytes] = set()
        lines = document.text.split("\n")
        for line in lines:
            bare = line.strip()
            if len(bare) >= self._min_characters:
                digest = blake2b(bare.encode(), digest_size=8).digest()
                if self._seen.get(digest, 0) >= self._documents:
                    continue
                new.add(digest)
            kept.append(line)
        self._remember(new)
        removed = len(lines) - len(kept)
        if not removed:
            return changed(document.text)
        return changed("\n".join(kept).strip("\n"), f"{removed} repeated lines removed")

    def _remember(self, digests: set[bytes]) -> None:
        for digest in digests:
            self._seen[digest] = self._seen.get(digest, 0) + 1
        rare = 1
        if len(self._seen) > MOST_LINES:
            while len(self._seen) > MOST_LINES // 2:
                self._seen = {line: n for line, n in self._seen.items() if n > rare}
                rare += 1


STEP = Step(RepeatedLines, TakeOutRepeatedLines, remembers=True)
