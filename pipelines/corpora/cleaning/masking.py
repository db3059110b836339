"""Texts that are copied out of the corpora, for people to read, without personal data."""

from __future__ import annotations

from pipelines.corpora.cleaning.outcome import Cleaned
from pipelines.corpora.cleaning.steps.personal_data import STEP


def without_personal_data(text: str) -> str:
    """A text with the personal data in it masked.

    Samples are copied into databases, pages and files. Nobody would look there for personal data
    that has to be deleted, and not every corpus was cleaned of it.
    """
    outcome = STEP.of()(text)
    return outcome.text if isinstance(outcome, Cleaned) else ""
