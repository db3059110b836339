"""How documents become clean ones: a list of steps, taken in the order written, and the splits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pipelines.core.stanza import Strict
from pipelines.corpora.cleaning.steps import catalogue, sections
from pipelines.corpora.splitting import Splitting

DEFAULT = tuple(catalogue()[name].options(step=name) for name in ("normalise", "duplicates"))


class Cleaning(Strict):
    """How documents become clean ones in three splits."""

    cleaning: Annotated[tuple[sections(), ...], Field(min_length=1)] = DEFAULT  # type: ignore[valid-type]
    """Steps in the order in which they are taken."""
    split: Splitting = Splitting()
