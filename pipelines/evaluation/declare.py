"""``evaluation/<key of the model>``, for every model; ``evaluation/foundation/<recipe>``."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration, Inputs
from pipelines.core.identity import Uses
from pipelines.core.scope import Scope
from pipelines.core.stanza import Strict
from pipelines.evaluation.findings import Evaluation
from pipelines.evaluation.options import Prompts
from pipelines.tokens.tokenizers import LIBRARIES


def evaluation_of(
    model: str,
    making: str,
    *,
    inputs: Inputs,
    libraries: tuple[str, ...],
    uses: Uses,
    group: str,
    settings: Strict | None = None,
    observe: str | None = None,
) -> Declaration:
    """The evaluation of the model whose key is ``model``; the rest is as in ``Declaration``.

    Its making writes ``Findings``. The checks on evaluations hold for it (pipelines/checks/).
    """
    return Declaration(
        key=f"evaluation/{model}",
        makes=Evaluation,
        making=making,
        inputs=inputs,
        settings=settings,
        libraries=libraries,
        observe=observe,
        uses=uses,
        group=group,
    )


def foundation_evaluation(scope: Scope) -> Iterator[Declaration]:
    """What the foundation is worth."""
    yield evaluation_of(
        scope.foundation,
        "pipelines.evaluation.foundation:evaluate",
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
