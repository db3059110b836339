"""Continued training of the foundation on the text of a domain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from model.batches.batching import Windows
from model.batches.masking import Masked
from model.batches.packing import Packed
from pipelines.core.making import Making
from pipelines.tasks.domain.options import TrainedOn
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.tokens.draws import Texts
from pipelines.training.adapting import prepare
from pipelines.training.artefacts import Checkpoint
from pipelines.training.batches import held_out_batches, training_batches
from pipelines.training.checkpoint import (
    HELD_OUT_BATCH,
    load_network,
    require_tokenizer,
    write_checkpoint,
)
from pipelines.training.fitting import fit
from pipelines.training.receipts import Reading

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
    adapted = prepare(network, training.method, foundation, settings.seed)
    encoder = tokenizer.load()
    end = encoder.end_of_text
    common: dict[str, Any] = {"config": network.config, "end_of_text": end}
    read = reading(settings, foundation, tokenizer, domain_shards)
    steps = training.steps_for(network.context_length)
    held_out = domain_shards.stream("validation", end)
    windows = training.look(HELD_OUT_BATCH, network.context_length)
    # The evaluation needs a test split. Check it before the training, not after it.
    domain_shards.stream("test", end)
    history = fit(
        making,
        network,
        OBJECTIVE,
        read.batches,
        lambda: held_out_batches(
            OBJECTIVE, held_out, **common, windows=windows, beginning=encoder.beginning
        ),
        training,
        steps=steps,
        seed=settings.seed,
        reading=read,
    )
    making.write("drawn.json", read.batches.drawn(history.steps))
    write_checkpoint(making, network, history, foundation.config() | adapted)


def reading(
    settings: TrainedOn,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    domain_shards: TokenShards,
) -> Reading[Windows | Packed | Masked]:
    """The batches of the training and the documents behind them."""
    network, streams = foundation.config()["network"], domain_shards.streams("train")
    batches = training_batches(
        OBJECTIVE,
        streams,
        dict.fromkeys(streams, 1.0),
        settings.training,
        config=SimpleNamespace(**network),
        end_of_text=tokenizer.load().end_of_text,
        seed=settings.seed,
    )
    return Reading(Texts.of(domain_shards), batches)
