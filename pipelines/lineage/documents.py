"""The documents that a model was trained on: what it really drew, or else what it could draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipelines.core.artefact import Artefact
from pipelines.corpora.artefacts import Documents
from pipelines.examples.artefacts import Examples
from pipelines.lineage.trace import Node
from pipelines.text.tables import TABLES
from pipelines.tokens.artefacts import TokenShards
from pipelines.training.artefacts import Checkpoint

DRAWS = "draws.arrow"
COLUMNS = ("corpus", "document_id", "example_id", "sha256", "tokens", "first_step")


class Drawn(NamedTuple):
    """A document, or an example of it, in the training of a model.

    ``tokens`` counts the targets that training asked of it, ``first_step`` is counted from 1; both
    are None for a version of an earlier program, which kept no draws: there a row says only that
    the training could read the document. ``licence`` and ``source`` are "" where they are not
    known.
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
    return DRAWS in artefact.files and TABLES in artefact.files


def documents_of(model: Node) -> Iterator[Drawn]:
    """The documents of one model's own training, in the order of the training data.

    Those of the models that it was made from are not among them. Raises CorruptArtefact or
    TextError naming a table that is damaged.
    """
    about = _About(model)
    rows = _drawn(model.artefact) if has_draws(model.artefact) else _readable(model)
    for corpus, document, example, sha256, tokens, first_step in rows:
        licence, source, known = about.of(corpus, document)
        yield Drawn(corpus, document, example, sha256 or known, tokens, first_step, licence, source)


Told = tuple[str, str, str, str, int | None, int | None]


def _drawn(artefact: Artefact) -> Iterator[Told]:
    for row in artefact.table(DRAWS).rows(COLUMNS):
        corpus, document, example, sha256, tokens, first_step = row
        yield corpus, document, example, bytes(sha256).hex(), tokens, first_step


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
                yield link["input"], row["document_id"], row["id"], "", None, None
        elif isinstance(artefact, Documents):
            corpus = parent.artefact.key.partition("/")[0]
            for document in artefact.split("train"):
                yield corpus, document.id, "", "", None, None


class _About:
    """Licence, source and digest of the documents of a lineage, by corpus and id."""

    def __init__(self, model: Node) -> None:
        self._corpora: dict[str, dict[str, tuple[str, str, str]]] = {}
        for node in model.walk():
            if isinstance(node.artefact, Documents):
                self._corpora[node.artefact.key.partition("/")[0]] = dict(_rows(node.artefact))

    def of(self, corpus: str, document: str) -> tuple[str, str, str]:
        """(licence, source, sha256); of an input that is no corpus the first that has the id."""
        chosen = [self._corpora[corpus]] if corpus in self._corpora else self._corpora.values()
        return next((rows[document] for rows in chosen if document in rows), ("", "", ""))


def _rows(documents: Documents) -> Iterator[tuple[str, tuple[str, str, str]]]:
    for name, licence, source, sha256 in documents.table("train.arrow").rows(
        ("id", "licence", "source", "sha256")
    ):
        yield name, (licence, source, sha256)
