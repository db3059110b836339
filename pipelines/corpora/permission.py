"""The section of a recipe that says which licences its training texts may have."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from pipelines.core.stanza import Strict


def _known(pattern: str) -> str:
    # Here, because a recipe without the section needs no list of licences.
    from pipelines.text.spdx import canonical_pattern

    return canonical_pattern(pattern)


Pattern = Annotated[str, AfterValidator(_known)]


class Permission(Strict):
    """The licences that training texts may have; a text with another one stops the run before any
    training.

    An entry is an SPDX identifier (``CC-BY-SA-4.0``), a pattern (``CC-BY-NC-*``), a name of your
    own (``LicenseRef-mine``), or ``unknown`` for what is not said or not known.
    """

    refuse: tuple[Pattern, ...] = ()
    """A text with one of these is refused, unless its licence is a choice (OR) with another way."""
    allow: tuple[Pattern, ...] = ()
    """If it is given, every other licence is refused."""


class Surveyed(Permission):
    """The settings of the survey: what a recipe permits, and the licence of weights it takes."""

    weights: str | None = None
