"""Options of word vectors."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from pipelines.core.stanza import Positive, Share, Strict, Whole
from pipelines.training.networks import architectures_for
from pipelines.training.options import Drawn

Words = Annotated[tuple[str, ...], Field(min_length=2)]


class Learned(Strict):
    """Options that decide the vectors."""

    model: architectures_for("negative_sampling")  # type: ignore[valid-type]
    min_count: Positive = 5
    """Words that occur less often have no vector."""
    subsample: Annotated[Share, Field(gt=0)] = 1e-3
    """Words with a larger share of the text than this are left out at random."""
    seed: Annotated[Whole, Field(lt=2**31)] = 0
    training: Drawn
    """``batch_size`` counts words of the text, before frequent words are left out."""


class Asked(Strict):
    """Options of the evaluation of the vectors."""

    groups: Annotated[dict[str, Words], Field(min_length=2)]
    """Words by group: words of a group should lie together; the map colours them by group."""
    probes: tuple[str, ...] = ()
    """Words whose neighbours are shown; if empty, the first word of each group."""
    neighbours: Positive = 8
    """How many neighbours of each probe are shown."""

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


class VectorsChoice(Learned, Asked):
    """Vectors of the words in the training documents of a corpus, and their evaluation."""
