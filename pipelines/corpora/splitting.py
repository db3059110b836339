"""Train, validation or test: told by the text alone."""

from __future__ import annotations

from pipelines.core.stanza import Fraction, Strict
from pipelines.corpora.splits import Split


class Splitting(Strict):
    """The shares held out, by the hash of the document."""

    validation: Fraction = 0.05
    test: Fraction = 0.05


def split_of(text_sha256: str, splitting: Splitting) -> Split:
    """The split of a text by its hex digest.

    The digest is read as a fraction in [0, 1): below ``test`` it is test, in the next
    ``validation`` it is validation, else train. Nothing else enters, so adding documents moves no
    old one, and a wider validation share leaves the test split as it was.
    """
    fraction = int(text_sha256[:13], 16) / 16**13  # 52 bits: exact in a float
    if fraction < splitting.test:
        return "test"
    if fraction < splitting.test + splitting.validation:
        return "validation"
    return "train"
