"""``contamination/<recipe>``: training documents that share words with an evaluation set."""

import unicodedata
from collections.abc import Mapping

import dagster as dg

from pipelines.artifacts import FIGURES, Contamination, Documents
from pipelines.assets.declare import Making, asset
from pipelines.recipe.schema import Recipe
from pipelines.text.decontamination import write_overlaps
from pipelines.text.splitting import SPLITS


def contamination(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The asset, where a recipe has the section ``decontamination``."""
    choice = recipe.decontamination
    if choice is None:
        return []

    @asset(
        f"contamination/{recipe.name}",
        makes=Contamination,
        inputs={"documents": {corpus: f"documents/{corpus}" for corpus in sorted(recipe.corpora)}},
        decides={"ngram": choice.ngram, "against": sorted(choice.against)},
        libraries=("numpy", "pyarrow", "regex"),
        observe=lambda _: {"unicode": unicodedata.unidata_version},
        exact=True,
        architectures=(),
        group=recipe.name,
    )
    def contamination(making: Making, documents: dict[str, Documents]) -> None:
        """Training documents that share words in a row with held-out ones, by id."""
        training = {
            corpus: texts.table("train.arrow")
            for corpus, texts in documents.items()
            if corpus not in choice.against
        }
        evaluation = {
            f"{corpus}/{split}": texts.split(split)
            for corpus, texts in documents.items()
            for split in (SPLITS if corpus in choice.against else SPLITS[1:])
        }
        size = sum(table.index.size for table in training.values())
        counts = write_overlaps(
            making.folder, training, evaluation, choice.ngram, making.advance(size)
        )
        making.write(FIGURES, dict(counts))

    return [contamination]


def drops(recipe: Recipe) -> dict[str, str]:
    """The input ``contamination`` of whatever must not learn from what is left out."""
    dropping = recipe.decontamination is not None and recipe.decontamination.drop
    return {"all": f"contamination/{recipe.name}"} if dropping else {}


def left_out(contamination: Mapping[str, Contamination]) -> dict[str, frozenset[str]]:
    """The ids of the training documents to leave out, by corpus; none without that input."""
    return contamination["all"].left_out() if contamination else {}
