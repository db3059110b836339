"""``tokenizer/<recipe>`` where it came along with weights from elsewhere."""

import dagster as dg

from pipelines.artifacts import FIGURES, TokenizerFiles, Weights
from pipelines.assets.declare import Making, asset
from pipelines.interop.words import LIBRARIES, read_words
from pipelines.recipe.schema import Recipe


def external_tokenizer(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of the tokenizer that came along with a recipe's weights."""

    @asset(
        f"tokenizer/{recipe.name}",
        makes=TokenizerFiles,
        inputs={"weights": f"weights/{recipe.name}"},
        libraries=LIBRARIES,
        exact=True,
        architectures=(),
        group=recipe.name,
    )
    def tokenizer(making: Making, weights: Weights) -> None:
        """The tokenizer that the weights were trained with; user and assistant come above its
        ids."""
        made = read_words(weights.names(), weights.content)
        made.save(making.folder)
        making.write(FIGURES, {"vocab_size": float(made.vocab_size)})

    return tokenizer
