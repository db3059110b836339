"""Text to token ids and back: one interface, four sources of a vocabulary.

interface    the interface of every tokenizer
bpe          byte-level BPE, trained here
words        the book's first tokenizer
openai       the published ranks of GPT-2 and cl100k_base
huggingface  any tokenizer.json
bulk         the fast encoding of many texts, for all kinds but words
"""

from __future__ import annotations

import json
from collections.abc import Callable

from pipelines.text.errors import TextError
from pipelines.tokens.template import Template
from pipelines.tokens.tokenizers.bpe import RANKS, BytePairTokenizer
from pipelines.tokens.tokenizers.huggingface import HuggingFaceTokenizer, Named
from pipelines.tokens.tokenizers.interface import CONTROLS, META, Tokenizer, statistics
from pipelines.tokens.tokenizers.tokenizer_json import TOKENIZER_JSON
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
"""The distributions whose versions decide the ids, by kind of tokenizer."""


def load_tokenizer(read: Callable[[str], bytes]) -> Tokenizer:
    """The tokenizer that ``save`` wrote; ``read(name)`` gives the verified bytes of a file.

    Raises TextError that names the file which is unreadable or does not fit the others.
    """
    try:
        metadata = json.loads(read(META))
        kind, vocab_size = metadata["kind"], metadata["vocab_size"]
        match kind:
            case "bpe" | "gpt2" | "cl100k":
                tokenizer: Tokenizer = BytePairTokenizer.load(read(RANKS), metadata)
            case "words":
                tokenizer = WordTokenizer.load(read(WORDS))
            case "file":
                named, told = Named(**metadata.get("named", {})), metadata.get("template")
                template = None if told is None else Template.from_json(told)
                tokenizer = HuggingFaceTokenizer(
                    read(TOKENIZER_JSON), named=named, template=template
                )
            case _:
                raise TextError(f"{META}: kind={kind} is unknown; build the tokenizer again")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TextError(f"{META}: unreadable ({error}); build the tokenizer again") from None
    if vocab_size != tokenizer.vocab_size:
        raise TextError(
            f"{META}: vocab_size={vocab_size} but its files give {tokenizer.vocab_size};"
            " build it again"
        )
    return tokenizer
