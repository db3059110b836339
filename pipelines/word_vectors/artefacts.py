"""Word vectors as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.training.artefacts import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor


class WordVectors(Checkpoint):
    """A checkpoint of word2vec and the words that have a vector, by id: ``words.json``."""

    def words(self) -> list[str]:
        """The words in the order of their ids, the most frequent first."""
        return list(self.counts())

    def counts(self) -> dict[str, int]:
        """How often each word stands in the training documents."""
        return dict(self.json("words.json"))

    def vectors(self) -> Tensor:
        """(words, d_model), a row a word: the vectors that were given, not those foretold."""
        return self.tensors()["given.weight"]
