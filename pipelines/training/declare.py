"""The declaration of ``<recipe>/foundation``."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration, listed
from pipelines.core.scope import Scope
from pipelines.training.artefacts import Checkpoint
from pipelines.training.networks import ModelChoice
from pipelines.training.options import Pretrained, Pretraining, Training

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
        samples=scope.samples,
        about=f"The network of {scope.recipe}: {scope.architecture}, {size_of(model)}, pretrained"
        f" for {budget_of(training)} on {listed(scope.mixture)}.",
    )


def size_of(model: ModelChoice) -> str:
    """A network's size: ``4 layers of width 128, context 256``; only what its config has."""
    config = model.config(vocab_size=50_304)
    sizes = {
        "n_layers": "{} layers",
        "encoder_layers": "{} encoder layers",
        "decoder_layers": "{} decoder layers",
        "d_model": "width {}",
        "context_length": "context {}",
    }
    known = ((name, getattr(config, name, None)) for name in sizes)
    return ", ".join(sizes[name].format(f"{size:,}") for name, size in known if size)


def budget_of(training: Training) -> str:
    """A training's budget: ``2,000 steps``."""
    return f"{training.steps:,} steps" if training.steps else f"{training.tokens or 0:,} tokens"
