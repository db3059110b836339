"""The declaration of a kind of evaluation set: its section of a recipe, and how its rows are read.

Every kind turns the rows of a source into items of one form (pipelines/evaluation/items.py), so the
items, their overlaps with training text, and the scores are each written once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SerializeAsAny, model_validator

from pipelines.core.stanza import Strict, one_of, tag_of
from pipelines.corpora.sources.kind import SourceOptions
from pipelines.corpora.sources.kinds import catalogue as sources
from pipelines.corpora.sources.options import WHOLE, Fields, Records
from pipelines.corpora.sources.records import BadRow, value_of
from pipelines.evaluation.items import Item
from pipelines.evaluation.options import Asking


def row_sources() -> Any:
    """The union of the sections of the sources whose rows an evaluation set can be read from."""
    kinds = (kind.options for kind in sources().values())
    return one_of((options for options in kinds if issubclass(options, Records)), "kind")


class ItemsTaken(Strict):
    """Settings of the items of an evaluation set; they decide the items together with the source.

    ``fields`` is the section of the kind, or None if a kind has none.
    """

    kind: str
    source: SerializeAsAny[SourceOptions]
    fields: SerializeAsAny[Strict] | None = None

    def decides(self) -> dict[str, Any]:
        """The section; of the source what its kind says."""
        fields = None if self.fields is None else self.fields.decides()
        return {"kind": self.kind, "source": self.source.decides(), "fields": fields}


class SuiteOptions(Strict):
    """An evaluation set: what kind it is, and where its rows are."""

    kind: str
    source: row_sources()  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _maps_its_own_fields(self) -> SuiteOptions:
        if self.rows and self.source.fields != Fields():
            raise ValueError(
                "source.fields: this kind of set maps its fields itself; write `fields` beside"
                " `source`"
            )
        return self

    @property
    def rows(self) -> bool:
        """Whether an item is made of a whole row, and not of one text."""
        return "fields" in type(self).model_fields

    def taken(self) -> ItemsTaken:
        """The settings of its items."""
        source = self.source
        if self.rows:
            source = source.model_copy(update={"fields": Fields(text=WHOLE)})
        return ItemsTaken(kind=self.kind, source=source, fields=getattr(self, "fields", None))

    def asking(self) -> Asking:
        """How a model is asked: the part of the section that decides the figures."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One entry of the catalogue of evaluation sets.

    ``options`` is the class of its section of a recipe. ``item(id, row, fields)`` makes an item of
    a row of the source with the section's fields, and raises BadRow for a row that is none; a kind
    without fields gets the row ``{"text": ...}``. ``making`` names the function that evaluates a
    model on such items, ``observe`` what it observes outside the recipe.
    """

    options: type[SuiteOptions]
    item: Callable[[str, Mapping[str, Any], Any], Item]
    making: str
    observe: str | None = None

    @property
    def name(self) -> str:
        """The name of the kind in a recipe."""
        return tag_of(self.options, "kind")


def texts_in(row: Mapping[str, Any], path: str) -> list[str]:
    """The list of texts in a field. Raises BadRow if it is none."""
    value = value_of(row, path)
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise BadRow(f"field {path!r} is no list of texts")
    return list(value)


def place_in(
    row: Mapping[str, Any], path: str, choices: Sequence[str], names: Sequence[str]
) -> int:
    """The number of the right choice, from 0, in a field that has its number, name or text.

    Raises BadRow if there is no such choice.
    """
    value = value_of(row, path)
    for known in (names, choices):
        if isinstance(value, str) and value in known:
            return known.index(value)
    if isinstance(value, str) and value.isdecimal() and not names:
        value = int(value)
    if type(value) is not int or not 0 <= value < len(choices):
        told = f"none of {', '.join(names)}" if names else f"no number from 0 to {len(choices) - 1}"
        raise BadRow(f"field {path!r} is {value!r:.40}, {told}")
    return value
