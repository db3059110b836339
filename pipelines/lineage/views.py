"""Which view each kind of asset is read through."""

from __future__ import annotations

from pipelines.core.artefact import Artefact
from pipelines.corpora.artefacts import Contamination, Documents, RawText
from pipelines.evaluation.findings import Evaluation
from pipelines.examples.artefacts import Examples
from pipelines.interop.artefacts import Weights
from pipelines.report.artefacts import Report
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import Checkpoint
from pipelines.word_vectors.artefacts import WordVectors

VIEWS: dict[str, type[Artefact]] = {
    "raw_text": RawText,
    "documents": Documents,
    "contamination": Contamination,
    "tokenizer": TokenizerFiles,
    "token_shards": TokenShards,
    "foundation": Checkpoint,
    "weights": Weights,
    "examples": Examples,
    "assistant": Checkpoint,
    "classifier": Checkpoint,
    "translator": Checkpoint,
    "domain": Checkpoint,
    "word_vectors": WordVectors,
    "evaluation": Evaluation,
    "report": Report,
}


def view_of(key: str) -> type[Artefact]:
    """The view that a key's artefacts are read through, from its first part."""
    return VIEWS.get(key.split("/")[0], Artefact)
