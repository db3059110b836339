"""``<corpus>/word_vectors`` and its evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration, listed
from pipelines.evaluation.declare import evaluation_of
from pipelines.training.declare import budget_of
from pipelines.word_vectors.artefacts import WordVectors
from pipelines.word_vectors.options import Asked, Learned, VectorsChoice


def word_vectors(corpus: str, options: VectorsChoice) -> Iterator[Declaration]:
    """The word vectors of a corpus and their evaluation."""
    key, documents = f"{corpus}/word_vectors", f"{corpus}/documents"
    uses = {architectures.__name__: (options.model.architecture,)}
    yield Declaration(
        key=key,
        makes=WordVectors,
        making="pipelines.word_vectors.training:train",
        inputs={"documents": documents},
        settings=options.part(Learned),
        libraries=("regex", "safetensors", "torch"),
        observe="pipelines.word_vectors.training:observed",
        uses=uses,
        group="corpora",
        about=f"Vectors of the words of {corpus} that occur {options.min_count:,} times or more,"
        f" trained for {budget_of(options.training)}.",
    )
    yield evaluation_of(
        f"{key}_evaluation",
        "pipelines.word_vectors.evaluation:evaluate",
        inputs={"vectors": key, "documents": documents},
        settings=options.part(Asked),
        libraries=("numpy", "regex", "scikit-learn", "scipy", "torch"),
        observe="pipelines.corpora.letters:letters",
        uses=uses,
        group="corpora",
        about=f"Whether the word vectors of {corpus} place words of one group together:"
        f" {listed(options.groups)}.",
    )
