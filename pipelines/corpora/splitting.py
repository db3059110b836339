"""The split of a document (train, validation or test), which its text alone decides."""

from __future__ import annotations

from pipelines.core.stanza import Fraction, Strict
from pipelines.corpora.splits import Split


class Splitting(Strict):
    """The held-out shares; the hash of a document decides its split."""

    validation: Fraction = 0.05
    test: Fraction = 0.05


def split_of(text_sha256: str, splitting: Splitting) -> Split:
    """The split of a text by its hex digest.

    The digest is read as a fraction in [0, 1). A fraction below ``test`` is test, one in the next
    ``validation`` is validation, any other is train. Nothing else decides, so new documents do not
    move old ones, and a larger validation share does not change the test split.
    """
    fraction = int(text_sha256[:13], 16) / 16**13  # 52 bits: exact in a float
    if fraction < splitting.test:
        return "test"
    if fraction < splitting.test + splitting.validation:
        return "validation"
    return "train"
