"""The split of a document (train, validation or test): by its text, or as the data says itself."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from pipelines.core.stanza import Fraction, Strict
from pipelines.corpora.splits import Split


class Splitting(Strict):
    """The held-out shares; the hash of a document decides its split, unless the data says it."""

    validation: Fraction = 0.05
    test: Fraction = 0.05
    given: dict[Literal["validation", "test"], str] = Field(default={})
    """Held-out splits that the data has itself, by the source of their documents: a file or glob
    (``{test: "test.csv"}``), or a value of the field that ``fields.source`` maps. Such a split has
    these documents and no others; its share counts for nothing."""

    def has(self, split: Split) -> bool:
        """Whether any document can be in a held-out split."""
        share = self.validation if split == "validation" else self.test
        return split in self.given or bool(share)


def split_of(text_sha256: str, splitting: Splitting, source: str = "") -> Split:
    """The split of a text by its hex digest, or by its source where that says it.

    The digest is read as a fraction in [0, 1). A fraction below ``test`` is test, one in the next
    ``validation`` is validation, any other is train. Nothing else decides, so new documents do not
    move old ones, and a larger validation share does not change the test split.
    """
    for split, glob in splitting.given.items():
        if fnmatchcase(source, glob):
            return split
    fraction = int(text_sha256[:13], 16) / 16**13  # 52 bits: exact in a float
    if fraction < splitting.test:
        return "train" if "test" in splitting.given else "test"
    if fraction < splitting.test + splitting.validation:
        return "train" if "validation" in splitting.given else "validation"
    return "train"
