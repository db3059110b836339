"""The base class and the value types of every section of a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from pipelines.core.identity import RESERVED

NAME = r"^[a-z][a-z0-9_]{0,62}$"


def _unreserved(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name!r} is a reserved name of the store; choose another name")
    return name


Name = Annotated[str, Field(pattern=NAME), AfterValidator(_unreserved)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0, strict=True)]  # strict: `steps: yes` is not one step
Whole = Annotated[int, Field(ge=0, strict=True)]
Outside = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=0.5)]


DERIVATION = "derivation"
"""The context in which a section is written for a derivation."""

Section = TypeVar("Section", bound="Strict")


class RecipeError(ValueError):
    """A recipe cannot be used. The message names file, line, field and mend, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))  # a quoted value may have several lines


class Strict(BaseModel):
    """A frozen section of a recipe that refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,  # JSON has neither value, so a derivation cannot hold them
    )

    WRITTEN_ALONE: ClassVar[bool] = False
    """If true, only the written fields enter a derivation; its code fingerprint covers defaults."""

    def decides(self) -> dict[str, Any]:
        """The section as a JSON value for a derivation."""
        return self.model_dump(mode="json", context=DERIVATION)

    def decides_nothing(self) -> frozenset[str]:
        """The fields that no result follows from; they are not in a derivation."""
        return frozenset()

    def written(self) -> dict[str, Any]:
        """What was written of the section, for ``model_validate``; it can be stored as JSON."""
        return self.model_dump(exclude_unset=True, by_alias=True)

    def part(self, kind: type[Section], **more: Any) -> Section:
        """A section of class ``kind`` with the fields that both classes have, and ``more``."""
        shared = kind.model_fields.keys() & type(self).model_fields.keys()
        return kind(**{name: getattr(self, name) for name in shared}, **more)

    @model_serializer(mode="wrap")
    def _keep_order(
        self, serialize: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """Write mappings as lists of pairs in JSON, because canonical JSON sorts the keys.

        The order of keys may decide a result: the first glob that matches wins. So a reordered
        mapping gives another derivation and never a wrong reuse.
        """
        content: dict[str, Any] = serialize(self)
        if info.mode == "json":
            if self.WRITTEN_ALONE:
                content = {k: v for k, v in content.items() if k in self.model_fields_set}
            for name, value in self:
                if isinstance(value, Mapping) and name in content:
                    content[name] = [list(pair) for pair in content[name].items()]
        if info.context is DERIVATION:
            content = {k: v for k, v in content.items() if k not in self.decides_nothing()}
        return content


def tag_of(section: type[Strict], field: str) -> str:
    """The only value of a section's tag field, such as ``gutenberg`` for the field ``step``."""
    (word,) = get_args(section.model_fields[field].annotation)
    return str(word)


def one_of(sections: Iterable[type[Strict]], field: str) -> Any:
    """The union of some sections, discriminated by the value of ``field``."""
    return Annotated[Union[tuple(sections)], Field(discriminator=field)]  # noqa: UP007
