"""The declaration of ``<recipe>/foundation``."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.training.artefacts import Checkpoint
from pipelines.training.networks import ModelChoice
from pipelines.training.options import Pretrained, Pretraining

PRECISION = "pipelines.training.precision:observed"
TRAINED_BY = ("safetensors", "torch")


def foundation(scope: Scope, model: ModelChoice, training: Pretraining) -> Iterator[Declaration]:
    """A recipe's pretrained network."""
    yield Declaration(
        key=scope.foundation,
        makes=Checkpoint,
        making="pipelines.training.pretraining:pretrain",
        inputs={"tokenizer": scope.tokenizer, "token_shards": scope.token_shards},
        settings=Pretrained(
            model=model,
            training=training,
            weights=dict(scope.mixture),
            epochs=dict(scope.epochs),
            seed=scope.seed,
        ),
        libraries=TRAINED_BY,
        observe=PRECISION,
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
    )
