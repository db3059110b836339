"""The foundation on held-out text, compared with counting and compressing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model.architectures import find
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, Documents, left_out
from pipelines.evaluation.baselines import (
    compressor_bits_per_byte,
    interpolated_ngram_bits_per_byte,
    unigram_bits_per_byte,
)
from pipelines.evaluation.findings import Comparison, Findings
from pipelines.evaluation.language import continuations, language_figures
from pipelines.evaluation.masked import fillings, masked_baselines, masked_figures
from pipelines.evaluation.options import Prompts
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.training.artefacts import Checkpoint
from pipelines.training.checkpoint import load_network, require_tokenizer

if TYPE_CHECKING:
    from pipelines.tokens.tokenizers import Tokenizer


def evaluate(
    making: Making,
    settings: Prompts,
    foundation: Checkpoint,
    tokenizer: TokenizerFiles,
    token_shards: TokenShards,
    documents: dict[str, Documents],
    contamination: dict[str, Contamination],
) -> None:
    """The foundation on held-out text, compared with counting and compressing."""
    require_tokenizer(foundation, tokenizer)
    masked = find(foundation.config()["architecture"]).objective == "masked_token"
    (_masked if masked else _language)(
        load_network(foundation),
        tokenizer.load(),
        token_shards,
        documents,
        left_out(contamination),
        settings.samples,
    ).write(making)


def _language(
    network: Any,
    encoder: Tokenizer,
    shards: TokenShards,
    documents: dict[str, Documents],
    without: dict[str, frozenset[str]],
    prompts: Sequence[str],
) -> Findings:
    """Loss, perplexity and bits per byte of the next token; continuations of the prompts."""
    end = encoder.end_of_text
    figures = language_figures(network, shards, encoder)
    comparison = Comparison(
        measure="bits per byte of the test split",
        better="lower",
        ours=figures["test"]["bits_per_byte"],
        baselines=language_baselines(shards, documents, encoder.vocab_size, end, without),
        interval=[figures["test"][f"bits_per_byte_{side}"] for side in ("low", "high")],
    )
    samples = continuations(network, encoder, prompts)
    return Findings(figures=_flat(figures), comparison=comparison, samples=samples)


def _masked(
    network: Any,
    encoder: Tokenizer,
    shards: TokenShards,
    documents: dict[str, Documents],
    _: dict[str, frozenset[str]],
    prompts: Sequence[str],
) -> Findings:
    """Accuracy and loss at hidden words; samples are filled prompts and held-out sentences."""
    end = encoder.end_of_text
    figures = masked_figures(network, shards, end)
    comparison = Comparison(
        measure="share of the test split's hidden words predicted correctly",
        better="higher",
        ours=figures["test"]["masked_accuracy"],
        baselines=masked_baselines(network, shards, end),
        interval=[figures["test"][f"masked_accuracy_{side}"] for side in ("low", "high")],
    )
    held_out = (document for corpus in documents.values() for document in corpus.split("test"))
    samples = fillings(network, encoder, prompts, held_out)
    return Findings(figures=_flat(figures), comparison=comparison, samples=samples)


def _flat(figures: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Figures by split and name as figures by one name, ``<split>_<name>``."""
    return {f"{s}_{name}": value for s, row in figures.items() for name, value in row.items()}


def language_baselines(
    shards: TokenShards,
    documents: Mapping[str, Documents],
    vocab_size: int,
    end_of_text: int,
    left_out: Mapping[str, frozenset[str]],
) -> dict[str, float]:
    """Bits per byte of the test split by counting and by compressing the text of the shards.

    ``left_out`` has, by corpus, the ids of the training documents that the shards do not contain.
    """
    train, test = shards.tokens("train"), shards.tokens("test")
    n_bytes = shards.text_bytes("test")
    ngram = {"vocab_size": vocab_size, "end_of_text": end_of_text, "test_bytes": n_bytes}

    def train_texts() -> Iterable[str]:
        return (
            text
            for corpus, corpus_documents in documents.items()
            for text in corpus_documents.training_texts(left_out.get(corpus, frozenset()))
        )

    def test_texts() -> Iterable[str]:
        return (d.text for corpus in documents.values() for d in corpus.split("test"))

    return {
        "trigram (Kneser-Ney)": interpolated_ngram_bits_per_byte(train, test, **ngram),
        "lzma": compressor_bits_per_byte(train_texts(), test_texts(), "lzma"),
        "zlib": compressor_bits_per_byte(train_texts(), test_texts(), "zlib"),
        "unigram": unigram_bits_per_byte(train, test, vocab_size=vocab_size, test_bytes=n_bytes),
    }
