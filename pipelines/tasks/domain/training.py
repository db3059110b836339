"""Continued training of the foundation on the text of a domain."""

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

OBJECTIVE = "next_token"  # the recipe's schema allows tasks only on foundations with this objective


def train(
    making: Making,
    settings: TrainedOn,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    domain_shards: TokenShards,
) -> None:
    """The foundation, trained further to predict the next token of the domain's documents."""
    training = settings.training
    require_tokenizer(foundation, tokenizer)
    network: Any = load_network(foundation)
    encoder = tokenizer.load()
    end = encoder.end_of_text
    common: dict[str, Any] = {"config": network.config, "end_of_text": end}
    streams = domain_shards.streams("train")
    batches = training_batches(
        OBJECTIVE,
        streams,
        dict.fromkeys(streams, 1.0),
        training,
        **common,
        seed=settings.seed,
    )
    steps = training.steps_for(network.context_length)
    held_out = domain_shards.stream("validation", end)
    windows = training.look(HELD_OUT_BATCH, network.context_length)
    # The evaluation needs a test split. Check it before the training, not after it.
    domain_shards.stream("test", end)
    history = fit(
        making,
        network,
        OBJECTIVE,
        batches,
        lambda: held_out_batches(
            OBJECTIVE, held_out, **common, windows=windows, beginning=encoder.beginning
        ),
        training,
        steps=steps,
        seed=settings.seed,
    )
    making.write("drawn.json", batches.drawn(history.steps))
    write_checkpoint(making, network, history, foundation.config())
