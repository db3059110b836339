"""``<recipe>/attention_ladder``."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.attention_ladder.options import AttentionLadder, Climb
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.evaluation.declare import evaluation_of
from pipelines.tokens.tokenizers import LIBRARIES
from pipelines.training.declare import PRECISION, budget_of


def ladder(scope: Scope, options: AttentionLadder | None) -> Iterator[Declaration]:
    """The attention ladder of a recipe, if the recipe has one."""
    if options is None:
        return
    yield evaluation_of(
        scope.key("attention_ladder"),
        "pipelines.attention_ladder.evaluation:evaluate",
        inputs={"tokenizer": scope.tokenizer, "token_shards": scope.token_shards},
        settings=Climb(
            attention_ladder=options,
            weights=dict(scope.mixture),
            epochs=dict(scope.epochs),
            seed=scope.seed,
        ),
        libraries=("torch", *LIBRARIES[scope.tokenizer_kind]),
        observe=PRECISION,
        uses={architectures.__name__: ("gpt",)},
        group=scope.recipe,
        about=f"One small network of {scope.recipe} with each kind of attention, trained for"
        f" {budget_of(options.training)} each, compared by its loss.",
    )
