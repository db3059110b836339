"""What a cleaning step is: its section of a recipe, its function, what else decides its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.core.stanza import Strict, tag_of
from pipelines.corpora.cleaning.outcome import Outcome


class StepOptions(Strict):
    """The section of one step; the fields beside its name are its options."""

    step: str


@dataclass(frozen=True)
class Step:
    """One entry of the catalogue of cleaning steps.

    ``make`` takes a section of the class ``options`` and gives the step's function. That is a
    function of the text alone, so it may run on many texts side by side; where the step
    ``remembers`` earlier documents, it is a function of the document, and it is given the
    documents of a corpus in their order. ``libraries`` are the distributions whose versions decide
    what it answers.
    """

    options: type[StepOptions]
    make: Callable[[Any], Callable[[Any], Outcome]]
    remembers: bool = False
    libraries: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What a recipe calls the step."""
        return tag_of(self.options, "step")

    def of(self, **options: Any) -> Callable[[Any], Outcome]:
        """Its function with some options; the others are as by default."""
        return self.make(self.options(step=self.name, **options))
