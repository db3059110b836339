"""``foundation/<recipe>``."""

from dataclasses import asdict

import dagster as dg

from pipelines.artifacts import Checkpoint, TokenizerFiles, TokenShards
from pipelines.assets.declare import Making, asset
from pipelines.recipe.schema import Recipe


def foundation(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of a recipe's pretrained network."""

    @asset(
        f"foundation/{recipe.name}",
        makes=Checkpoint,
        inputs={
            "tokenizer": f"tokenizer/{recipe.name}",
            "token_shards": f"token_shards/{recipe.name}",
        },
        decides={
            "model": recipe.model_decides(),
            "training": recipe.training.decides(),
            "weights": recipe.mixture(),
            "epochs": recipe.epochs(),
            "seed": recipe.seed,
        },
        libraries=("safetensors", "torch"),
        group=recipe.name,
    )
    def foundation(making: Making, tokenizer: TokenizerFiles, token_shards: TokenShards) -> None:
        """A network trained from scratch to predict the next token of the recipe's documents."""
        from model.architectures import find
        from model.batching import Windows, in_order
        from model.packing import Packed
        from pipelines.fitting import HELD_OUT_BATCH, fit, new_network, write_checkpoint

        encoder = tokenizer.load()
        config = recipe.network_config(encoder.vocab_size)
        architecture = find(recipe.model.architecture)
        batches = (Packed if recipe.training.packing == "documents" else Windows)(
            token_shards.streams("train"),
            recipe.mixture(),
            config.context_length,
            recipe.training.batch_size,
            recipe.seed,
            recipe.epochs(),
        )
        steps = recipe.training.steps_for(config.context_length)
        batches.mixture.require(steps)  # told now, should the limits not allow so many
        held_out = token_shards.stream("validation", encoder.end_of_text)
        token_shards.stream("test", encoder.end_of_text)  # found wanting now, not afterwards
        network = new_network(architecture.name, config, recipe.seed)
        history = fit(
            making,
            network,
            architecture.objective,
            batches,
            recipe.training.looks(
                lambda: in_order(held_out, config.context_length, HELD_OUT_BATCH)
            ),
            recipe.training,
            steps=steps,
            seed=recipe.seed,
        )
        about = {
            "architecture": architecture.name,
            "network": asdict(config),
            "tokenizer": {"key": tokenizer.key, "version": tokenizer.version},
        }
        making.write("drawn.json", batches.drawn(steps))
        write_checkpoint(making, network, history, about)

    return foundation
