"""The book's first tokenizer (2.2 to 2.4): words and punctuation marks, one id each.

White space is dropped and all unknown words become one token, so decoding does not give back the
text. This tokenizer is an example to read with the book; it shows the purpose of byte-level BPE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise, repeat
from pathlib import Path

from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers.interface import (
    ASSISTANT,
    END_OF_TEXT,
    USER,
    ControlIds,
    Joined,
    Tokenizer,
    joined,
    utf8,
)

WORDS = "words.txt"
UNKNOWN = "<|unk|>"

# The pieces of the book's re.split(r'([,.:;?_!"()\']|--|\s)', text), without blank ones.
_WORD = re.compile(r"""--|[,.:;?_!"()']|(?:[^-\s,.:;?_!"()']++|-(?!-))++""")
_SPACE_BEFORE_MARK = re.compile(r"""(?<!\s)\s++([,.?!"()'])""")


class WordTokenizer(Tokenizer):
    """Words in the order of their code points, then end of text, unknown, user and assistant."""

    def __init__(self, words: Sequence[str]) -> None:
        end_of_text, self.unknown, user, assistant = range(len(words), len(words) + 4)
        control = ControlIds(end_of_text, user, assistant)
        super().__init__("words", control, assistant + 1, lossless=False)
        self.words = tuple(words)
        if not self.words or any(left >= right for left, right in pairwise(self.words)):
            raise TextError(f"{WORDS}: no words, or not in order; build the tokenizer again")
        self._ids = {word: i for i, word in enumerate(self.words)}
        self._names = (*self.words, END_OF_TEXT, UNKNOWN, USER, ASSISTANT)

    @classmethod
    def load(cls, words: bytes) -> WordTokenizer:
        """The tokenizer from the bytes of ``words.txt``."""
        try:
            return cls(words.decode().split("\n")[:-1])
        except UnicodeDecodeError as error:
            raise TextError(f"{WORDS}: not UTF-8 ({error}); build the tokenizer again") from None

    def save(self, folder: Path) -> None:
        """Write ``words.txt``, one word on each line, and ``tokenizer.meta.json``."""
        lines = "".join(f"{word}\n" for word in self.words)
        (folder / WORDS).write_text(lines, encoding="utf-8", newline="\n")
        self._save_meta(folder)

    def encode(self, text: str) -> list[int]:
        """One id for each word or mark; a word that was not in the training text is ``unknown``."""
        utf8(text)
        return list(map(self._ids.get, _WORD.findall(text), repeat(self.unknown)))

    def decode(self, ids: Sequence[int]) -> str:
        """The words with spaces between them and none before a mark, as in the book."""
        self._require_known(ids)
        return _SPACE_BEFORE_MARK.sub(r"\1", " ".join(self._names[i] for i in ids))

    def _joined(self, texts: list[str]) -> Joined:
        return joined([self.encode(text) for text in texts])


def train_words(texts: Iterable[str]) -> WordTokenizer:
    """The tokenizer of all words and marks of ``texts``. Raises TextError if there are none."""
    words: set[str] = set()
    for text in texts:
        utf8(text)
        words.update(_WORD.findall(text))
    if not words:
        raise TextError("words=0: the training text has no words; add text")
    return WordTokenizer(sorted(words))
