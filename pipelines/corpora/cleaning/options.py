"""The section for the cleaning of documents: a list of steps in their order, and the splits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.core.stanza import Strict
from pipelines.corpora.cleaning.steps import catalogue, sections
from pipelines.corpora.splitting import Splitting

DEFAULT = tuple(catalogue()[name].options(step=name) for name in ("normalise", "duplicates"))


class Cleaning(Strict):
    """The cleaning of documents, and their division into three splits."""

    cleaning: Annotated[tuple[sections(), ...], Field(min_length=1)] = DEFAULT  # type: ignore[valid-type]
    """The steps, in the order of their application."""
    split: Splitting = Splitting()
