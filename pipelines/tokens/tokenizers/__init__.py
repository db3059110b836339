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
from collections.abc import Callable

from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers.bpe import RANKS, BytePairTokenizer
from pipelines.tokens.tokenizers.huggingface import (
    TOKENIZER_JSON,
    HuggingFaceTokenizer,
    Named,
)
from pipelines.tokens.tokenizers.interface import CONTROLS, META, Tokenizer, statistics
from pipelines.tokens.tokenizers.words import WORDS, WordTokenizer

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
    "load_tokenizer",
    "statistics",
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
