"""The facts about a recipe that its declarations may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A recipe's name and what its assets share. A making function never sees a whole recipe.

    ``mixture`` has the weights of the pretraining corpora. ``epochs`` is the most often that each
    corpus may be repeated. ``samples`` are the prompts that evaluations continue. ``drops`` says
    whether documents that share words with held-out text are left out of training, ``permits``
    whether the recipe says which licences they may have.
    """

    recipe: str
    seed: int
    architecture: str
    tokenizer_kind: str
    mixture: Mapping[str, float]
    epochs: Mapping[str, float]
    samples: tuple[str, ...]
    drops: bool
    permits: bool = False

    def key(self, name: str) -> str:
        """The key of an asset of this recipe."""
        return f"{self.recipe}/{name}"

    @property
    def tokenizer(self) -> str:
        """The key of the recipe's tokenizer."""
        return self.key("tokenizer")

    @property
    def token_shards(self) -> str:
        """The key of the token shards that the foundation is trained on."""
        return self.key("token_shards")

    @property
    def foundation(self) -> str:
        """The key of the recipe's foundation."""
        return self.key("foundation")

    @property
    def documents(self) -> dict[str, str]:
        """The keys of the pretraining documents, by corpus."""
        return {corpus: f"{corpus}/documents" for corpus in self.mixture}

    @property
    def contamination(self) -> dict[str, str]:
        """The input ``contamination`` of each asset that must leave out contaminated documents."""
        return {"all": self.key("contamination")} if self.drops else {}

    @property
    def licences(self) -> dict[str, str]:
        """The input ``licences`` of the tokenizer, and so of all that is trained after it."""
        return {"all": self.key("licences")} if self.permits else {}

    def under(self, corpus: str, task: str) -> dict[str, str]:
        """The inputs of each model that a task fine-tunes on the examples of a corpus."""
        return {
            "foundation": self.foundation,
            "tokenizer": self.tokenizer,
            "examples": f"{corpus}/{task}_examples",
        }
