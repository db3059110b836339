"""Another task's assistant, trained on to prefer the chosen reply of each pair (DPO)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from model.batches.examples import Preferences
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, left_out_of
from pipelines.examples.artefacts import Examples
from pipelines.tasks.preference.options import Preferring
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.adapting import begun_from
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import require_tokenizer, write_checkpoint
from pipelines.training.fitting import fit
from pipelines.training.preferences import preference_examples
from pipelines.training.receipts import Reading, Taught
from pipelines.training.reference import Reference


def train(
    making: Making,
    settings: Preferring,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    before: Checkpoint,
    reference: Reference,
    contamination: dict[str, Contamination],
) -> None:
    """The assistant of another task, trained on. The nats of its own start are the reference."""
    training = settings.training
    require_tokenizer(before, tokenizer)
    network, config = begun_from(before, foundation, training.method, settings.seed)
    cut: Counter[str] = Counter()
    given = (settings, foundation, tokenizer, examples, before, reference, contamination)
    read = reading(*given, cut)
    pairs = list(examples.preferences("validation"))
    nats = reference.nats("validation", [pair.id for pair in pairs])
    held_out = preference_examples(tokenizer.load(), pairs, nats, **_sizes(settings, before))
    looked_at = training.look(training.batch_size, held_out.mean_tokens)
    history = fit(
        making,
        network,
        "preference",
        read.batches,
        lambda: held_out.in_order(looked_at),
        training,
        steps=training.steps_for(read.batches.mean_tokens),
        seed=settings.seed,
        reading=read,
    )
    making.made["cut_examples"] = cut["replies_cut"]
    making.made["cut_turns"] = dict(cut)
    write_checkpoint(making, network, history, config)


def reading(
    settings: Preferring,
    foundation: Checkpoint,  # noqa: ARG001 - an input of the training
    tokenizer: TokenizerFiles,
    examples: Examples,
    before: Checkpoint,
    reference: Reference,
    contamination: dict[str, Contamination],
    cut: Counter[str] | None = None,
) -> Reading[Preferences]:
    """The batches of the training and the pairs behind them; ``cut`` counts what did not fit."""
    pairs = list(examples.preferences("train", left_out_of(settings.corpus, contamination)))
    nats = reference.nats("train", [pair.id for pair in pairs])
    sizes = _sizes(settings, before)
    batches = preference_examples(
        tokenizer.load(), pairs, nats, **sizes, seed=settings.seed, lost=cut
    )
    return Reading(Taught(pairs, batches.asked), batches)


def _sizes(settings: Preferring, before: Checkpoint) -> dict[str, Any]:
    return {
        "context_length": before.config()["network"]["context_length"],
        "batch_size": settings.training.batch_size,
        "beta": settings.beta,
    }
