"""How an evaluation is declared, and the declaration of ``<recipe>/foundation_evaluation``."""

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
    key: str,
    making: str,
    *,
    inputs: Inputs,
    libraries: tuple[str, ...],
    uses: Uses,
    group: str,
    settings: Strict | None = None,
    observe: str | None = None,
    about: str = "",
) -> Declaration:
    """The declaration of an evaluation; the parameters are the fields of ``Declaration``.

    Its making writes ``Findings``. The checks on evaluations apply to it (pipelines/checks/).
    """
    return Declaration(
        key=key,
        makes=Evaluation,
        making=making,
        inputs=inputs,
        settings=settings,
        libraries=libraries,
        observe=observe,
        uses=uses,
        group=group,
        about=about,
    )


def foundation_evaluation(scope: Scope) -> Iterator[Declaration]:
    """The evaluation of the foundation."""
    yield evaluation_of(
        f"{scope.foundation}_evaluation",
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
        about=f"How well the foundation of {scope.recipe} predicts held-out text, beside baselines,"
        " and what it writes.",
    )
