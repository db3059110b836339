"""``evaluation/foundation/<recipe>``."""

import hashlib
import lzma
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from pipelines.artifacts import (
    FIGURES,
    Checkpoint,
    Contamination,
    Documents,
    Evaluation,
    TokenizerFiles,
    TokenShards,
)
from pipelines.assets.contamination import drops, left_out
from pipelines.assets.declare import Making, asset
from pipelines.assets.tokens import documents_of
from pipelines.project import Project
from pipelines.recipe.schema import Recipe
from pipelines.text.tokenizers import LIBRARIES

if TYPE_CHECKING:
    from pipelines.text.tokenizers import Tokenizer


def _compressors(_: Project) -> dict[str, str]:
    """What decides how small text becomes. liblzma tells no version, so its output stands for it:
    of 30 kB in which every kind of match occurs, in a few milliseconds.
    """
    sample = "".join(f"{n:x} {n * n % 9973} {n % 7 * 'ab'}\n" for n in range(2000)).encode()
    packed = lzma.compress(sample)
    return {
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "lzma": hashlib.sha256(packed).hexdigest(),
    }


def evaluation(recipe: Recipe) -> dg.AssetsDefinition:
    """The asset that says what the foundation is worth."""

    @asset(
        f"evaluation/foundation/{recipe.name}",
        makes=Evaluation,
        inputs={
            "foundation": f"foundation/{recipe.name}",
            "tokenizer": f"tokenizer/{recipe.name}",
            "token_shards": f"token_shards/{recipe.name}",
            "documents": documents_of(recipe),
            "contamination": drops(recipe),
        },
        decides={"samples": list(recipe.samples)},
        libraries=("numpy", "torch", *LIBRARIES[recipe.tokenizer_kind]),
        observe=_compressors,
        architectures=(recipe.architecture,),
        group=recipe.name,
    )
    def evaluation(
        making: Making,
        foundation: Checkpoint,
        tokenizer: TokenizerFiles,
        token_shards: TokenShards,
        documents: dict[str, Documents],
        contamination: dict[str, Contamination],
    ) -> None:
        """What the foundation makes of held-out text, against counting and compressing."""
        from model.architectures import find
        from pipelines.fitting import load_network, require_tokenizer

        require_tokenizer(foundation, tokenizer)
        masked = find(foundation.config()["architecture"]).objective == "masked_token"
        figures, comparison, samples = (_masked if masked else _language)(
            load_network(foundation),
            tokenizer.load(),
            token_shards,
            documents,
            left_out(contamination),
            recipe.samples,
        )
        flat = {f"{s}_{name}": v for s, values in figures.items() for name, v in values.items()}
        making.write(FIGURES, flat)
        making.write("comparison.json", comparison)
        making.write("samples.json", samples)

    return evaluation


Judged = tuple[dict[str, dict[str, float]], dict[str, Any], list[dict[str, str]]]


def _language(
    network: Any,
    encoder: "Tokenizer",
    shards: TokenShards,
    documents: dict[str, Documents],
    without: dict[str, frozenset[str]],
    prompts: Sequence[str],
) -> Judged:
    """Loss, perplexity and bits per byte of the next token; continuations of the prompts."""
    from pipelines.evaluating import continuations, language_baselines, language_figures

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
    encoder: "Tokenizer",
    shards: TokenShards,
    documents: dict[str, Documents],
    _: dict[str, frozenset[str]],
    prompts: Sequence[str],
) -> Judged:
    """Accuracy and loss at hidden words; the prompts and held-out sentences filled in."""
    from pipelines.masked import fillings, masked_baselines, masked_figures

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
