"""The declaration of ``<recipe>/foundation``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from model import architectures
from pipelines.core.declaration import Declaration, listed
from pipelines.core.scope import Scope
from pipelines.training.artefacts import Checkpoint, KeptStates
from pipelines.training.networks import ModelChoice
from pipelines.training.options import Pretrained, Pretraining, Training

PRECISION = "pipelines.training.precision:observed"
TRAINED_BY = ("safetensors", "torch")


def foundation(scope: Scope, model: ModelChoice, training: Pretraining) -> Iterator[Declaration]:
    """A recipe's pretrained network, with ``keep`` behind the states of its training."""
    settings = Pretrained(
        model=model,
        training=training,
        weights=dict(scope.mixture),
        epochs=dict(scope.epochs),
        seed=scope.seed,
    )
    origin = {"states": training.branch.asset} if training.branch else {}
    told = f"{scope.architecture}, {size_of(model)}, pretrained for {budget_of(training)} on"
    told += f" {listed(scope.mixture)}"
    trained = Declaration(
        key=scope.foundation,
        makes=Checkpoint,
        making="pipelines.training.pretraining:pretrain",
        inputs={"tokenizer": scope.tokenizer, "token_shards": scope.token_shards, "origin": origin},
        settings=settings,
        libraries=TRAINED_BY,
        observe=PRECISION,
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
        samples=scope.samples,
        about=f"The network of {scope.recipe}: {told}.",
    )
    if training.keep is None:
        yield trained
        return
    key = f"{scope.foundation}_states"
    yield replace(
        trained,
        key=key,
        makes=KeptStates,
        making="pipelines.training.pretraining:keep_states",
        about=f"The training of {scope.recipe}, with a state every {training.keep.every:,} steps:"
        f" {told}.",
    )
    yield replace(
        trained,
        making="pipelines.training.pretraining:take",
        together=False,
        inputs={"states": key},
        observe=None,
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
