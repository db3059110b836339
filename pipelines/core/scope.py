"""What a declaration may know of the recipe that it stands in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A recipe's name and what its assets share, no more: a making never sees a whole recipe.

    ``mixture`` are the corpora that are pretrained on, with their weights; ``epochs`` how often
    each may be gone through at most; ``samples`` the prompts that evaluations continue; ``drops``:
    what shares words with held-out text is not learned from.
    """

    recipe: str
    seed: int
    architecture: str
    tokenizer_kind: str
    mixture: Mapping[str, float]
    epochs: Mapping[str, float]
    samples: tuple[str, ...]
    drops: bool

    def key(self, name: str) -> str:
        """The key of an asset of this recipe."""
        return f"{self.recipe}/{name}"

    @property
    def tokenizer(self) -> str:
        """The key of its tokenizer."""
        return self.key("tokenizer")

    @property
    def token_shards(self) -> str:
        """The key of what its foundation is trained on."""
        return self.key("token_shards")

    @property
    def foundation(self) -> str:
        """The key of its foundation."""
        return self.key("foundation")

    @property
    def documents(self) -> dict[str, str]:
        """The keys of the documents that are pretrained on, by corpus."""
        return {corpus: f"{corpus}/documents" for corpus in self.mixture}

    @property
    def contamination(self) -> dict[str, str]:
        """The input ``contamination`` of whatever must not learn from what is left out."""
        return {"all": self.key("contamination")} if self.drops else {}

    def under(self, corpus: str, task: str) -> dict[str, str]:
        """What every model reads that a task fine-tunes on examples of a corpus."""
        return {
            "foundation": self.foundation,
            "tokenizer": self.tokenizer,
            "examples": f"{corpus}/{task}_examples",
        }
