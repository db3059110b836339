"""``<recipe>/tokenizer`` and ``<recipe>/token_shards``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipelines.core.declaration import Declaration, listed
from pipelines.core.scope import Scope
from pipelines.tokens.artefacts import TokenizerFiles, TokenShards
from pipelines.tokens.options import TokenizerChoice
from pipelines.tokens.tokenizers import LIBRARIES


def tokenizer(scope: Scope, options: TokenizerChoice) -> Iterator[Declaration]:
    """A recipe's tokenizer."""
    trained = options.kind in ("bpe", "words")
    yield Declaration(
        key=scope.tokenizer,
        makes=TokenizerFiles,
        making="pipelines.tokens.training:make",
        inputs={
            "documents": scope.documents if trained else {},
            "contamination": scope.contamination if trained else {},
            "licences": scope.licences,
        },
        settings=options,
        libraries=LIBRARIES[options.kind],
        exact=True,
        group=scope.recipe,
        about=f"The tokenizer of {scope.recipe}: {_kind(options)}"
        + (f", trained on {listed(scope.mixture)}." if trained else "."),
    )


def shards(
    scope: Scope, key: str | None = None, documents: Mapping[str, str] | None = None
) -> Iterator[Declaration]:
    """The token shards of a foundation, or the asset ``key`` of other ``documents``, by corpus."""
    yield Declaration(
        key=key or scope.token_shards,
        makes=TokenShards,
        making="pipelines.tokens.shards:encode",
        inputs={
            "tokenizer": scope.tokenizer,
            "documents": documents or scope.documents,
            "contamination": scope.contamination,
        },
        libraries=("pyarrow", *LIBRARIES[scope.tokenizer_kind]),
        exact=True,
        group=scope.recipe,
        about=f"The documents of {listed(documents or scope.documents)} as tokens of the tokenizer"
        f" of {scope.recipe}, by split.",
    )


def _kind(options: TokenizerChoice) -> str:
    known = {
        "bpe": f"byte-pair encoding with {options.vocab_size or 0:,} tokens",
        "words": "one token a word",
        "file": f"from the file {options.path}",
    }
    return known.get(options.kind, f"the published {options.kind}")
