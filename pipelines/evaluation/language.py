"""What a checkpoint is worth: figures against baselines on the same split, and samples to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model.batches.batching import in_order
from model.evaluation import (
    bits_per_byte,
    mean_loss,
    perplexity,
)
from model.inference.generation import generate_batch
from model.training.objectives import OBJECTIVES
from pipelines.evaluation.baselines import (
    compressor_bits_per_byte,
    interpolated_ngram_bits_per_byte,
    unigram_bits_per_byte,
)
from pipelines.inference.replies import SAMPLING, unnamed
from pipelines.training.checkpoint import HELD_OUT_BATCH

if TYPE_CHECKING:
    from torch import nn

    from pipelines.corpora.artefacts import Documents
    from pipelines.tokens.artefacts import TokenShards
    from pipelines.tokens.tokenizers import Tokenizer


def language_figures(
    network: Any, shards: TokenShards, tokenizer: Tokenizer
) -> dict[str, dict[str, float]]:
    """Loss (nats a token), perplexity and bits per byte of the validation and test splits.

    Every token is asked once, ends of text included and beginnings not, each from the tokens of its
    window alone, which opens with the beginning of a text where the tokenizer has one; bits are
    over the bytes of the text.
    """
    figures = {}
    for split in ("validation", "test"):
        stream = shards.stream(split, tokenizer.end_of_text)
        batches = in_order(
            stream, network.context_length, HELD_OUT_BATCH, beginning=tokenizer.beginning
        )
        loss = mean_loss(network, OBJECTIVES["next_token"], batches)
        figures[split] = {
            "loss": loss.nats,
            "perplexity": perplexity(loss.nats),
            "bits_per_byte": bits_per_byte(loss.total, shards.text_bytes(split)),
        }
    return figures


def language_baselines(
    shards: TokenShards,
    documents: Mapping[str, Documents],
    vocab_size: int,
    end_of_text: int,
    left_out: Mapping[str, frozenset[str]],
) -> dict[str, float]:
    """Bits per byte of the test split by counting and by compressing what the shards hold.

    ``left_out`` are the ids of training documents that the shards were made without, by corpus.
    """
    train, test = shards.tokens("train"), shards.tokens("test")
    n_bytes = shards.text_bytes("test")
    ngram = {"vocab_size": vocab_size, "end_of_text": end_of_text, "test_bytes": n_bytes}

    def trained() -> Iterable[str]:
        return (
            text
            for corpus, kept in documents.items()
            for text in kept.training_texts(left_out.get(corpus, frozenset()))
        )

    def tested() -> Iterable[str]:
        return (d.text for corpus in documents.values() for d in corpus.split("test"))

    return {
        "trigram (Kneser-Ney)": interpolated_ngram_bits_per_byte(train, test, **ngram),
        "lzma": compressor_bits_per_byte(trained(), tested(), "lzma"),
        "zlib": compressor_bits_per_byte(trained(), tested(), "zlib"),
        "unigram": unigram_bits_per_byte(train, test, vocab_size=vocab_size, test_bytes=n_bytes),
    }


def continuations(
    network: nn.Module, tokenizer: Tokenizer, prompts: Sequence[str], length: int = 120
) -> list[dict[str, str]]:
    """How the model goes on with each prompt, by seeded sampling."""
    made = generate_batch(
        network,
        [[tokenizer.start, *tokenizer.encode(prompt)] for prompt in prompts],
        max_new_tokens=length,
        stop=tokenizer.controls - {tokenizer.user, tokenizer.assistant},
        forbid={tokenizer.user, tokenizer.assistant, *unnamed(network, tokenizer)},
        **SAMPLING,
    )
    return [
        {"prompt": prompt, "continuation": tokenizer.decode(tokens)}
        for prompt, tokens in zip(prompts, made, strict=True)
    ]
