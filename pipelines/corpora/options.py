"""The section of a corpus: its source, the cleaning of its documents, its held-out shares."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipelines.core.stanza import Strict
from pipelines.corpora.cleaning.options import Cleaning
from pipelines.corpora.sources.kinds import sections

FORGOTTEN = "forgotten"
"""The folder of a project with the lists of documents that were taken back, one for each corpus."""


class Corpus(Cleaning):
    """The source of the text, and how the text becomes documents."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Its share of the pretraining batches; 0 when only tasks read it."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """The most passes of pretraining over the corpus; the other corpora then take its share."""
    forget: str | None = None
    """A list of documents that were taken back, as ``dragon forget`` writes it, inside the project.
    Default: ``forgotten/<corpus>.json`` if that file is there."""
    source: sections()  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _epochs_of_what_is_drawn(self) -> Corpus:
        if self.epochs is not None and not self.weight:
            raise ValueError(
                "epochs limits pretraining, but weight: 0 excludes the corpus; remove one of them"
            )
        return self


class ForgottenList(Strict):
    """Where the list lies, relative to the project; its content decides, and its place does not."""

    path: str

    def decides_nothing(self) -> frozenset[str]:
        """The place of the list."""
        return frozenset({"path"})
