"""An edit makes anew what hangs on the edited code, and nothing else.

The rows name kinds of assets by their makings, with the architecture where there are several.
"""

from __future__ import annotations

from pathlib import Path

from pipelines.core.identity import code_fingerprint
from pipelines.recipe.loading import load_recipes
from pipelines.stages import declare

ROOT = Path(__file__).parents[1]
SHORT = {
    "pipelines.corpora.raw_text:read": "raw text",
    "pipelines.corpora.documents:clean": "documents",
    "pipelines.corpora.overlaps:find": "contamination",
    "pipelines.tokens.training:make": "tokenizer",
    "pipelines.tokens.shards:encode": "shards",
    "pipelines.examples.pairs:take": "pairs",
    "pipelines.examples.labelled:take": "labelled",
    "pipelines.training.pretraining:pretrain": "foundation",
    "pipelines.evaluation.foundation:evaluate": "foundation's evaluation",
    "pipelines.interop.fetching:fetch": "weights",
    "pipelines.interop.vocabulary:take": "taken tokenizer",
    "pipelines.interop.network:take": "taken foundation",
    "pipelines.word_vectors.training:train": "word vectors",
    "pipelines.word_vectors.evaluation:evaluate": "vectors' evaluation",
    "pipelines.attention_ladder.evaluation:evaluate": "ladder",
    "pipelines.tasks.assistant.training:train": "assistant",
    "pipelines.tasks.assistant.evaluation:evaluate": "assistant's evaluation",
    "pipelines.tasks.classifier.training:train": "classifier",
    "pipelines.tasks.classifier.evaluation:evaluate": "classifier's evaluation",
    "pipelines.tasks.translation.training:train": "translator",
    "pipelines.tasks.translation.evaluation:evaluate": "translator's evaluation",
    "pipelines.tasks.domain.training:train": "domain",
    "pipelines.tasks.domain.evaluation:evaluate": "domain's evaluation",
    "pipelines.report.making:write": "report",
}
ASSETS = {
    "declare": "pipelines/stages.py",
}


def kinds() -> dict[str, str]:
    """The code of every kind of asset that the shipped recipes declare."""
    found: dict[str, str] = {}
    for declared in declare(load_recipes(ROOT / "recipes").values()):
        name = SHORT[declared.making]
        if declared.uses == ("bert",):
            name = f"bert's {name}"
        module = declared.making.partition(":")[0]
        found[name] = code_fingerprint(module, declared.uses)
    return found
