"""Text to token ids and back: one interface, four ways to have a vocabulary.

interface    what every tokenizer is
bpe          byte-level BPE, trained here
words        the book's first tokenizer
openai       the ranks of GPT-2 and cl100k_base, as they were published
huggingface  any tokenizer.json
bulk         many texts at once, for all but words
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.text.errors import TextError
from pipelines.text.places import placed
from pipelines.tokens.tokenizers.bpe import RANKS, BytePairTokenizer, train_bpe
from pipelines.tokens.tokenizers.huggingface import (
    TOKENIZER_JSON,
    HuggingFaceTokenizer,
    Named,
    from_file,
)
from pipelines.tokens.tokenizers.interface import CONTROLS, META, Tokenizer, statistics
from pipelines.tokens.tokenizers.openai import published
from pipelines.tokens.tokenizers.words import WORDS, WordTokenizer, train_words

if TYPE_CHECKING:
    from pipelines.tokens.options import TokenizerChoice

__all__ = [
    "CONTROLS",
    "LIBRARIES",
    "META",
    "RANKS",
    "TOKENIZER_JSON",
    "WORDS",
    "BytePairTokenizer",
    "HuggingFaceTokenizer",
    "Named",
    "Tokenizer",
    "WordTokenizer",
    "build_tokenizer",
    "from_file",
    "load_tokenizer",
    "published",
    "statistics",
    "train_bpe",
    "train_words",
]

_BYTE_PAIRS = ("gigatoken", "tiktoken")
LIBRARIES: dict[str, tuple[str, ...]] = {
    "bpe": _BYTE_PAIRS,
    "words": (),
    "gpt2": _BYTE_PAIRS,
    "cl100k": _BYTE_PAIRS,
    "file": ("gigatoken", "tokenizers"),
}
"""What decides, besides this package, which ids a tokenizer of each kind gives."""


def build_tokenizer(
    choice: TokenizerChoice, texts: Iterable[str], root: Path, cache: Path
) -> Tokenizer:
    """The tokenizer of a recipe.

    ``texts`` are read by the kinds that are trained. A file's path is relative to ``root``;
    ``cache`` keeps what is downloaded.
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


def load_tokenizer(read: Callable[[str], bytes]) -> Tokenizer:
    """The tokenizer that ``save`` wrote; ``read(name)`` gives the verified bytes of a file.

    TextError names the file that is unreadable or does not fit the others.
    """
    try:
        about = json.loads(read(META))
        kind, told = about["kind"], about["vocab_size"]
        match kind:
            case "bpe" | "gpt2" | "cl100k":
                made: Tokenizer = BytePairTokenizer.load(read(RANKS), about)
            case "words":
                made = WordTokenizer.load(read(WORDS))
            case "file":
                named = Named(**about.get("named", {}))
                made = HuggingFaceTokenizer(read(TOKENIZER_JSON), named=named)
            case _:
                raise TextError(f"{META}: kind={kind} is unknown; build the tokenizer again")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise TextError(f"{META}: unreadable ({error}); build the tokenizer again") from None
    if told != made.vocab_size:
        raise TextError(
            f"{META}: vocab_size={told} but its files give {made.vocab_size}; build it again"
        )
    return made
