"""``weights/<recipe>``: the files of weights from elsewhere, as they came."""

from typing import Any

import dagster as dg

from pipelines.artifacts import FIGURES, Weights
from pipelines.assets.declare import Making, asset
from pipelines.interop.fetching import fetch_weights, folder_files
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
        architectures=(),
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
