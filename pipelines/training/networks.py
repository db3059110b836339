"""The choice of an architecture in a recipe; its options are the fields of its config dataclass.

This imports no torch, since an architecture's declaration imports none.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, create_model, model_validator

from model.architectures import catalogue
from pipelines.core.stanza import Strict


class ModelChoice(Strict):
    """An architecture and the options that the recipe writes."""

    WRITTEN_ALONE: ClassVar[bool] = True

    architecture: str

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_architecture(
        cls, written: Any, validate: ModelWrapValidatorHandler[Self]
    ) -> ModelChoice:
        """Read what names this base class as the section of its architecture.

        So the settings of a making, which name the base class, can be written down and read again.
        """
        if cls is ModelChoice and isinstance(written, Mapping):
            known = catalogue()
            if (name := written.get("architecture")) in known:
                return _section(str(name)).model_validate(written)
        return validate(written)

    @model_validator(mode="after")
    def _is_a_network(self) -> Self:
        self.config(vocab_size=50_304)
        return self

    def config(self, vocab_size: int) -> Any:
        """The architecture's config: its preset, overridden by the recipe's own options."""
        architecture = catalogue()[self.architecture]
        written = self.model_dump(include=self.model_fields_set)
        written.pop("architecture")
        preset = written.pop("preset", None) or next(iter(architecture.presets), None)
        return architecture.configure(preset, **written, vocab_size=vocab_size)

    @property
    def tied(self) -> bool:
        """Whether the head is tied to the embedding."""
        return bool(getattr(self.config(vocab_size=50_304), "tied_head", False))


def architectures_for(*objectives: str) -> Any:
    """One strict section for each architecture whose objective is among ``objectives``."""
    sections = [
        _section(name)
        for name, architecture in catalogue().items()
        if architecture.objective in objectives
    ]
    if not sections:
        return ModelChoice
    if len(sections) == 1:
        return sections[0]
    return Annotated[typing.Union[tuple(sections)], Field(discriminator="architecture")]  # noqa: UP007


@functools.cache
def _section(name: str) -> type[ModelChoice]:
    """The strict section of one architecture."""
    architecture = catalogue()[name]
    hints = typing.get_type_hints(architecture.config)
    hints.pop("vocab_size")  # the tokenizer decides it
    options: dict[str, Any] = {key: (hint | None, None) for key, hint in hints.items()}
    options["architecture"] = (Literal[name], ...)
    if architecture.presets:
        options["preset"] = (Literal[tuple(architecture.presets)] | None, None)
    title = "".join(part.title() for part in name.split("_"))
    return create_model(f"{title}Model", __base__=ModelChoice, **options)
