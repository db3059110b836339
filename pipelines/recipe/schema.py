"""A recipe: every decision behind one foundation model and its tasks.

Values here are literals that decide a result; paths of the store, devices and ports are not.
Imports no torch: an architecture's options come from its config dataclass, whose module stays free
of torch on purpose.
"""

from __future__ import annotations

import typing
from typing import Annotated, Any, Literal, Self

from pydantic import Field, create_model, model_validator

from model.architectures import catalogue
from pipelines.recipe.base import Name, Strict
from pipelines.recipe.corpora import Corpus, Decontamination
from pipelines.recipe.tasks import Task
from pipelines.recipe.tokens import TokenizerChoice
from pipelines.recipe.training import Pretraining


class ModelChoice(Strict):
    """An architecture with those of its options that are written."""

    architecture: str

    @model_validator(mode="after")
    def _is_a_network(self) -> Self:
        self.config(vocab_size=50_304)
        return self

    def config(self, vocab_size: int) -> Any:
        """The architecture's config: its preset, overridden by the options that are written."""
        architecture = catalogue()[self.architecture]
        written = self.model_dump(include=self.model_fields_set)
        written.pop("architecture")
        preset = written.pop("preset", None) or next(iter(architecture.presets), None)
        return architecture.configure(preset, **written, vocab_size=vocab_size)


def _architecture_sections() -> Any:
    """One strict section per architecture, its options read off the config dataclass."""
    sections = []
    for name, architecture in catalogue().items():
        hints = typing.get_type_hints(architecture.config)
        hints.pop("vocab_size")  # the tokenizer decides it
        options: dict[str, Any] = {key: (hint | None, None) for key, hint in hints.items()}
        options["architecture"] = (Literal[name], ...)
        if architecture.presets:
            options["preset"] = (Literal[tuple(architecture.presets)] | None, None)
        sections.append(create_model(f"{name.title()}Model", __base__=ModelChoice, **options))
    if len(sections) == 1:
        return sections[0]
    return Annotated[typing.Union[tuple(sections)], Field(discriminator="architecture")]  # noqa: UP007


class Recipe(Strict):
    """One foundation run and what hangs under it."""

    name: Name
    description: str
    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)]
    corpora: Annotated[dict[Name, Corpus], Field(min_length=1)]
    tokenizer: TokenizerChoice
    decontamination: Decontamination | None = None
    model: _architecture_sections()  # type: ignore[valid-type]
    training: Pretraining
    samples: tuple[str, ...] = ()
    """Prompts that the evaluation continues."""
    tasks: dict[Name, Task] = Field(default={})

    @model_validator(mode="after")
    def _hangs_together(self) -> Recipe:
        if not self.mixture():
            raise ValueError("no corpus has a weight above 0: nothing to pretrain on")
        for split in ("validation", "test"):
            if not any(getattr(self.corpora[name].split, split) for name in self.mixture()):
                raise ValueError(
                    f"no corpus that is pretrained on holds out a {split} split; raise its share"
                )
        for name, task in self.tasks.items():
            if task.corpus not in self.corpora:
                known = ", ".join(self.corpora)
                raise ValueError(f"task {name} reads corpus={task.corpus}, not one of {known}")
        for name in self.decontamination.against if self.decontamination else ():
            if name not in self.corpora or self.corpora[name].weight:
                raise ValueError(
                    f"decontamination.against: {name} is not a corpus of weight 0; an evaluation"
                    " set must not be trained on"
                )
        return self

    def mixture(self) -> dict[str, float]:
        """The corpora that are pretrained on, by name, with their weights."""
        return {name: c.weight for name, c in sorted(self.corpora.items()) if c.weight > 0}

    def epochs(self) -> dict[str, float]:
        """How often each corpus may be gone through at most, where that is limited."""
        limits = {name: self.corpora[name].epochs for name in self.mixture()}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def network_config(self, vocab_size: int) -> Any:
        """The network's config under a tokenizer of so many tokens."""
        return self.model.config(vocab_size)

    def model_decides(self) -> dict[str, Any]:
        """The architecture section as written: presets are code, which has its own fingerprint."""
        return self.model.model_dump(mode="json", include=self.model.model_fields_set)
