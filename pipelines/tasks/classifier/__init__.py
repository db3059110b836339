"""``<recipe>/<task>_classifier`` and its evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.evaluation.declare import evaluation_of
from pipelines.examples.declare import examples
from pipelines.tasks import Called, Task, Use
from pipelines.tasks.classifier.options import ClassifierTask, Labelling
from pipelines.tasks.options import Judged
from pipelines.tokens.tokenizers import LIBRARIES
from pipelines.training.artefacts import Checkpoint
from pipelines.training.declare import PRECISION, TRAINED_BY, budget_of


def plan(scope: Scope, name: str, options: ClassifierTask) -> Iterator[Declaration]:
    """The task's labelled texts, the foundation with a label head, and its evaluation."""
    key = scope.key(f"{name}_classifier")
    tokenizer_libraries = LIBRARIES[scope.tokenizer_kind]
    yield from examples(name, options.corpus, options.taken())
    yield Declaration(
        key=key,
        makes=Checkpoint,
        making="pipelines.tasks.classifier.training:train",
        inputs={**scope.under(options.corpus, name), "contamination": scope.contamination},
        settings=options.model_copy(update={"labels": options.names()}).part(
            Labelling, seed=scope.seed
        ),
        libraries=(*TRAINED_BY, *tokenizer_libraries),
        observe=PRECISION,
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
        about=f"The foundation of {scope.recipe} with a head that says"
        f" {' or '.join(options.names())}, fine-tuned for {budget_of(options.training)} on"
        f" {options.corpus} (task {name}).",
    )
    yield evaluation_of(
        scope.key(f"{name}_evaluation"),
        "pipelines.tasks.classifier.evaluation:evaluate",
        inputs={
            **scope.under(options.corpus, name),
            "contamination": scope.contamination,
            "classifier": key,
        },
        settings=options.part(Judged),
        libraries=("numpy", "scikit-learn", "scipy", "torch", *tokenizer_libraries),
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
        about=f"How often the classifier of the task {name} of {scope.recipe} is right on held-out"
        " texts, beside baselines.",
    )


def used_by(called: Called, _: ClassifierTask) -> Iterator[Use]:
    """The command that labels a text.

    The verb finds the recipe by the task's name. A recipe file in another folder has to be named.
    """
    key = f"{called.recipe}/{called.task}_classifier"
    text = "URGENT! You have won a prize, call 09061701461"
    recipe_option = () if called.named == called.recipe else ("--recipe", called.named)
    yield Use(("classify", called.task, text, *recipe_option), key, "Label a text")


TASK = Task("classifier", ClassifierTask, plan, used_by)
