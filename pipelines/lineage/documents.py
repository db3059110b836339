"""The documents that a model was trained on: what it really drew, or else what it could draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.core.artefact import Artefact
from pipelines.corpora.artefacts import Documents
from pipelines.examples.artefacts import Examples
from pipelines.lineage.sources import Text, drawn_name, training_texts
from pipelines.lineage.trace import Node
from pipelines.tokens.artefacts import DRAWS, EXAMPLES, TokenShards
from pipelines.training.artefacts import Checkpoint


class Drawn(NamedTuple):
    """A document, or an example of it, in the training of a model.

    ``tokens`` counts the targets that training asked of it, ``first_step`` is counted from 1; both
    are None for a version of an earlier program, which kept no draws: there a row says only that
    the training could read the document. ``corpus`` is the corpus' own name, of an example that of
    its document. ``licence`` and ``source`` are "" where they are not known.
    """

    corpus: str
    document: str
    example: str
    sha256: str
    tokens: int | None
    first_step: int | None
    licence: str
    source: str


def models_in(node: Node) -> list[Node]:
    """The trained networks of a lineage, the oldest first."""
    return [one for one in node.walk() if isinstance(one.artefact, Checkpoint)]


def has_draws(artefact: Artefact) -> bool:
    """Whether a version keeps what its training read."""
    return DRAWS in artefact.files


def documents_of(model: Node) -> Iterator[Drawn]:
    """The documents of one model's own training, in the order of the training data.

    Those of the models that it was made from are not among them. Raises CorruptArtefact or
    TextError naming a table that is damaged.
    """
    texts: dict[tuple[str, str], Text] = {}
    for drawn, name, text in training_texts(model):
        texts.setdefault((drawn, name), text)
    rows = _drawn(model.artefact) if has_draws(model.artefact) else _readable(model)
    for drawn, document, example, sha256, tokens, first_step in rows:
        unknown = Text(drawn, "", "", "")
        corpus, source, licence, known = texts.get((drawn, document), unknown)
        digest = sha256 or known
        yield Drawn(corpus, document, example, digest, tokens, first_step, licence, source)


Told = tuple[str, str, str, str, int | None, int | None]
"""The corpus as a list of draws names it, and the other columns of that list."""


def _drawn(artefact: Artefact) -> Iterator[Told]:
    assert isinstance(artefact, Checkpoint)
    for draw in artefact.draws():
        yield *draw[:3], draw.sha256.hex(), draw.tokens, draw.first_step


def _readable(model: Node) -> Iterator[Told]:
    """The training documents of the shards and examples that a model read."""
    for link, parent in zip(model.record.parents, model.parents, strict=True):
        artefact = parent.artefact
        if isinstance(artefact, TokenShards):
            for corpus, shards in artefact.corpora("train").items():
                for shard in shards:
                    yield from ((corpus, row[0], "", "", None, None) for row in shard.documents())
        elif isinstance(artefact, Examples):
            for row in artefact.rows("train"):
                yield EXAMPLES, row["document_id"], row["id"], "", None, None
        elif isinstance(artefact, Documents):
            corpus = drawn_name(link["input"])
            for document in artefact.split("train"):
                yield corpus, document.id, "", "", None, None
