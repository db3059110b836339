"""``report/<recipe>``: one page about all that a recipe made."""

from collections.abc import Mapping, Sequence

import dagster as dg

from pipelines.artifacts import Artefact, Report
from pipelines.assets.declare import Making, asset
from pipelines.project import Project
from pipelines.recipe.schema import Recipe


def _fonts(_: Project) -> dict[str, dict[str, str]]:
    """A picture's letters are drawn with the fonts of this machine."""
    from pipelines.pictures import fonts

    return {"fonts": fonts()}


def report(recipe: Recipe, parents: Mapping[str, Sequence[str]]) -> dg.AssetsDefinition:
    """The asset of a recipe's report over the assets in ``parents`` (key -> upstream keys)."""

    @asset(
        f"report/{recipe.name}",
        makes=Report,
        inputs={"artefacts": {key: key for key in parents}},
        decides={
            "description": recipe.description,
            "parents": [[key, *upstream] for key, upstream in parents.items()],
        },
        libraries=("matplotlib", "pillow"),
        observe=_fonts,
        architectures=(),
        group=recipe.name,
    )
    def report(making: Making, artefacts: dict[str, Artefact]) -> None:
        """One self-contained page: lineage, curves, figures against baselines, samples."""
        from pipelines.page import page

        content = page(recipe.name, recipe.description, artefacts, parents)
        (making.folder / "report.html").write_text(content, encoding="utf-8")

    return report
