"""``foundation/<recipe>``."""

from dataclasses import asdict

import dagster as dg

from pipelines.artifacts import Checkpoint, TokenizerFiles, TokenShards
from pipelines.assets.declare import Making, asset
from pipelines.assets.precision import precision
from pipelines.recipe.schema import Recipe


def foundation(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of a recipe's pretrained network."""
    model, training = recipe.model, recipe.training
    assert model is not None  # what is drawn is trained
    assert training is not None

    @asset(
        f"foundation/{recipe.name}",
        makes=Checkpoint,
        inputs={
            "tokenizer": f"tokenizer/{recipe.name}",
            "token_shards": f"token_shards/{recipe.name}",
        },
        decides={
            "model": model.decides(),
            "training": training.decides(),
            "weights": recipe.mixture(),
            "epochs": recipe.epochs(),
            "seed": recipe.seed,
        },
        libraries=("safetensors", "torch"),
        observe=precision(training),
        architectures=(recipe.architecture,),
        group=recipe.name,
    )
    def foundation(making: Making, tokenizer: TokenizerFiles, token_shards: TokenShards) -> None:
        """A network trained from scratch to predict tokens of the recipe's documents."""
        from model.architectures import build, find
        from pipelines.batches import held_out_batches, training_batches
        from pipelines.fitting import HELD_OUT_BATCH, fit, write_checkpoint

        encoder = tokenizer.load()
        config = model.config(encoder.vocab_size)
        architecture = find(model.architecture)
        asked = {"config": config, "end_of_text": encoder.end_of_text}
        batches = training_batches(
            architecture.objective,
            token_shards.streams("train"),
            recipe.mixture(),
            training,
            **asked,
            seed=recipe.seed,
            epochs=recipe.epochs(),
        )
        steps = training.steps_for(config.context_length)
        batches.mixture.require(steps)  # told now, should the limits not allow so many
        held_out = token_shards.stream("validation", encoder.end_of_text)
        looked_at = training.look(HELD_OUT_BATCH, config.context_length)
        token_shards.stream("test", encoder.end_of_text)  # found wanting now, not afterwards
        network = build(architecture.name, config, recipe.seed)
        history = fit(
            making,
            network,
            architecture.objective,
            batches,
            lambda: held_out_batches(architecture.objective, held_out, **asked, windows=looked_at),
            training,
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
