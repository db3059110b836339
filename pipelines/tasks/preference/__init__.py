"""``<recipe>/<task>_assistant``, trained on preferences from another task's assistant.

Before it stands ``<recipe>/<task>_reference``: what the assistant that it begins from thinks of
both replies of each pair, which is made once. Rafailov et al. 2023.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model import architectures
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.evaluation.declare import evaluation_of
from pipelines.examples.declare import examples
from pipelines.tasks import Called, Task, Use
from pipelines.tasks.preference.options import (
    JudgedPreferences,
    PreferenceTask,
    Preferring,
    Referred,
)
from pipelines.tokens.tokenizers import LIBRARIES
from pipelines.training.artefacts import Checkpoint
from pipelines.training.declare import PRECISION, TRAINED_BY, budget_of
from pipelines.training.reference import Reference


def plan(scope: Scope, name: str, options: PreferenceTask) -> Iterator[Declaration]:
    """The task's pairs, the reference, the assistant trained on them, and its evaluation."""
    key, reference = scope.key(f"{name}_assistant"), scope.key(f"{name}_reference")
    before = {**scope.under(options.corpus, name), "before": scope.key(f"{options.of}_assistant")}
    shared: dict[str, Any] = {
        "libraries": (*TRAINED_BY, *LIBRARIES[scope.tokenizer_kind]),
        "uses": {architectures.__name__: (scope.architecture,)},
        "group": scope.recipe,
    }
    precision = options.training.precision
    yield from examples(name, options.corpus, options.taken())
    yield Declaration(
        key=reference,
        makes=Reference,
        making="pipelines.tasks.preference.reference:read",
        inputs=before,
        settings=Referred(precision=precision),
        observe=PRECISION,
        about=f"What the assistant of the task {options.of} of {scope.recipe} thinks of both"
        f" replies of each pair of {options.corpus} (task {name}).",
        **shared,
    )
    yield Declaration(
        key=key,
        makes=Checkpoint,
        making="pipelines.tasks.preference.training:train",
        inputs={**before, "reference": reference, "contamination": scope.contamination},
        settings=options.part(Preferring, seed=scope.seed),
        observe=PRECISION,
        about=f"The assistant of the task {options.of} of {scope.recipe}, trained for"
        f" {budget_of(options.training)} to prefer the chosen replies of {options.corpus} (task"
        f" {name}).",
        **shared,
    )
    yield evaluation_of(
        scope.key(f"{name}_evaluation"),
        "pipelines.tasks.preference.evaluation:evaluate",
        inputs={**before, "reference": reference, "assistant": key},
        settings=JudgedPreferences(precision=precision, beta=options.beta),
        observe=PRECISION,
        about=f"How the assistant of the task {name} of {scope.recipe} tells chosen from rejected"
        " replies of held-out pairs, beside the assistant that it began from, and what it replies.",
        **shared,
    )


def used_by(called: Called, _: PreferenceTask) -> Iterator[Use]:
    """The commands that chat with the assistant and export it."""
    key = f"{called.recipe}/{called.task}_assistant"
    yield Use(("chat", called.named, *called.option), key, "Talk to it")
    yield Use(("export", called.named, "--task", called.task), key)


TASK = Task("preference", PreferenceTask, plan, used_by)
