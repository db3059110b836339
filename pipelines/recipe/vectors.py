"""Word vectors of a corpus, and the ladder of attention: what is trained beside the recipes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipelines.recipe.base import Positive, Share, Strict, Whole
from pipelines.recipe.models import architectures_for
from pipelines.recipe.training import Training

Words = Annotated[tuple[str, ...], Field(min_length=2)]


def _with_rates(training: Training) -> Training:
    return training.resolved(tied=False, trained=False)


Drawn = Annotated[Training, AfterValidator(_with_rates)]
"""The training of a network that is drawn anew and whose head is its own."""


class VectorsChoice(Strict):
    """How the words of a corpus' training documents become vectors."""

    model: architectures_for("negative_sampling")  # type: ignore[valid-type]
    min_count: Positive = 5
    """Rarer words have no vector."""
    subsample: Annotated[Share, Field(gt=0)] = 1e-3
    """Words that are a larger share of the text than this are left out now and then."""
    groups: Annotated[dict[str, Words], Field(min_length=2)]
    """Words by what they have in common: they are to lie together, and are coloured so."""
    probes: tuple[str, ...] = ()
    """Words whose neighbours are shown; the first of each group if none are given."""
    neighbours: Positive = 8
    """How many of them."""
    seed: Annotated[Whole, Field(lt=2**31)] = 0
    training: Drawn
    """``batch_size``: words of the text a step, of which frequent ones are left out."""

    @field_validator("groups")
    @classmethod
    def _each_in_one(cls, groups: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        seen: dict[str, str] = {}
        for group, words in groups.items():
            for word in words:
                if word in seen:
                    raise ValueError(f"{word!r} is in {seen[word]!r} and {group!r}: take one out")
                if word != word.lower():
                    raise ValueError(f"{word!r} in {group!r}: write it in lower case")
                seen[word] = group
        return groups

    def shown(self) -> tuple[str, ...]:
        """The words whose neighbours are shown."""
        return self.probes or tuple(words[0] for words in self.groups.values())

    def decides(self) -> dict[str, Any]:
        """What decides the vectors; what is shown of them decides the evaluation."""
        return {
            "model": self.model.decides(),
            "min_count": self.min_count,
            "subsample": self.subsample,
            "seed": self.seed,
            "training": self.training.decides(),
        }

    def evaluation_decides(self) -> dict[str, Any]:
        """What is asked of the vectors."""
        return self.model_dump(mode="json", include={"groups", "probes", "neighbours"})


class AttentionLadder(Strict):
    """The same small GPT trained on each rung of the attention ladder."""

    d_model: Positive = 64
    n_layers: Positive = 2
    n_heads: Positive = 4
    n_kv_heads: Positive = 2
    """Of the grouped-query rung."""
    context_length: Positive = 64
    prompt: str = ""
    """A text whose attention is drawn, and which each rung continues."""
    training: Drawn

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> AttentionLadder:
        for whole, part in (("d_model", "n_heads"), ("n_heads", "n_kv_heads")):
            shared, among = getattr(self, whole), getattr(self, part)
            if shared % among:
                raise ValueError(f"{part}: {whole}={shared} is no multiple of {among}; change one")
        return self
