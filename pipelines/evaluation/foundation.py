"""What a foundation makes of held-out text, against counting and compressing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from model.architectures import find
from pipelines.core.artefact import FIGURES
from pipelines.core.making import Making
from pipelines.corpora.artefacts import Contamination, Documents, left_out
from pipelines.evaluation.language import continuations, language_baselines, language_figures
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
    """What the foundation makes of held-out text, against counting and compressing."""
    require_tokenizer(foundation, tokenizer)
    masked = find(foundation.config()["architecture"]).objective == "masked_token"
    figures, comparison, samples = (_masked if masked else _language)(
        load_network(foundation),
        tokenizer.load(),
        token_shards,
        documents,
        left_out(contamination),
        settings.samples,
    )
    flat = {f"{s}_{name}": v for s, values in figures.items() for name, v in values.items()}
    making.write(FIGURES, flat)
    making.write("comparison.json", comparison)
    making.write("samples.json", samples)


Found = tuple[dict[str, dict[str, float]], dict[str, Any], list[dict[str, str]]]


def _language(
    network: Any,
    encoder: Tokenizer,
    shards: TokenShards,
    documents: dict[str, Documents],
    without: dict[str, frozenset[str]],
    prompts: Sequence[str],
) -> Found:
    """Loss, perplexity and bits per byte of the next token; continuations of the prompts."""
    end = encoder.end_of_text
    figures = language_figures(network, shards, encoder)
    comparison = {
        "measure": "bits per byte of the test split",
        "better": "lower",
        "ours": figures["test"]["bits_per_byte"],
        "baselines": language_baselines(shards, documents, encoder.vocab_size, end, without),
    }
    return figures, comparison, continuations(network, encoder, prompts)


def _masked(
    network: Any,
    encoder: Tokenizer,
    shards: TokenShards,
    documents: dict[str, Documents],
    _: dict[str, frozenset[str]],
    prompts: Sequence[str],
) -> Found:
    """Accuracy and loss at hidden words; the prompts and held-out sentences filled in."""
    end = encoder.end_of_text
    figures = masked_figures(network, shards, end)
    comparison = {
        "measure": "share of the test split's hidden words told right",
        "better": "higher",
        "ours": figures["test"]["masked_accuracy"],
        "baselines": masked_baselines(network, shards, end),
    }
    tested = (document for corpus in documents.values() for document in corpus.split("test"))
    return figures, comparison, fillings(network, encoder, prompts, tested)
