"""``evaluation/foundation/<recipe>``."""

import zlib

import dagster as dg

from pipelines.artifacts import (
    FIGURES,
    Checkpoint,
    Contamination,
    Documents,
    Evaluation,
    TokenizerFiles,
    TokenShards,
)
from pipelines.assets.contamination import drops, left_out
from pipelines.assets.declare import Making, asset
from pipelines.assets.tokens import documents_of
from pipelines.recipe.schema import Recipe


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
            "contamination": drops(recipe),
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
        contamination: dict[str, Contamination],
    ) -> None:
        """Loss, perplexity and bits per byte against counting and compressing, with samples."""
        from pipelines.evaluating import continuations, language_baselines, language_figures
        from pipelines.fitting import load_network, require_tokenizer

        require_tokenizer(foundation, tokenizer)
        encoder, network = tokenizer.load(), load_network(foundation)
        figures = language_figures(network, token_shards, encoder.end_of_text)
        baselines = language_baselines(
            token_shards,
            documents,
            encoder.vocab_size,
            encoder.end_of_text,
            left_out(contamination),
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
