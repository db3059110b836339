"""``classifier/<recipe>/<task>`` and its evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.evaluation.findings import Evaluation
from pipelines.examples.declare import examples
from pipelines.tasks import Task
from pipelines.tasks.classifier.options import ClassifierTask, Labelling
from pipelines.tasks.options import Judged
from pipelines.tokens.tokenizers import LIBRARIES
from pipelines.training.artefacts import Checkpoint
from pipelines.training.declare import PRECISION, TRAINED_BY


def plan(scope: Scope, name: str, options: ClassifierTask) -> Iterator[Declaration]:
    """A task's labelled texts, the foundation with a head for them, and what that is worth."""
    key = f"classifier/{scope.recipe}/{name}"
    words = LIBRARIES[scope.tokenizer_kind]
    yield from examples(name, options.corpus, options.taken())
    yield Declaration(
        key=key,
        makes=Checkpoint,
        making="pipelines.tasks.classifier.training:train",
        inputs={**scope.under(name), "contamination": scope.contamination},
        settings=options.part(Labelling, seed=scope.seed),
        libraries=(*TRAINED_BY, *words),
        observe=PRECISION,
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
    )
    yield Declaration(
        key=f"evaluation/{key}",
        makes=Evaluation,
        making="pipelines.tasks.classifier.evaluation:evaluate",
        inputs={
            "contamination": scope.contamination,
            "classifier": key,
            "tokenizer": scope.tokenizer,
            "examples": f"examples/{name}",
        },
        settings=options.part(Judged),
        libraries=("numpy", "scikit-learn", "scipy", "torch", *words),
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
    )


TASK = Task("classifier", ClassifierTask, plan)
