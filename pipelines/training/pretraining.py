"""Pretraining of a foundation: a network trained from scratch on shards of tokens."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from model.architectures import build, find
from pipelines.core.making import Making
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.batches import held_out_batches, training_batches
from pipelines.training.checkpoint import HELD_OUT_BATCH, write_checkpoint
from pipelines.training.fitting import fit
from pipelines.training.options import Pretrained


def pretrain(
    making: Making, settings: Pretrained, tokenizer: TokenizerFiles, token_shards: TokenShards
) -> None:
    """Trains a network from scratch to predict tokens of the recipe's documents."""
    training, seed = settings.training, settings.seed
    encoder = tokenizer.load()
    config = settings.model.config(encoder.vocab_size)
    architecture = find(settings.model.architecture)
    options = {"config": config, "end_of_text": encoder.end_of_text}
    batches = training_batches(
        architecture.objective,
        token_shards.streams("train"),
        settings.weights,
        training,
        **options,
        seed=seed,
        epochs=settings.epochs,
    )
    steps = training.steps_for(config.context_length)
    batches.mixture.require(steps)  # fails before training if the limits allow fewer
    held_out = token_shards.stream("validation", encoder.end_of_text)
    windows = training.look(HELD_OUT_BATCH, config.context_length)
    token_shards.stream("test", encoder.end_of_text)  # fails before training if it is unusable
    network = build(architecture.name, config, seed)
    shows = architecture.objective == "next_token"
    history = fit(
        making,
        network,
        architecture.objective,
        batches,
        lambda: held_out_batches(architecture.objective, held_out, **options, windows=windows),
        training,
        steps=steps,
        seed=seed,
        samples=partial(making.showing, network, encoder) if shows and making.showing else None,
    )
    about = {
        "architecture": architecture.name,
        "network": asdict(config),
        "tokenizer": {"version": tokenizer.version},
    }
    making.write("drawn.json", batches.drawn(steps))
    write_checkpoint(making, network, history, about)
