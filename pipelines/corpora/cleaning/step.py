"""The declaration of a cleaning step: its section of a recipe, its function, its libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.core.stanza import Strict, tag_of
from pipelines.corpora.cleaning.outcome import Outcome


class StepOptions(Strict):
    """The section of one step in a recipe; the fields beside its name are its options."""

    step: str


@dataclass(frozen=True)
class Step:
    """One entry of the catalogue of cleaning steps.

    ``make`` takes a section of the class ``options`` and gives the step's function. The function
    takes only the text, so it may run on many texts in parallel. If the step ``remembers`` earlier
    documents, the function takes the document, and it receives the documents of a corpus in their
    order. ``libraries`` are the distributions whose versions decide its results.
    """

    options: type[StepOptions]
    make: Callable[[Any], Callable[[Any], Outcome]]
    remembers: bool = False
    libraries: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the step in a recipe."""
        return tag_of(self.options, "step")

    def of(self, **options: Any) -> Callable[[Any], Outcome]:
        """The step's function with some options; the others have their defaults."""
        return self.make(self.options(step=self.name, **options))
