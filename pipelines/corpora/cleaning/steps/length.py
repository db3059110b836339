"""The limits for the length of a text."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Literal

from pydantic import model_validator

from pipelines.core.stanza import Positive
from pipelines.corpora.cleaning.outcome import Clean, Measure, judged
from pipelines.corpora.cleaning.step import Step, StepOptions


class Length(StepOptions):
    """Drop text that is too short or too long."""

    step: Literal["length"]
    min_characters: Positive = 1
    max_characters: Positive | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Length:
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise ValueError(
                f"max_characters={self.max_characters} is below min_characters="
                f"{self.min_characters}, so no document would stay; correct one of them"
            )
        return self


def length(options: Length) -> Clean:
    """Drop text with fewer or more characters (code points): reasons ``short``, ``long``."""
    least, most = options.min_characters, options.max_characters or inf

    def measures(text: str) -> Iterator[Measure]:
        yield Measure("short", "characters", len(text), least=least)
        yield Measure("long", "characters", len(text), most=most)

    return lambda text: judged(text, measures(text))


STEP = Step(Length, length)
