"""The foundation trained on, on a domain's text."""

from __future__ import annotations

from typing import Any

from pipelines.core.making import Making
from pipelines.tasks.domain.options import TrainedOn
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import Checkpoint
from pipelines.training.batches import held_out_batches, training_batches
from pipelines.training.checkpoint import (
    HELD_OUT_BATCH,
    load_network,
    require_tokenizer,
    write_checkpoint,
)
from pipelines.training.fitting import fit

OBJECTIVE = "next_token"  # the recipe's schema lets no other foundation have tasks


def train(
    making: Making,
    settings: TrainedOn,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    domain_shards: TokenShards,
) -> None:
    """The foundation trained on to predict the next token of the domain's documents."""
    training = settings.training
    require_tokenizer(foundation, tokenizer)
    network: Any = load_network(foundation)
    encoder = tokenizer.load()
    end = encoder.end_of_text
    asked: dict[str, Any] = {"config": network.config, "end_of_text": end}
    streams = domain_shards.streams("train")
    batches = training_batches(
        OBJECTIVE,
        streams,
        dict.fromkeys(streams, 1.0),
        training,
        **asked,
        seed=settings.seed,
    )
    steps = training.steps_for(network.context_length)
    held_out = domain_shards.stream("validation", end)
    looked_at = training.look(HELD_OUT_BATCH, network.context_length)
    domain_shards.stream("test", end)  # found wanting now, not afterwards
    history = fit(
        making,
        network,
        OBJECTIVE,
        batches,
        lambda: held_out_batches(
            OBJECTIVE, held_out, **asked, windows=looked_at, beginning=encoder.beginning
        ),
        training,
        steps=steps,
        seed=settings.seed,
    )
    making.write("drawn.json", batches.drawn(steps))
    write_checkpoint(making, network, history, foundation.config())
