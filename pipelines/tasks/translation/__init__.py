"""``<recipe>/<task>_translator``, the foundation fine-tuned on the same pairs, and evaluations."""

from __future__ import annotations

from collections.abc import Iterator

from model import architectures
from pipelines.core.declaration import Declaration, Inputs
from pipelines.core.scope import Scope
from pipelines.evaluation.declare import evaluation_of
from pipelines.examples.declare import examples
from pipelines.tasks import Called, Task, Use
from pipelines.tasks.assistant import assistant
from pipelines.tasks.translation.options import JudgedTranslations, Translated, TranslationTask
from pipelines.tokens.tokenizers import LIBRARIES
from pipelines.training.artefacts import Checkpoint
from pipelines.training.declare import PRECISION, TRAINED_BY, budget_of, size_of


def plan(scope: Scope, name: str, options: TranslationTask) -> Iterator[Declaration]:
    """The task's pairs, a translator trained on them, a GPT trained on them, and evaluations."""
    key, gpt_key = scope.key(f"{name}_translator"), scope.key(f"{name}_assistant")
    tokenizer_libraries = LIBRARIES[scope.tokenizer_kind]
    architecture = options.model.architecture
    common: Inputs = {
        "tokenizer": scope.tokenizer,
        "examples": f"{options.corpus}/{name}_examples",
        "contamination": scope.contamination,
    }
    yield from examples(name, options.corpus, options.taken())
    yield Declaration(
        key=key,
        makes=Checkpoint,
        making="pipelines.tasks.translation.training:train",
        inputs=common,
        settings=options.part(Translated, seed=scope.seed),
        libraries=(*TRAINED_BY, *tokenizer_libraries),
        observe=PRECISION,
        uses={architectures.__name__: (architecture,)},
        group=scope.recipe,
        about=f"A translator of the pairs of {options.corpus} (task {name}): {architecture},"
        f" {size_of(options.model)}, trained for {budget_of(options.training)}.",
    )
    if options.decoder_only is not None:
        yield from assistant(
            scope, name, options.corpus, options.decoder_only, f"{name}_assistant_evaluation"
        )
    yield evaluation_of(
        scope.key(f"{name}_evaluation"),
        "pipelines.tasks.translation.evaluation:evaluate",
        inputs={
            **common,
            "documents": f"{options.corpus}/documents",
            "translator": key,
            "decoder_only": {"decoder-only GPT, greedy": gpt_key} if options.decoder_only else {},
            "foundation": {"of the decoder-only GPT": scope.foundation}
            if options.decoder_only
            else {},
        },
        settings=options.part(JudgedTranslations),
        libraries=("numpy", "sacrebleu", "scikit-learn", "scipy", "torch", *tokenizer_libraries),
        uses={architectures.__name__: (architecture, scope.architecture)},
        group=scope.recipe,
        about=f"How good the translations of the task {name} of {scope.recipe} are on held-out"
        " pairs, beside baselines.",
    )


def used_by(called: Called, options: TranslationTask) -> Iterator[Use]:
    """The commands that translate with either model and export the GPT."""
    key = f"{called.recipe}/{called.task}_translator"
    gpt_key = f"{called.recipe}/{called.task}_assistant"
    words = ("translate", called.named, "14 July 1789", *called.option)
    yield Use(words, key, "Translate", {"beams": options.beams})
    if options.decoder_only is not None:
        yield Use((*words, "--decoder-only"), gpt_key)
        yield Use(("export", called.named, "--task", called.task), gpt_key)


TASK = Task("translation", TranslationTask, plan, used_by)
