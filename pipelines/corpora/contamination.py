"""Contamination: words in a row that training text shares with what a model is evaluated on."""

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
"""So many evaluation texts are told for a training document, and known for an n-gram."""

_BASE = 0x9E3779B97F4A7C15  # of the hashes; odd, so that modulo 2**64 no word drops out


@dataclass(frozen=True, slots=True)
class Overlap:
    """A training document and an evaluation text that share ``count`` different n-grams.

    ``ngram`` is the first of them in the document, its words as they are compared.
    """

    document_id: str
    evaluation: str
    evaluation_id: str
    ngram: str
    count: int


class EvaluationSets:
    """Evaluation texts by their n-grams of ``ngram`` words (Brown et al. 2020, appendix C).

    A text of fewer words, but at least eight, is one n-gram; ``skipped`` counts the shorter ones
    by set. In memory stay about 30 bytes for each word of these texts, and nothing else.
    """

    def __init__(self, ngram: int = 13) -> None:
        self.skipped: Counter[str] = Counter()
        self._ngram = ngram
        self._names: list[tuple[str, str]] = []
        self._numbers: dict[str, int] = {}  # of the words of all texts, from 1
        self._texts = array("I")  # words by number, text after text
        self._ends = array("q")
        self._index: _Index | None = None

    def add(self, name: str, document_id: str, text: str) -> None:
        """Take a text into the set ``name``; overlaps tell it by the two names."""
        found, numbers = words(text), self._numbers
        if len(found) < min(FEWEST_WORDS, self._ngram):
            self.skipped[name] += 1
            return
        self._index = None  # it holds on to the arrays
        self._texts.extend([numbers.setdefault(word, len(numbers) + 1) for word in found])
        self._ends.append(len(self._texts))
        self._names.append((name, document_id))

    def overlaps(self, document_id: str, text: str) -> list[Overlap]:
        """What the function ``overlaps`` answers."""
        import numpy as np

        if not self._names:
            return []
        if self._index is None:
            self._index = _Index(np.asarray(self._texts), np.asarray(self._ends), self._ngram)
        found = words(text)
        numbers = np.fromiter(map(self._numbers.get, found, repeat(0)), np.uint64, len(found))
        return [
            Overlap(document_id, *self._names[number], " ".join(found[start:end]), count)
            for number, start, end, count in self._index.search(numbers)
        ]


def overlaps(sets: EvaluationSets, document_id: str, text: str) -> list[Overlap]:
    """The evaluation texts with which a training document shares n-grams, each once.

    They come in the order in which the document comes to them, at most ``MOST_OVERLAPS``. An
    n-gram that is in more texts than that counts in the first of them alone.
    """
    return sets.overlaps(document_id, text)


class _Shared(NamedTuple):
    """A text, by number, and its n-grams in a document: where the first is, how many there are."""

    text: int
    start: int
    end: int
    ngrams: int


class _Index:
    """N-grams of texts by their hashes, told only if the words themselves are equal.

    ``texts`` holds the words of all texts by their numbers, above 0; ``ends`` where each ends.
    """

    def __init__(self, texts: NDArray[np.uint32], ends: NDArray[np.int64], ngram: int) -> None:
        import numpy as np

        powers = [pow(_BASE, power, 1 << 64) for power in range(1, ngram + 1)]
        self._powers = np.array(powers, np.uint64)
        self._texts = texts
        self._starts = np.concatenate((np.zeros(1, np.int64), ends))[:-1]
        lengths = ends - self._starts
        self._sizes = np.minimum(lengths, ngram)  # words in an n-gram of each text
        self._windows = np.unique(self._sizes).tolist()
        size = np.repeat(self._sizes, lengths)
        size[np.arange(len(texts)) + size > np.repeat(ends, lengths)] = 0  # none begins here
        numbers = texts.astype(np.uint64)
        places = [np.flatnonzero(size == window) for window in self._windows]
        hashes = [
            self._hashes(numbers, window)[where]
            for window, where in zip(self._windows, places, strict=True)
        ]
        self._tabulate(np.concatenate(hashes), np.concatenate(places))

    def _hashes(self, numbers: NDArray[np.uint64], window: int) -> NDArray[np.uint64]:
        """Of each ``window`` numbers in a row: a polynomial in the base, modulo 2**64."""
        import numpy as np

        return np.correlate(numbers, self._powers[:window], "valid")

    def _tabulate(self, hashes: NDArray[np.uint64], places: NDArray[np.int64]) -> None:
        """Keep each n-gram once a text, in the first texts that have it."""
        import numpy as np

        order = np.lexsort((places, hashes))
        hashes, places = hashes[order], places[order]
        other = np.diff(hashes, prepend=~hashes[:1]) != 0
        new = other | (np.diff(self._text_at(places), prepend=-1) != 0)
        hashes, places, other = hashes[new], places[new], other[new]
        rank = np.arange(len(places))
        rank -= np.maximum.accumulate(np.where(other, rank, 0))
        self._table = hashes[rank < MOST_OVERLAPS]
        self._places = places[rank < MOST_OVERLAPS].astype(np.uint32)
        # By the bits with which it begins, a hash that is not in the table mostly costs one look.
        bits = (8 * len(self._table)).bit_length()
        self._shift = np.uint64(64 - bits)
        self._maybe = np.zeros(1 << bits, np.bool_)
        self._maybe[self._table >> self._shift] = True

    def _text_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        import numpy as np

        return np.searchsorted(self._starts, places, side="right") - 1

    def search(self, numbers: NDArray[np.uint64]) -> list[_Shared]:
        """The texts with n-grams of a document, as it comes to them; 0 is a word of no text."""
        import numpy as np

        windows = [window for window in self._windows if window <= len(numbers)]
        if not windows:
            return []
        hashes = np.concatenate([self._hashes(numbers, window) for window in windows])
        maybe = np.flatnonzero(self._maybe[hashes >> self._shift])
        wanted = hashes[maybe]
        low = np.searchsorted(self._table, wanted)
        counts = np.searchsorted(self._table, wanted, side="right") - low
        if not counts.any():
            return []
        once = np.unique(wanted, return_index=True)[1]  # each n-gram where it is first
        low, counts = low[once], counts[once]
        row = np.arange(counts.sum()) + np.repeat(low - counts.cumsum() + counts, counts)
        starts = np.concatenate([np.arange(len(numbers) - window + 1) for window in windows])
        at = np.repeat(starts[maybe[once]], counts)
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
        """The n-grams of texts at ``places``, first in the document at ``at``, told once a text."""
        import numpy as np

        if not at.size:
            return []
        order = np.argsort(places)
        at, texts = at[order], self._text_at(places[order])
        first = np.flatnonzero(np.diff(texts, prepend=-1))
        counts = np.diff(first, append=len(texts))
        at, texts = np.minimum.reduceat(at, first), texts[first]
        order = np.lexsort((texts, at))[:MOST_OVERLAPS]
        columns = (texts, at, at + self._sizes[texts], counts)
        return list(map(_Shared, *(column[order].tolist() for column in columns)))
