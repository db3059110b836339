"""``evaluation/attention_ladder/<recipe>``."""

import dagster as dg

from pipelines.artifacts import FIGURES, Evaluation, TokenizerFiles, TokenShards
from pipelines.assets.declare import Making, asset
from pipelines.assets.precision import precision
from pipelines.recipe.schema import Recipe
from pipelines.text.tokenizers import LIBRARIES


def ladder_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The asset of a recipe's attention ladder, if it has one."""
    ladder = recipe.attention_ladder
    if ladder is None:
        return []

    @asset(
        f"evaluation/attention_ladder/{recipe.name}",
        makes=Evaluation,
        inputs={
            "tokenizer": f"tokenizer/{recipe.name}",
            "token_shards": f"token_shards/{recipe.name}",
        },
        decides={
            "attention_ladder": ladder.decides(),
            "weights": recipe.mixture(),
            "epochs": recipe.epochs(),
            "seed": recipe.seed,
        },
        libraries=("torch", *LIBRARIES[recipe.tokenizer_kind]),
        observe=precision(ladder.training),
        architectures=("gpt",),
        group=recipe.name,
    )
    def attention_ladder(
        making: Making, tokenizer: TokenizerFiles, token_shards: TokenShards
    ) -> None:
        """The same small GPT trained on each rung of attention: losses, maps, samples.

        The record has the rate of each. None keeps checkpoints, whatever ``checkpoint_every`` says.
        """
        from model.batches.batching import Windows
        from pipelines import climbing

        encoder = tokenizer.load()
        config = climbing.shape(ladder, encoder.vocab_size)
        batches = Windows(
            token_shards.streams("train"),
            recipe.mixture(),
            config.context_length,
            ladder.training.batch_size,
            recipe.seed,
            recipe.epochs(),
        )
        batches.mixture.require(ladder.training.steps_for(config.context_length))
        held_out = token_shards.stream("validation", encoder.end_of_text)
        climbed = climbing.climb(making, ladder, config, batches, held_out, recipe.seed)
        text = climbing.prompt(ladder, held_out, encoder)
        making.write(FIGURES, climbing.figures(climbed))
        making.write("comparison.json", climbing.comparison(climbed))
        making.tables({"the rungs": climbing.table(climbed)})
        making.write("curves.json", climbing.curves(climbed))
        making.write("heatmaps.json", climbing.heatmaps(climbed, encoder, text))
        making.write("samples.json", climbing.samples(climbed, encoder, text))

    return [attention_ladder]
