"""An assistant: the foundation fine-tuned on conversations to give the replies."""

from __future__ import annotations

from collections import Counter
from typing import Any

from model.batches.examples import Examples as Batches
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, left_out_of
from pipelines.examples.artefacts import Examples
from pipelines.tasks.options import FineTuned
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.training.adapting import prepare
from pipelines.training.artefacts import Checkpoint
from pipelines.training.chats import chat_examples
from pipelines.training.checkpoint import load_network, require_tokenizer, write_checkpoint
from pipelines.training.fitting import fit
from pipelines.training.receipts import Reading, Taught


def train(
    making: Making,
    settings: FineTuned,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    contamination: dict[str, Contamination],
) -> None:
    """The foundation fine-tuned to reply. Only the tokens of the reply count in the loss."""
    training = settings.training
    require_tokenizer(foundation, tokenizer)
    encoder, network = tokenizer.load(), load_network(foundation)
    adapted = prepare(network, training.method, foundation, settings.seed)
    cut: Counter[str] = Counter()
    read = reading(settings, foundation, tokenizer, examples, contamination, cut)
    train, sizes = read.batches, _sizes(settings, foundation)
    held_out = chat_examples(encoder, examples.chats("validation"), **sizes)
    validation_examples = training.look(training.batch_size, held_out.mean_tokens)
    history = fit(
        making,
        network,
        "next_token",
        train,
        lambda: held_out.in_order(validation_examples),
        training,
        steps=training.steps_for(train.mean_tokens),
        seed=settings.seed,
        reading=read,
    )
    making.made["cut_examples"] = cut["chats_cut"]
    making.made["cut_turns"] = dict(cut)
    write_checkpoint(making, network, history, foundation.config() | adapted)


def reading(
    settings: FineTuned,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    examples: Examples,
    contamination: dict[str, Contamination],
    cut: Counter[str] | None = None,
) -> Reading[Batches]:
    """The batches of the training and the examples behind them; ``cut`` counts what did not fit."""
    chats = list(examples.chats("train", left_out_of(settings.corpus, contamination)))
    sizes = _sizes(settings, foundation)
    batches = chat_examples(tokenizer.load(), chats, **sizes, seed=settings.seed, lost=cut)
    return Reading(Taught(chats, batches.asked), batches)


def _sizes(settings: FineTuned, foundation: Checkpoint) -> dict[str, Any]:
    return {
        "context_length": foundation.config()["network"]["context_length"],
        "batch_size": settings.training.batch_size,
    }
