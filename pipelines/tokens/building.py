"""The building of a tokenizer by a recipe: trained, published, or from a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipelines.text.places import placed
from pipelines.tokens.options import TokenizerChoice
from pipelines.tokens.tokenizers import Tokenizer
from pipelines.tokens.tokenizers.bpe_training import train_bpe
from pipelines.tokens.tokenizers.huggingface import from_file
from pipelines.tokens.tokenizers.openai import published
from pipelines.tokens.tokenizers.words import train_words


def build_tokenizer(
    choice: TokenizerChoice, texts: Iterable[str], root: Path, cache: Path
) -> Tokenizer:
    """The tokenizer of a recipe.

    Only the kinds that are trained read ``texts``. A file's path is relative to ``root``; ``cache``
    keeps downloads.
    """
    match choice.kind:
        case "bpe":
            assert choice.vocab_size is not None
            return train_bpe(texts, choice.vocab_size)
        case "words":
            return train_words(texts)
        case "gpt2" | "cl100k":
            return published(choice.kind, cache)
        case "file":
            assert choice.path is not None
            assert choice.sha256 is not None
            path = placed(root, choice.path, outside=choice.outside)
            return from_file(path, choice.sha256)
