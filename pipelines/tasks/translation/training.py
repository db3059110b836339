"""A translator: an encoder-decoder trained from scratch on pairs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from model.architectures import build, find
from model.batches.examples import Examples as Batches
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, left_out_of
from pipelines.examples.artefacts import Examples, Pair, pair_of
from pipelines.inference.translations import encode_source
from pipelines.tasks.translation.options import Translated
from pipelines.tokens.artefacts import TokenizerFiles
from pipelines.tokens.tokenizers import Tokenizer
from pipelines.training.checkpoint import HELD_OUT_BATCH, write_checkpoint
from pipelines.training.fitting import fit
from pipelines.training.receipts import Reading, Taught


def translation_examples(
    tokenizer: Tokenizer,
    pairs: Iterable[Pair],
    *,
    context_length: int,
    batch_size: int,
    seed: int = 0,
) -> Batches:
    """Pairs as batches: the encoder reads the source, the decoder predicts the target's tokens.

    A target begins with the assistant's control token and ends with the end of text. A target that
    is longer than the context is cut at its end.
    """
    sources, targets = [], []
    for pair in pairs:
        sources.append(encode_source(tokenizer, pair.prompt[-1], context_length))
        reply = [*tokenizer.encode(f" {pair.reply}"), tokenizer.end_of_text]
        targets.append([tokenizer.assistant, *reply[:context_length]])
    return Batches(
        targets,
        counted=[[False] + [True] * (len(target) - 1) for target in targets],
        sources=sources,
        pad=tokenizer.end_of_text,
        context_length=context_length,
        batch_size=batch_size,
        seed=seed,
    )


def train(
    making: Making,
    settings: Translated,
    tokenizer: TokenizerFiles,
    examples: Examples,
    contamination: dict[str, Contamination],
) -> None:
    """An encoder-decoder trained from scratch on pairs of a source and its translation."""
    training = settings.training
    encoder = tokenizer.load()
    config = settings.model.config(encoder.vocab_size)
    architecture = find(settings.model.architecture)
    length = {"context_length": config.context_length}
    read = reading(settings, tokenizer, examples, contamination)
    train = read.batches
    held_out = translation_examples(
        encoder, examples.pairs("validation"), **length, batch_size=HELD_OUT_BATCH
    )
    validation_examples = training.look(HELD_OUT_BATCH, held_out.mean_tokens)
    network = build(architecture.name, config, settings.seed)
    history = fit(
        making,
        network,
        architecture.objective,
        train,
        lambda: held_out.in_order(validation_examples),
        training,
        steps=training.steps_for(train.mean_tokens),
        seed=settings.seed,
        reading=read,
    )
    making.made["cut_examples"] = train.unfinished(encoder.end_of_text)
    checkpoint_config = {
        "architecture": architecture.name,
        "network": asdict(config),
        "tokenizer": {"version": tokenizer.version},
    }
    write_checkpoint(making, network, history, checkpoint_config)


def reading(
    settings: Translated,
    tokenizer: TokenizerFiles,
    examples: Examples,
    contamination: dict[str, Contamination],
) -> Reading[Batches]:
    """The batches of the training and the pairs behind them."""
    encoder = tokenizer.load()
    chats = list(examples.chats("train", left_out_of(settings.corpus, contamination)))
    batches = translation_examples(
        encoder,
        map(pair_of, chats),
        context_length=settings.model.config(encoder.vocab_size).context_length,
        batch_size=settings.training.batch_size,
        seed=settings.seed,
    )
    return Reading(Taught(chats, batches.asked), batches)
