"""A recipe: every decision behind one foundation model and its tasks.

A recipe has no paths of the store, devices or ports. All its values decide a result, except those
that say so: who owns its assets, their tags, and the schedule.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from model.architectures import catalogue
from pipelines.attention_ladder.options import AttentionLadder
from pipelines.core.stanza import Name, Strict
from pipelines.corpora.decontamination import Decontamination
from pipelines.corpora.options import Corpus
from pipelines.corpora.permission import Permission
from pipelines.corpora.splits import Split
from pipelines.evaluation.suites import sections as suite_sections
from pipelines.interop import kinds
from pipelines.recipe.ownership import Owner, Tags, Timezone
from pipelines.recipe.points import FaultyPoint, own_values, with_point
from pipelines.sweeps.options import Sweep, comparison_steps
from pipelines.tasks import sections
from pipelines.tasks.options import TaskOptions
from pipelines.tokens.options import TokenizerChoice
from pipelines.training.networks import architectures_for
from pipelines.training.options import Pretraining
from pipelines.word_vectors.options import VectorsChoice

_TAKEN = {
    "tokenizer": "section from brings its own tokenizer; leave this section out",
    "training": "section from brings trained weights; leave this section out, and train them"
    " further in a task of kind domain",
}


class Recipe(Strict):
    """One foundation model and its tasks."""

    name: Name
    description: str
    seed: Annotated[int, Field(ge=0, lt=2**31, strict=True)]
    corpora: Annotated[dict[Name, Corpus], Field(min_length=1)]
    tokenizer: TokenizerChoice | None = None
    """Leave it out if ``from`` brings a tokenizer."""
    decontamination: Decontamination | None = None
    licences: Permission | None = None
    """The licences that training texts may have; without it all are used."""
    model: architectures_for("next_token", "masked_token") | None = None  # type: ignore[valid-type]
    """A new network with random weights."""
    weights: Annotated[kinds.sections() | None, Field(alias="from")] = None  # type: ignore[valid-type]
    """A network that others trained, with its tokenizer."""
    training: Pretraining | None = None
    """Leave it out if ``from`` brings trained weights."""
    timezone: Timezone = "UTC"
    """The time zone of the weekly retraining, such as Europe/Berlin; it decides no result."""
    retrain: Literal["weekly", "never"] = "weekly"
    """weekly: Dagster has a schedule for it, switched off until a person switches it on; it decides
    no result."""
    owner: Owner | None = None
    """Who answers for its assets: an e-mail address, or a team such as team:data; it decides no
    result."""
    tags: Tags = Field(default={})
    """Tags of its assets on Dagster's pages, such as {stage: trial}; they decide no result."""
    samples: tuple[str, ...] = ()
    """Prompts that the evaluation continues."""
    word_vectors: dict[Name, VectorsChoice] = Field(default={})
    """Word vectors, by corpus."""
    attention_ladder: AttentionLadder | None = None
    sweep: Sweep | None = None
    """The training of the foundation again, with several values of its settings."""
    tasks: dict[Name, sections()] = Field(default={})  # type: ignore[valid-type]
    suites: dict[Name, suite_sections()] = Field(default={})  # type: ignore[valid-type]
    """Evaluation sets: the foundation and each assistant is asked every item."""
    _points: dict[str, Recipe] = PrivateAttr(default_factory=dict)
    _own: dict[str, JsonValue] = PrivateAttr(default_factory=dict)

    @field_validator("training")
    @classmethod
    def _with_rates(
        cls, training: Pretraining | None, others: ValidationInfo
    ) -> Pretraining | None:
        model = others.data.get("model")
        if not model or not training:
            return training
        training.require_branch(str(others.data.get("name")), model.config(vocab_size=50_304))
        return training.resolved(tied=model.tied, trained=False)

    @field_validator("tasks")
    @classmethod
    def _with_what_others_decide(
        cls, tasks: dict[str, TaskOptions], others: ValidationInfo
    ) -> dict[str, TaskOptions]:
        if "model" not in others.data:  # the section model has a fault of its own
            return tasks
        model = others.data["model"]
        # Foreign weights are as narrow as a tied embedding, tied or not.
        tied = model is None or model.tied
        corpora: dict[str, Corpus] = others.data.get("corpora", {})
        resolved = {}
        for name, task in tasks.items():
            known = corpora.get(task.corpus)  # None: ``_reads_what_there_is`` says so
            try:
                resolved[name] = task.with_rates(tied=tied)
                if known is not None:
                    resolved[name] = resolved[name].learning_from(known.source)
            except ValueError as error:
                raise ValueError(f"{name}.{error}") from None
        return resolved

    @model_validator(mode="after")
    def _is_drawn_or_taken(self) -> Recipe:
        if (self.model is None) == (self.weights is None):
            raise ValueError(
                "give one of the sections model (a new network) and from (a trained network)"
            )
        for section in ("tokenizer", "training"):
            is_given = getattr(self, section) is not None
            if self.model is not None and not is_given:
                raise ValueError(f"{section}: missing; a new network needs this section")
            if self.weights is not None and is_given:
                raise ValueError(f"{section}: {_TAKEN[section]}")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _with_points(cls, content: Any, check: ModelWrapValidatorHandler[Recipe]) -> Recipe:
        """Check each point of the sweep as a recipe of its own."""
        recipe = check(content)
        if recipe.sweep is None or not isinstance(content, dict):
            return recipe
        if recipe.model is None:
            raise ValueError(
                "sweep: section from brings trained weights, and a sweep trains a new network;"
                " leave this section out"
            )
        for point in recipe.sweep.spread():
            try:
                checked = cls.model_validate(with_point(content, recipe.sweep, point))
                recipe._points[point.name] = checked._as_point_of(recipe, recipe.sweep)
            except ValidationError as error:
                raise FaultyPoint(point, error) from None
            except ValueError as error:
                raise ValueError(f"sweep.{error}") from None
        recipe._own.update(own_values(content, recipe.sweep))
        return recipe

    def _as_point_of(self, recipe: Recipe, sweep: Sweep) -> Recipe:
        """Itself. Raises ValueError if it cannot be compared with the other points."""
        assert self.model is not None  # else its recipe has no sweep
        assert self.training is not None
        if self.mixture().keys() != recipe.mixture().keys():
            raise ValueError(
                "points: a weight of 0 takes a corpus away, or brings one; keep the weights of each"
                " point above 0 where the recipe's are"
            )
        if self.training.keep is not None:
            raise ValueError("points: a sweep keeps no states; leave training.keep out")
        if self.training.patience is not None:
            raise ValueError(
                "points: all points have an equal budget, and patience may end one before that;"
                " leave training.patience out"
            )
        if sweep.stop is not None and self.training.branch is not None:
            raise ValueError(
                "stop: points that begin at a state of another training are trained to their end;"
                " leave stop out, or training.from"
            )
        if sweep.stop is not None and self.training.processes > 1:
            raise ValueError(
                "stop: points of several processes are trained to their end; leave stop out, or set"
                " training.processes: 1"
            )
        length = getattr(self.model.config(vocab_size=50_304), "context_length", 0)
        if sweep.stop is not None and not comparison_steps(self.training, length, sweep.stop):
            raise ValueError(
                f"stop: a point of {self.training.steps_for(length):,} steps validates every"
                f" {self.training.validate_every:,}, so it cannot be compared before its end; lower"
                " training.validate_every, or leave stop out"
            )
        return self

    @property
    def points(self) -> dict[str, Recipe]:
        """The recipe of each point of the sweep, by the point's name."""
        return self._points

    @property
    def own(self) -> dict[str, JsonValue]:
        """The values that the recipe itself writes for the settings that its sweep varies."""
        return self._own

    @model_validator(mode="after")
    def _tasks_have_a_foundation(self) -> Recipe:
        named = self.model.architecture if self.model is not None else None
        for section in ("tasks", "suites"):
            fits = not named or catalogue()[named].objective == "next_token"
            if getattr(self, section) and not fits:
                raise ValueError(
                    f"{section} need a network that predicts the next token, and {named} does not;"
                    " choose an architecture such as gpt"
                )
        return self

    @model_validator(mode="after")
    def _hangs_together(self) -> Recipe:
        if not self.mixture():
            raise ValueError(
                "no corpus has a weight above 0, so there is nothing to pretrain on; give one a"
                " weight"
            )
        for split in ("validation", "test"):
            if not any(self.corpora[name].split.has(split) for name in self.mixture()):
                raise ValueError(
                    f"no corpus with a weight above 0 has a {split} split; raise the share of one"
                )
        for name in self.decontamination.against if self.decontamination else ():
            if name not in self.corpora or self.corpora[name].weight:
                raise ValueError(
                    f"decontamination.against: {name} is not a corpus of weight 0; an evaluation"
                    " set must not be trained on"
                )
        return self

    @model_validator(mode="after")
    def _reads_what_there_is(self) -> Recipe:
        readers = {f"tasks.{name}.corpus": task.corpus for name, task in self.tasks.items()}
        readers |= {f"word_vectors.{name}": name for name in self.word_vectors}
        for reader, corpus in readers.items():
            if corpus not in self.corpora:
                known = ", ".join(self.corpora)
                raise ValueError(f"{reader}: {corpus} is not a corpus; known here: {known}")
            needed = self._needed(reader)
            for split in needed:
                if not self.corpora[corpus].split.has(split):
                    raise ValueError(
                        f"corpora.{corpus}.split.{split}: {reader} needs documents of this split,"
                        " and its share is 0; raise the share"
                    )
        return self

    def _needed(self, reader: str) -> tuple[Split, ...]:
        """The held-out splits of its corpus that a task or word vectors need.

        Raises ValueError for a task that divides the texts of a foundation anew.
        """
        kind, name, *_ = reader.split(".")
        if kind != "tasks":
            return ("validation",)
        task = self.tasks[name]
        if getattr(task, "stratified", None) is None:
            return ("validation", "test")
        if self.corpora[task.corpus].weight:
            raise ValueError(
                f"tasks.{name}.stratified: the foundation is trained on {task.corpus}, so its texts"
                " have to stay in their splits; set the corpus' weight: 0, or leave it out"
            )
        return ()

    @model_validator(mode="after")
    def _tasks_begin_from_assistants(self) -> Recipe:
        assistants = [name for name, task in self.tasks.items() if task.kind == "assistant"]
        for name, task in self.tasks.items():
            if task.begins_from not in (None, *assistants):
                known = ", ".join(assistants) or "none"
                raise ValueError(
                    f"tasks.{name}.of: {task.begins_from} is not an assistant task of this recipe;"
                    f" known here: {known}"
                )
        return self

    @model_validator(mode="after")
    def _samples_have_a_blank(self) -> Recipe:
        fills = catalogue()[self.architecture].objective == "masked_token"
        for number, text in enumerate(self.samples if fills else ()):
            if "___" not in text:
                raise ValueError(f"samples.{number}: has no ___; write one where a word is hidden")
        return self

    def mixture(self) -> dict[str, float]:
        """The weights of the pretraining corpora, by name."""
        return {name: c.weight for name, c in sorted(self.corpora.items()) if c.weight > 0}

    def epochs(self) -> dict[str, float]:
        """The most often that each corpus may be repeated; only corpora with a limit."""
        limits = {name: self.corpora[name].epochs for name in self.mixture()}
        return {name: limit for name, limit in limits.items() if limit is not None}

    @property
    def architecture(self) -> str:
        """The architecture of the foundation; weights from elsewhere are a gpt."""
        return str(self.model.architecture) if self.model else "gpt"

    @property
    def tokenizer_kind(self) -> str:
        """The kind of the tokenizer; a tokenizer that came with foreign weights is a file."""
        return self.tokenizer.kind if self.tokenizer else "file"


def json_schema() -> dict[str, Any]:
    """The JSON Schema that editors check a recipe against."""
    schema = Recipe.model_json_schema()
    del schema["properties"]["name"]
    schema["required"].remove("name")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
