"""Contamination: n-grams of words that training text shares with evaluation text."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from pipelines.text.ngrams import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEWEST_WORDS = 8
"""Evaluation texts of fewer words are skipped: a document may hold them by chance."""
MOST_OVERLAPS = 100
"""The most evaluation texts that are reported for a training document, or kept for an n-gram, if a
search asks for no other number."""

_BASE = 0x9E3779B97F4A7C15  # base of the hash; odd, so that each word counts modulo 2**64


@dataclass(frozen=True, slots=True)
class Overlap:
    """A training document and an evaluation text that share ``count`` different n-grams.

    ``ngram`` is the first of them in the document: its words in lower case, between spaces.
    """

    document_id: str
    evaluation: str
    evaluation_id: str
    ngram: str
    count: int


class EvaluationSets:
    """Evaluation texts by their n-grams of ``ngram`` words (Brown et al. 2020, appendix C).

    A text of fewer words, but at least eight, is one n-gram. Shorter texts are skipped;
    ``skipped`` counts them by set. The memory used is about 30 bytes for each word of the texts.
    An n-gram is kept for the first ``most`` texts with it, and a document has at most so many
    overlaps.
    """

    def __init__(self, ngram: int = 13, most: int = MOST_OVERLAPS) -> None:
        self.skipped: Counter[str] = Counter()
        self._ngram, self._most = ngram, most
        self._names: list[tuple[str, str]] = []
        self._numbers: dict[str, int] = {}  # each word of the texts to its number, from 1 on
        self._texts = array("I")  # the numbers of the words, text after text
        self._ends = array("q")  # where each text ends in ``_texts``
        self._index: _Index | None = None

    def add(self, name: str, document_id: str, text: str) -> None:
        """Add a text to the set ``name``; an overlap names both the set and ``document_id``."""
        words_of_text, numbers = words(text), self._numbers
        if len(words_of_text) < min(FEWEST_WORDS, self._ngram):
            self.skipped[name] += 1
            return
        self._index = None  # the index shares the arrays' memory, so they could not grow
        self._texts.extend([numbers.setdefault(word, len(numbers) + 1) for word in words_of_text])
        self._ends.append(len(self._texts))
        self._names.append((name, document_id))

    def overlaps(self, document_id: str, text: str) -> list[Overlap]:
        """The overlaps of a training document; see the function ``overlaps``."""
        import numpy as np

        if not self._names:
            return []
        if self._index is None:
            texts, ends = np.asarray(self._texts), np.asarray(self._ends)
            self._index = _Index(texts, ends, self._ngram, self._most)
        words_of_text = words(text)
        numbers = np.fromiter(
            map(self._numbers.get, words_of_text, repeat(0)), np.uint64, len(words_of_text)
        )
        return [
            Overlap(document_id, *self._names[number], " ".join(words_of_text[start:end]), count)
            for number, start, end, count in self._index.search(numbers)
        ]


def overlaps(sets: EvaluationSets, document_id: str, text: str) -> list[Overlap]:
    """The evaluation texts that share n-grams with a training document, each text once.

    The order is that of the first shared n-gram in the document. There are at most as many as the
    sets keep. An n-gram that occurs in more texts counts only in the first of them.
    """
    return sets.overlaps(document_id, text)


class _Shared(NamedTuple):
    """The number of a text and its n-grams in a document: place of the first one, and count."""

    text: int
    start: int
    end: int
    ngrams: int


class _Index:
    """The n-grams of texts by their hashes. A match counts only if the words are equal too.

    ``texts`` holds the numbers (above 0) of the words of all texts; ``ends`` holds where each text
    ends.
    """

    def __init__(
        self, texts: NDArray[np.uint32], ends: NDArray[np.int64], ngram: int, most: int
    ) -> None:
        import numpy as np

        self._most = most
        powers = [pow(_BASE, power, 1 << 64) for power in range(1, ngram + 1)]
        self._powers = np.array(powers, np.uint64)
        self._texts = texts
        self._starts = np.concatenate((np.zeros(1, np.int64), ends))[:-1]
        lengths = ends - self._starts
        self._sizes = np.minimum(lengths, ngram)  # words in an n-gram of each text
        self._windows = np.unique(self._sizes).tolist()
        size = np.repeat(self._sizes, lengths)
        size[np.arange(len(texts)) + size > np.repeat(ends, lengths)] = 0  # no n-gram starts here
        numbers = texts.astype(np.uint64)
        places = [np.flatnonzero(size == window) for window in self._windows]
        hashes = [
            self._hashes(numbers, window)[where]
            for window, where in zip(self._windows, places, strict=True)
        ]
        self._tabulate(np.concatenate(hashes), np.concatenate(places))

    def _hashes(self, numbers: NDArray[np.uint64], window: int) -> NDArray[np.uint64]:
        """The hash of each n-gram of ``window`` numbers: a polynomial in the base, modulo 2**64."""
        import numpy as np

        return np.correlate(numbers, self._powers[:window], "valid")

    def _tabulate(self, hashes: NDArray[np.uint64], places: NDArray[np.int64]) -> None:
        """Keep each n-gram once for each text, in the first ``most`` texts with it."""
        import numpy as np

        order = np.lexsort((places, hashes))
        hashes, places = hashes[order], places[order]
        other = np.diff(hashes, prepend=~hashes[:1]) != 0
        new = other | (np.diff(self._text_at(places), prepend=-1) != 0)
        hashes, places, other = hashes[new], places[new], other[new]
        rank = np.arange(len(places))
        rank -= np.maximum.accumulate(np.where(other, rank, 0))
        self._table = hashes[rank < self._most]
        self._places = places[rank < self._most].astype(np.uint32)
        # A table of the first bits of the hashes rules out most hashes that are not kept.
        bits = (8 * len(self._table)).bit_length()
        self._shift = np.uint64(64 - bits)
        self._maybe = np.zeros(1 << bits, np.bool_)
        self._maybe[self._table >> self._shift] = True

    def _text_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        import numpy as np

        return np.searchsorted(self._starts, places, side="right") - 1

    def search(self, numbers: NDArray[np.uint64]) -> list[_Shared]:
        """The texts that share n-grams with a document, in the order of the first shared n-gram.

        ``numbers`` are the numbers of the document's words; 0 is a word that no text has.
        """
        import numpy as np

        windows = [window for window in self._windows if window <= len(numbers)]
        if not windows:
            return []
        hashes = np.concatenate([self._hashes(numbers, window) for window in windows])
        possible = np.flatnonzero(self._maybe[hashes >> self._shift])
        possible_hashes = hashes[possible]
        low = np.searchsorted(self._table, possible_hashes)
        counts = np.searchsorted(self._table, possible_hashes, side="right") - low
        if not counts.any():
            return []
        once = np.unique(possible_hashes, return_index=True)[1]  # first place of each n-gram
        low, counts = low[once], counts[once]
        row = np.arange(counts.sum()) + np.repeat(low - counts.cumsum() + counts, counts)
        starts = np.concatenate([np.arange(len(numbers) - window + 1) for window in windows])
        at = np.repeat(starts[possible[once]], counts)
        places = self._places[row].astype(np.int64)
        equal = self._equal(numbers, at, places)
        return self._by_text(at[equal], places[equal])

    def _equal(
        self, numbers: NDArray[np.uint64], at: NDArray[np.int64], places: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether the n-gram at each of ``places`` is in the document, word for word."""
        import numpy as np

        sizes, word = self._sizes[self._text_at(places)], np.arange(len(self._powers))
        ours = self._texts.take(places[:, None] + word, mode="clip")
        theirs = numbers.take(at[:, None] + word, mode="clip")
        equal: NDArray[np.bool_] = ((ours == theirs) | (word >= sizes[:, None])).all(axis=1)
        equal &= at + sizes <= len(numbers)
        return equal

    def _by_text(self, at: NDArray[np.int64], places: NDArray[np.int64]) -> list[_Shared]:
        """Collect the matches by text: texts at ``places``, n-grams of the document at ``at``."""
        import numpy as np

        if not at.size:
            return []
        order = np.argsort(places)
        at, texts = at[order], self._text_at(places[order])
        first = np.flatnonzero(np.diff(texts, prepend=-1))
        counts = np.diff(first, append=len(texts))
        at, texts = np.minimum.reduceat(at, first), texts[first]
        order = np.lexsort((texts, at))[: self._most]
        columns = (texts, at, at + self._sizes[texts], counts)
        return list(map(_Shared, *(column[order].tolist() for column in columns)))
