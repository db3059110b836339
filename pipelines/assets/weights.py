"""Weights from elsewhere: ``weights/<recipe>``, and the tokenizer and foundation taken of them."""

from dataclasses import asdict
from typing import Any

import dagster as dg

from pipelines.artifacts import FIGURES, Checkpoint, TokenizerFiles, Weights
from pipelines.assets.declare import Making, asset
from pipelines.interop.fetching import fetch_weights, folder_files
from pipelines.interop.taking import LIBRARIES, WORDS_LIBRARIES
from pipelines.project import Project
from pipelines.recipe.schema import Recipe
from pipelines.recipe.weights import FolderWeights


def external_weights(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of the files that a recipe takes its network from."""
    source = recipe.weights
    assert source is not None  # asked for recipes that have one

    def observe(project: Project) -> dict[str, Any]:
        # A folder's name says nothing of what is in it: its content decides.
        if isinstance(source, FolderWeights):
            return {"files": folder_files(source, project.root)}
        return {}

    @asset(
        f"weights/{recipe.name}",
        makes=Weights,
        decides=source.decides(),
        observe=observe,
        exact=True,
        group=recipe.name,
    )
    def weights(making: Making) -> None:
        """Weights that were trained elsewhere, with their tokenizer, file by file as they came."""
        folder = making.folder / Weights.FOLDER
        folder.mkdir()
        project = making.project
        names = fetch_weights(source, folder, root=project.root, cache=project.downloads)
        sizes = [(folder / name).stat().st_size for name in names]
        making.write(FIGURES, {"source_files": len(names), "source_bytes": sum(sizes)})

    return weights


def external_tokenizer(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset of the tokenizer that came along with a recipe's weights."""

    @asset(
        f"tokenizer/{recipe.name}",
        makes=TokenizerFiles,
        inputs={"weights": f"weights/{recipe.name}"},
        libraries=WORDS_LIBRARIES,
        exact=True,
        group=recipe.name,
    )
    def tokenizer(making: Making, weights: Weights) -> None:
        """The tokenizer that the weights were trained with; user and assistant come above its
        ids."""
        from pipelines.interop.taking import take_tokenizer

        made = take_tokenizer(weights)
        made.save(making.folder)
        making.write(FIGURES, {"vocab_size": float(made.vocab_size)})

    return tokenizer


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
        group=recipe.name,
    )
    def foundation(making: Making, weights: Weights, tokenizer: TokenizerFiles) -> None:
        """A network that was trained elsewhere, under our names."""
        from pipelines.fitting import History, write_checkpoint
        from pipelines.interop.taking import take_network

        vocab_size = int(tokenizer.figures()["vocab_size"])
        network = take_network(weights, vocab_size, source.context_length)
        about = {
            "architecture": "gpt",
            "network": asdict(network.config),
            "tokenizer": {"key": tokenizer.key, "version": tokenizer.version},
        }
        write_checkpoint(making, network, History(), about)

    return foundation
