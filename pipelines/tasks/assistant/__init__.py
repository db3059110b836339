"""``<recipe>/<task>_assistant`` and its evaluation."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.evaluation.declare import evaluation_of
from pipelines.examples.declare import examples
from pipelines.tasks import Called, Task, Use
from pipelines.tasks.assistant.options import AssistantTask
from pipelines.tasks.options import FineTuned
from pipelines.tokens.tokenizers import LIBRARIES
from pipelines.training.artefacts import Checkpoint
from pipelines.training.declare import PRECISION, TRAINED_BY, budget_of
from pipelines.training.options import FineTuning


def plan(scope: Scope, name: str, options: AssistantTask) -> Iterator[Declaration]:
    """The task's examples, the foundation fine-tuned on them, and its evaluation."""
    yield from examples(name, options.corpus, options.taken())
    yield from assistant(scope, name, options.corpus, options.training, f"{name}_evaluation")


def assistant(
    scope: Scope, name: str, corpus: str, trained: FineTuning, evaluation: str
) -> Iterator[Declaration]:
    """The foundation fine-tuned on the conversations of a task, and its evaluation."""
    key = scope.key(f"{name}_assistant")
    tokenizer_libraries = LIBRARIES[scope.tokenizer_kind]
    yield Declaration(
        key=key,
        makes=Checkpoint,
        making="pipelines.tasks.assistant.training:train",
        inputs={**scope.under(corpus, name), "contamination": scope.contamination},
        settings=FineTuned(corpus=corpus, training=trained, seed=scope.seed),
        libraries=(*TRAINED_BY, *tokenizer_libraries),
        observe=PRECISION,
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
        about=f"The foundation of {scope.recipe}, fine-tuned for {budget_of(trained)} to reply as"
        f" in {corpus} (task {name}).",
    )
    yield evaluation_of(
        scope.key(evaluation),
        "pipelines.tasks.assistant.evaluation:evaluate",
        inputs={**scope.under(corpus, name), "assistant": key},
        libraries=("numpy", "torch", *tokenizer_libraries),
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
        about=f"How well the assistant of the task {name} of {scope.recipe} predicts held-out"
        " replies, beside its foundation, and what it replies.",
    )


def used_by(called: Called, options: AssistantTask) -> Iterator[Use]:
    """The commands that chat with the assistant and export it."""
    key = f"{called.recipe}/{called.task}_assistant"
    chat = ("chat", called.named, *called.option)
    people = options.replies == "everyone"
    remembered = {"context_turns": options.context_turns} if people else {}
    yield Use(chat, key, "Talk to it", remembered)
    yield Use(("export", called.named, "--task", called.task), key)


TASK = Task("assistant", AssistantTask, plan, used_by)
