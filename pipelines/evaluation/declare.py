"""``evaluation/foundation/<recipe>``."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.evaluation.findings import Evaluation
from pipelines.evaluation.options import Prompts
from pipelines.tokens.tokenizers import LIBRARIES


def foundation_evaluation(scope: Scope) -> Iterator[Declaration]:
    """What the foundation is worth."""
    yield Declaration(
        key=f"evaluation/{scope.foundation}",
        makes=Evaluation,
        making="pipelines.evaluation.foundation:evaluate",
        inputs={
            "foundation": scope.foundation,
            "tokenizer": scope.tokenizer,
            "token_shards": scope.token_shards,
            "documents": scope.documents,
            "contamination": scope.contamination,
        },
        settings=Prompts(samples=scope.samples),
        libraries=("numpy", "torch", *LIBRARIES[scope.tokenizer_kind]),
        observe="pipelines.evaluation.compressors:observed",
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
    )
