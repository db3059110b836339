"""Bulk encoding with gigatoken: ten times as fast as the reference, which checks samples of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipelines.tokens.tokenizers.interface import Joined, utf8

if TYPE_CHECKING:
    import gigatoken

# The caches of an encoder grow with the different words it has seen; a new encoder needs 0.1 s.
# With a new one after so many tokens, a process that encodes 500 MB stays at 200 to 250 MB, and
# loses 5 % of its speed.
RENEW_TOKENS = 32 << 20
# The reference is slow, so it checks the beginnings of a few texts, of more in the first call.
SAMPLE, FIRST_SAMPLE, SAMPLE_CHARACTERS = 2, 32, 256


class Bulk:
    """The ids of many texts from the bulk library, while they equal those of the reference.

    ``build`` makes a new encoder, ``reference`` encodes one text. If the library cannot use the
    vocabulary, or its ids differ on a sample, there is one warning. After that ``encode`` returns
    None, and the caller uses the reference.
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
        """Begin a new piece of work, checked like the first, so its ids depend only on itself."""
        self.trusted, self._first = trusted, True

    def encode(self, texts: list[str]) -> Joined | None:
        """The ids of the texts, or None if the library must not be used."""
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
            f"tokenizer kind={self._name}: gigatoken {reason}; the slower reference is used",
            stacklevel=4,
        )
        return None

    def agrees(self, encoder: gigatoken.Tokenizer, sample: list[str]) -> bool:
        """Whether the encoder's ids of each text equal those of the reference."""
        return all(encoder.encode(text).tolist() == self._reference(text) for text in sample)

    def _ready(self) -> gigatoken.Tokenizer:
        """The encoder, or a new one after ``RENEW_TOKENS`` tokens."""
        if self._encoder is None or self._seen > RENEW_TOKENS:
            self._encoder = None  # free its memory before the next one is built
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
    """Whether an error is a panic of native code; pyo3's class for it is no ``Exception``."""
    return type(error).__name__ == "PanicException"
