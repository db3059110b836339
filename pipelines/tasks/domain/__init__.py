"""Continued training of the foundation on one domain: ``<recipe>/<task>_domain``, its evaluation.

The evaluation has two figures: what the model gains on the domain's text, and what it forgets of
the general text (Gururangan et al. 2020).
"""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration
from pipelines.core.scope import Scope
from pipelines.evaluation.declare import evaluation_of
from pipelines.evaluation.options import Prompts
from pipelines.tasks import Called, Task, Use
from pipelines.tasks.domain.options import DomainTask, TrainedOn
from pipelines.tokens.declare import shards
from pipelines.tokens.tokenizers import LIBRARIES
from pipelines.training.artefacts import Checkpoint
from pipelines.training.declare import PRECISION, TRAINED_BY, budget_of


def plan(scope: Scope, name: str, options: DomainTask) -> Iterator[Declaration]:
    """The domain's shards, the model trained on them, and its comparison with the foundation."""
    key, domain_shards = scope.key(f"{name}_domain"), scope.key(f"{name}_token_shards")
    common = {"foundation": scope.foundation, "tokenizer": scope.tokenizer}
    yield from shards(scope, domain_shards, {options.corpus: f"{options.corpus}/documents"})
    yield Declaration(
        key=key,
        makes=Checkpoint,
        making="pipelines.tasks.domain.training:train",
        inputs={**common, "domain_shards": domain_shards},
        settings=options.part(TrainedOn, seed=scope.seed),
        libraries=TRAINED_BY,
        observe=PRECISION,
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
        about=f"The foundation of {scope.recipe}, trained further for {budget_of(options.training)}"
        f" on {options.corpus} (task {name}).",
    )
    yield evaluation_of(
        scope.key(f"{name}_evaluation"),
        "pipelines.tasks.domain.evaluation:evaluate",
        inputs={
            **common,
            "domain": key,
            "token_shards": scope.token_shards,
            "domain_shards": domain_shards,
        },
        settings=Prompts(samples=scope.samples),
        libraries=("numpy", "torch", *LIBRARIES[scope.tokenizer_kind]),
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
        about=f"What the model of the task {name} of {scope.recipe} learned of {options.corpus},"
        " and what it forgot of the text before.",
    )


def used_by(called: Called, _: DomainTask) -> Iterator[Use]:
    """The commands that show the evaluation and export the model."""
    key = f"{called.recipe}/{called.task}_domain"
    evaluation = f"{called.recipe}/{called.task}_evaluation"
    yield Use(("show", evaluation), evaluation, "Learned, forgotten")
    yield Use(("export", called.named, "--task", called.task), key)


TASK = Task("domain", DomainTask, plan, used_by)
