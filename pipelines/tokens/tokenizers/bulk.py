"""gigatoken: many texts at once, ten times as fast as the reference, and kept honest by it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipelines.tokens.tokenizers.interface import Joined, utf8

if TYPE_CHECKING:
    import gigatoken

# Its caches grow with the different words that it has seen; a new one starts in 0.1 s. So often
# renewed, a process that encodes 500 MB stays at 200 to 250 MB and loses 5 % of its speed.
RENEW_TOKENS = 32 << 20
# The reference is slow: the beginnings of a few texts of every call, of more of the first.
SAMPLE, FIRST_SAMPLE, SAMPLE_CHARACTERS = 2, 32, 256


class Bulk:
    """Ids of many texts as the bulk library has them, while they equal the reference's.

    ``build`` makes a new encoder, ``reference`` encodes one text. A vocabulary that the library
    cannot take, and ids that differ on a sample, are warned of once; from then on ``encode`` gives
    None and the caller does without.
    """

    def __init__(
        self,
        name: str,
        build: Callable[[], gigatoken.Tokenizer],
        reference: Callable[[str], list[int]],
    ) -> None:
        self._name = name
        self._build = build
        self._reference = reference
        self._encoder: gigatoken.Tokenizer | None = None
        self._seen = 0
        self.trusted, self._first = True, True

    def begin(self, *, trusted: bool) -> None:
        """A new piece of work, checked as if it were the first: its ids hang on it alone."""
        self.trusted, self._first = trusted, True

    def encode(self, texts: list[str]) -> Joined | None:
        """Ids of the texts, or None if the library is not to be used."""
        if not self.trusted:
            return None
        count, self._first = FIRST_SAMPLE if self._first else SAMPLE, False
        try:
            encoder = self._ready()
            encoded = _encode(encoder, texts)
            self._seen += len(encoded.ids)
            if self.agrees(encoder, beginnings(texts, count)):
                return encoded
            reason = "gives other ids than the reference"
        except BaseException as error:
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            for text in texts:
                utf8(text)
            reason = f"cannot encode with it ({' '.join(str(error).split())})"
        self.trusted, self._encoder = False, None
        warnings.warn(
            f"tokenizer kind={self._name}: gigatoken {reason}; the reference does the work, slower",
            stacklevel=4,
        )
        return None

    def agrees(self, encoder: gigatoken.Tokenizer, sample: list[str]) -> bool:
        """Whether its ids of each text are the reference's."""
        return all(encoder.encode(text).tolist() == self._reference(text) for text in sample)

    def _ready(self) -> gigatoken.Tokenizer:
        """An encoder that has not seen too much."""
        if self._encoder is None or self._seen > RENEW_TOKENS:
            self._encoder = None  # its memory goes before the next one takes its own
            self._encoder, self._seen = self._build(), 0
        return self._encoder


def _encode(encoder: gigatoken.Tokenizer, texts: list[str]) -> Joined:
    import numpy as np

    rows = encoder.encode_batch(texts).layout
    offsets = np.asarray(rows.offsets.data)
    return Joined(np.asarray(rows.content.data), np.diff(offsets))


def beginnings(texts: list[str], count: int) -> list[str]:
    """The beginnings of up to ``count`` evenly spaced texts."""
    return [text[:SAMPLE_CHARACTERS] for text in texts[:: max(1, len(texts) // count)][:count]]


def is_panic(error: BaseException) -> bool:
    """Whether native code gave up: pyo3's exception for that is no ``Exception``."""
    return type(error).__name__ == "PanicException"
