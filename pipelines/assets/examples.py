"""``examples/<task>``: what a task learns from, the same for every recipe that has the task."""

from typing import Any

import dagster as dg

from pipelines.artifacts import FIGURES, Contamination, Documents, Examples
from pipelines.assets.contamination import left_out
from pipelines.assets.declare import Inputs, Making, asset
from pipelines.recipe.schema import Recipe
from pipelines.recipe.tasks import AssistantTask, ClassifierTask, TranslationTask
from pipelines.text.examples import make_labelled, make_pairs
from pipelines.text.splitting import SPLITS


def examples(
    task: str, declared: AssistantTask | ClassifierTask | TranslationTask
) -> dg.AssetsDefinition:
    """The asset of a task's examples."""

    @asset(
        f"examples/{task}",
        makes=Examples,
        inputs={"documents": f"documents/{declared.corpus}"},
        decides=declared.examples_decide(),
        libraries=("pyarrow",),
        architectures=(),
        group="tasks",
    )
    def examples(making: Making, documents: Documents) -> None:
        """A task's examples; each stays in the split of the document it comes from."""
        splits = {split: documents.split(split) for split in SPLITS}
        if isinstance(declared, ClassifierTask):
            counts: Any = make_labelled(splits, making.folder, declared.labels)
            flat = {f"{s}_{label}": n for s, row in counts.items() for label, n in row.items()}
            making.write(FIGURES, flat)
        else:
            turns = declared.context_turns if isinstance(declared, AssistantTask) else 1
            counts = make_pairs(splits, making.folder, turns, declared.max_pairs)
            making.write(FIGURES, {f"{split}_pairs": n for split, n in counts.items()})

    return examples


def read_by_task(recipe: Recipe, task: str) -> Inputs:
    """What every model of a task reads."""
    return {
        "foundation": f"foundation/{recipe.name}",
        "tokenizer": f"tokenizer/{recipe.name}",
        "examples": f"examples/{task}",
    }


def left_out_of(corpus: str, contamination: dict[str, Contamination]) -> frozenset[str]:
    """The documents of a corpus that nothing is trained on."""
    return left_out(contamination).get(corpus, frozenset())
