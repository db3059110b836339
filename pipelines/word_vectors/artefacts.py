"""The artefact of word vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.training.artefacts import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor


class WordVectors(Checkpoint):
    """A checkpoint of word2vec, with its words in the order of their ids in ``words.json``."""

    def words(self) -> list[str]:
        """The words in order of their ids, the most frequent first."""
        return list(self.counts())

    def counts(self) -> dict[str, int]:
        """How often each word occurs in the training documents."""
        return dict(self.json("words.json"))

    def vectors(self) -> Tensor:
        """(words, d_model), one row for each word: the input vectors, not the output vectors."""
        return self.tensors()["given.weight"]
