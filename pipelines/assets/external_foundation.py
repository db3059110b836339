"""``foundation/<recipe>`` where its network was trained elsewhere."""

from dataclasses import asdict

import dagster as dg

from pipelines.artifacts import Checkpoint, TokenizerFiles, Weights
from pipelines.assets.declare import Making, asset
from pipelines.interop.taking import LIBRARIES, take_network
from pipelines.recipe.schema import Recipe
from pipelines.text.tokenizers import HuggingFaceTokenizer


def external_foundation(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of a network that is taken as it came: no step of training."""
    source = recipe.weights
    assert source is not None

    @asset(
        f"foundation/{recipe.name}",
        makes=Checkpoint,
        inputs={"weights": f"weights/{recipe.name}", "tokenizer": f"tokenizer/{recipe.name}"},
        decides={"context_length": source.context_length},
        libraries=LIBRARIES,
        architectures=(recipe.architecture,),
        group=recipe.name,
    )
    def foundation(making: Making, weights: Weights, tokenizer: TokenizerFiles) -> None:
        """A network that was trained elsewhere, under our names."""
        from pipelines.fitting import History, write_checkpoint

        words = tokenizer.load()
        assert isinstance(words, HuggingFaceTokenizer)  # as external_tokenizer made it
        network = take_network(weights, words, source.context_length)
        about = {
            "architecture": recipe.architecture,
            "network": asdict(network.config),
            "tokenizer": {"key": tokenizer.key, "version": tokenizer.version},
        }
        write_checkpoint(making, network, History(), about)

    return foundation
