"""The assets of a recipe as a report sees them: artefacts, names in words, settings, readers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from pipelines.core.artefact import Artefact
from pipelines.corpora.artefacts import Contamination, Documents
from pipelines.examples.artefacts import Examples
from pipelines.report import words
from pipelines.report.options import Page
from pipelines.tokens.artefacts import TokenShards
from pipelines.training.artefacts import Checkpoint, KeptStates

View = TypeVar("View", bound=Artefact)


@dataclass(frozen=True)
class Chain:
    """The artefacts of a recipe by title, each after its inputs, and the report's settings."""

    page: Page
    artefacts: Mapping[str, Artefact]

    @cached_property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """The titles of each asset's inputs."""
        return self.page.parents

    @cached_property
    def names(self) -> dict[str, str]:
        """The names of the assets in words."""
        return words.names(self.parents)

    def of(self, view: type[View]) -> dict[str, View]:
        """The artefacts of a class, by title."""
        return {title: one for title, one in self.artefacts.items() if isinstance(one, view)}

    def settings(self, title: str) -> dict[str, Any]:
        """The part of the recipe that decided an asset."""
        parts = (json.loads(part.settings) for part in self.page.parts if part.title == title)
        return next(parts, {})

    def origin(self, title: str) -> str:
        """Where the bytes of a source come from; empty for other assets."""
        return next((part.origin for part in self.page.parts if part.title == title), "")

    def readers(self, title: str) -> list[str]:
        """The titles of the assets that read one."""
        return [reader for reader, inputs in self.parents.items() if title in inputs]

    def evaluation(self, model: str) -> str:
        """The title of a model's evaluation on its own data; empty if it has none."""
        found = self.evaluations(model)
        return next((one for one in found if not words.suite(one, self.parents)), "")

    def evaluations(self, model: str) -> list[str]:
        """The titles of all evaluations of a model: on its own data, then by evaluation sets."""
        found = (one for one in self.parents if words.subject(one, self.parents) == model)
        return sorted(found, key=lambda one: words.suite(one, self.parents))

    def corpora(self) -> dict[str, Documents]:
        """The documents by the name of their corpus."""
        return {title.partition("/")[0]: one for title, one in self.of(Documents).items()}

    def uses(self, corpus: str) -> Iterator[str]:
        """In words, what the documents of a corpus were used for; empty if nothing read them."""
        models = self.of(Checkpoint)
        for title, shards in self.of(TokenShards).items():
            if any(row["corpus"] == corpus for row in shards.summaries()):
                for model in (one for one in self._learners(title) if one in models):
                    yield f"{self.names[model]}{_epochs(models[model], corpus)}"
        for title in self.readers(f"{corpus}/documents"):
            if title in models:
                yield self.names[title]
            if isinstance(self.artefacts.get(title), Examples):
                yield from (self.names[one] for one in self.readers(title) if one in models)

    def _learners(self, title: str) -> Iterator[str]:
        """The assets that learn from one, also those behind the states of a training."""
        for reader in self.readers(title):
            yield reader
            if isinstance(self.artefacts.get(reader), KeptStates):
                yield from self._learners(reader)

    def left_out(self, corpus: str) -> int:
        """How many training documents of a corpus share words with held-out text."""
        found = self.of(Contamination).values()
        return sum(int(one.figures().get(f"documents_{corpus}", 0)) for one in found)

    def leaves_out(self) -> bool:
        """Whether training leaves out the documents that share words with held-out text."""
        return any(self.readers(title) for title in self.of(Contamination))


def _epochs(model: Checkpoint, corpus: str) -> str:
    drawn = model.drawn().get(corpus)
    return f" (read {drawn['epochs']:.2f} times)" if drawn else ""
