"""How an evaluation is declared: of a foundation, and of a model by a recipe's evaluation sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from model import architectures
from pipelines.core.declaration import Declaration, Inputs, listed
from pipelines.core.identity import Uses
from pipelines.core.scope import Scope
from pipelines.core.stanza import Strict
from pipelines.corpora.decontamination import Against
from pipelines.corpora.sources import kinds
from pipelines.evaluation import suites
from pipelines.evaluation.findings import Evaluation
from pipelines.evaluation.items import Items, SeenItems
from pipelines.evaluation.options import Prompts
from pipelines.evaluation.suite import SuiteOptions
from pipelines.tokens.tokenizers import LIBRARIES


def evaluation_of(
    key: str,
    making: str,
    *,
    inputs: Inputs,
    libraries: tuple[str, ...],
    uses: Uses,
    group: str,
    settings: Strict | None = None,
    observe: str | None = None,
    about: str = "",
) -> Declaration:
    """The declaration of an evaluation; the parameters are the fields of ``Declaration``.

    Its making writes ``Findings``. The checks on evaluations apply to it (pipelines/checks/).
    """
    return Declaration(
        key=key,
        makes=Evaluation,
        making=making,
        inputs=inputs,
        settings=settings,
        libraries=libraries,
        observe=observe,
        uses=uses,
        group=group,
        about=about,
    )


def foundation_evaluation(scope: Scope) -> Iterator[Declaration]:
    """The evaluation of the foundation."""
    yield evaluation_of(
        f"{scope.foundation}_evaluation",
        "pipelines.evaluation.foundation:evaluate",
        inputs={
            "foundation": scope.foundation,
            "tokenizer": scope.tokenizer,
            "token_shards": scope.token_shards,
            "documents": scope.documents,
            "contamination": scope.contamination,
        },
        settings=Prompts(samples=scope.samples),
        libraries=("numpy", "torch", *LIBRARIES[scope.tokenizer_kind]),
        observe="pipelines.evaluation.compressors:observed",
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
        about=f"How well the foundation of {scope.recipe} predicts held-out text, beside baselines,"
        " and what it writes.",
    )


def items_of(suite: str) -> str:
    """The key of the items of an evaluation set, which recipes share."""
    return f"{suite}/items"


def suite_evaluation(model: str, suite: str) -> str:
    """The key of the evaluation of a model by an evaluation set."""
    return f"{model}_{suite}_evaluation"


def suite(
    scope: Scope,
    name: str,
    options: SuiteOptions,
    corpora: Iterable[str],
    models: Mapping[str, Sequence[str]],
) -> Iterator[Declaration]:
    """The items of a set, those that training text holds too, and the evaluation of each model.

    ``corpora`` are those that the recipe trains on. ``models`` has, by the key of a checkpoint, the
    keys of those that it may be an adapter of.
    """
    yield _items(name, options)
    yield _seen(scope, name, sorted(set(corpora)))
    kind = suites.catalogue()[options.kind]
    for model, bases in models.items():
        yield evaluation_of(
            suite_evaluation(model, name),
            kind.making,
            inputs={
                "model": model,
                "tokenizer": scope.tokenizer,
                "items": items_of(name),
                "seen": scope.key(f"{name}_seen"),
                "base": {base.partition("/")[2]: base for base in bases},
            },
            settings=options.asking(),
            libraries=("numpy", "torch", *LIBRARIES[scope.tokenizer_kind]),
            observe=kind.observe,
            uses={architectures.__name__: (scope.architecture,)},
            group=scope.recipe,
            about=f"How good {model.partition('/')[2]} of {scope.recipe} is at {name}.",
        )


def _items(name: str, options: SuiteOptions) -> Declaration:
    kind, source = suites.catalogue()[options.kind], kinds.catalogue()[options.source.kind]
    return Declaration(
        key=items_of(name),
        makes=Items,
        making="pipelines.evaluation.item_sets:take",
        settings=options.taken(),
        libraries=("pyarrow", *source.libraries(options.source)),
        observe="pipelines.evaluation.item_sets:observed",
        exact=True,
        uses={
            kinds.__name__: (source.name,),
            suites.__name__: (kind.name,),
            **source.uses(options.source),
        },
        group="corpora",
        about=f"The items of {name} ({kind.name.replace('_', ' ')}); licence"
        f" {options.source.licence}.",
    )


def _seen(scope: Scope, name: str, trained_on: Sequence[str]) -> Declaration:
    return Declaration(
        key=scope.key(f"{name}_seen"),
        makes=SeenItems,
        making="pipelines.evaluation.seen:find",
        inputs={
            "items": items_of(name),
            "documents": {corpus: f"{corpus}/documents" for corpus in trained_on},
        },
        settings=Against(),
        libraries=("numpy", "pyarrow", "regex"),
        observe="pipelines.corpora.letters:letters",
        exact=True,
        group=scope.recipe,
        about=f"Items of {name} that share {Against().ngram} words in a row with a training"
        f" document of {listed(trained_on)}.",
    )


def suite_over_steps(scope: Scope, name: str, options: SuiteOptions) -> Declaration:
    """The scores of a set over the kept steps of the foundation's training; made on demand."""
    kind = suites.catalogue()[options.kind]
    declared = evaluation_of(
        suite_evaluation(scope.foundation, f"{name}_steps"),
        f"{kind.making}_steps",
        inputs={
            "states": f"{scope.foundation}_states",
            "foundation": scope.foundation,
            "tokenizer": scope.tokenizer,
            "items": items_of(name),
            "seen": scope.key(f"{name}_seen"),
        },
        settings=options.asking(),
        libraries=("numpy", "safetensors", "torch", *LIBRARIES[scope.tokenizer_kind]),
        observe=kind.observe,
        uses={architectures.__name__: (scope.architecture,)},
        group=scope.recipe,
        about=f"How good the foundation of {scope.recipe} is at {name} over the steps of its"
        " training.",
    )
    return replace(declared, on_demand=True)
