"""``foundation/<recipe>`` and ``evaluation/foundation/<recipe>``."""

import zlib
from dataclasses import asdict

import dagster as dg

from pipelines.artifacts import (
    FIGURES,
    Checkpoint,
    Documents,
    Evaluation,
    TokenizerFiles,
    TokenShards,
)
from pipelines.assets.declare import Making, asset
from pipelines.assets.tokens import documents_of
from pipelines.recipe import Recipe


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
            "seed": recipe.seed,
        },
        libraries=("safetensors", "torch"),
        group=recipe.name,
    )
    def foundation(making: Making, tokenizer: TokenizerFiles, token_shards: TokenShards) -> None:
        """A network trained from scratch to predict the next token of the recipe's documents."""
        from model.architectures import find
        from model.batching import Windows, in_order
        from pipelines.evaluating import BATCH, stream_of
        from pipelines.fitting import fit, new_network, write_checkpoint

        encoder = tokenizer.load()
        config = recipe.network_config(encoder.vocab_size)
        architecture = find(recipe.model.architecture)
        windows = Windows(
            token_shards.streams("train"),
            recipe.mixture(),
            config.context_length,
            recipe.training.batch_size,
            recipe.seed,
        )
        held_out = stream_of(token_shards, "validation", encoder.end_of_text)
        stream_of(token_shards, "test", encoder.end_of_text)  # found wanting now, not afterwards
        network = new_network(architecture.name, config, recipe.seed)
        history = fit(
            making,
            network,
            architecture.objective,
            windows,
            recipe.training.looks(lambda: in_order(held_out, config.context_length, BATCH)),
            recipe.training,
            steps=recipe.training.steps_for(config.context_length),
            seed=recipe.seed,
        )
        about = {
            "architecture": architecture.name,
            "network": asdict(config),
            "tokenizer": {"key": tokenizer.key, "version": tokenizer.version},
        }
        write_checkpoint(making, network, history, about)

    return foundation


def evaluation(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset that says what the foundation is worth."""

    @asset(
        f"evaluation/foundation/{recipe.name}",
        makes=Evaluation,
        inputs={
            "foundation": f"foundation/{recipe.name}",
            "tokenizer": f"tokenizer/{recipe.name}",
            "token_shards": f"token_shards/{recipe.name}",
            "documents": documents_of(recipe),
        },
        decides={"samples": list(recipe.samples)},
        libraries=("numpy", "tiktoken", "torch"),
        observe=lambda _: {"zlib": zlib.ZLIB_RUNTIME_VERSION},
        group=recipe.name,
    )
    def evaluation(
        making: Making,
        foundation: Checkpoint,
        tokenizer: TokenizerFiles,
        token_shards: TokenShards,
        documents: dict[str, Documents],
    ) -> None:
        """Loss, perplexity and bits per byte against counting and compressing, with samples."""
        from pipelines.evaluating import continuations, language_baselines, language_figures
        from pipelines.fitting import load_network, require_tokenizer

        require_tokenizer(foundation, tokenizer)
        encoder, network = tokenizer.load(), load_network(foundation)
        figures = language_figures(network, token_shards, encoder.end_of_text)
        baselines = language_baselines(
            token_shards, documents, encoder.vocab_size, encoder.end_of_text
        )
        flat = {f"{s}_{name}": v for s, values in figures.items() for name, v in values.items()}
        making.write(FIGURES, flat)
        making.write(
            "comparison.json",
            {
                "measure": "bits per byte of the test split",
                "better": "lower",
                "ours": figures["test"]["bits_per_byte"],
                "baselines": baselines,
            },
        )
        making.write("samples.json", continuations(network, encoder, recipe.samples))

    return evaluation
