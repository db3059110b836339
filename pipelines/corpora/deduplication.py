"""Near-duplicates: documents with nearly the words of an earlier one, found by signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipelines.text.ngrams import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_UNSEEN = 0.01  # the share of pairs exactly at the required similarity that may be missed
_WAYS = 8  # numbers in a set of the index
_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio (Knuth, vol. 3, 6.4)


class Match(NamedTuple):
    """The earlier document that a document resembles, and their similarity, above 0 to 1."""

    document_id: str
    similarity: float


class NearDuplicates:
    """Finds documents that share most of their words with an earlier one, to be dropped.

    Two documents are near-duplicates if the Jaccard similarity of their sets of n-grams (``ngram``
    words in a row) is at least ``similarity``. Signatures of up to ``permutations`` minima
    estimate it (MinHash, Broder 1997; standard error at most 0.5 / sqrt(permutations)). A text of
    fewer words is one n-gram, so it resembles only equal texts. The answers depend only on the
    texts and their order. Memory holds, for each kept document, its id, two bytes for each minimum
    and 5 to 11 bytes for each band: 0.5 to 0.7 KB by default.
    """

    def __init__(self, similarity: float = 0.5, ngram: int = 2, permutations: int = 128) -> None:
        self._ngram = ngram
        self._bands, self._rows = bands_and_rows(similarity, permutations)
        self._index = _Index(self._bands, self._rows, similarity)
        self._kept: list[str] = []

    def __call__(self, text: str, document_id: str) -> Match | None:
        """The kept document most similar to this one, the first of several; None: keep this one."""
        size = self._bands * self._rows
        match = self._index.find_or_add(signature(text, self._ngram, size))
        if match is None:
            self._kept.append(document_id)
            return None
        return Match(self._kept[match.number - 1], match.similarity)


def signature(text: str, ngram: int, size: int) -> NDArray[np.uint16]:
    """The ``size`` minima of a text: of two texts the share of equal ones estimates how alike they
    are, as the Jaccard similarity of their sets of ``ngram`` words in a row."""
    import numpy as np
    from rensa import RMinHash

    words_of_text = words(text)
    shifted = (words_of_text[start:] for start in range(ngram))
    ngrams = list(map(" ".join, zip(*shifted, strict=False)))
    sketch = RMinHash(size, 1)
    sketch.update(ngrams or [" ".join(words_of_text) or text])
    # Half of the 32 bits of a minimum separate n-grams well enough (Li and König 2010).
    return np.array(sketch.digest(), np.uint32).astype(np.uint16)


def bands_and_rows(similarity: float, permutations: int) -> tuple[int, int]:
    """The number of bands of a signature and of rows in a band.

    Two documents are compared if they agree in all rows of at least one band. The probability of
    this is 1 - (1 - similarity^rows)^bands (Leskovec, Rajaraman and Ullman, Mining of Massive
    Datasets, 3.4). More rows save comparisons but miss more pairs. The result has the most rows
    with which no more than one in a hundred pairs exactly at ``similarity`` is missed.
    """
    for rows in range(permutations, 1, -1):
        bands = permutations // rows
        if (1 - similarity**rows) ** bands <= _UNSEEN:
            return bands, rows
    return permutations, 1


class _Found(NamedTuple):
    number: int
    similarity: float


class _Index:
    """Signatures, numbered from 1 on, which are looked up by their bands.

    The values of a band choose one set of that band. A set holds the numbers of the last eight
    signatures that chose it. Values that more signatures share say little, and similar signatures
    agree in other bands too. So time and memory are bounded for any texts.
    """

    def __init__(self, bands: int, rows: int, similarity: float) -> None:
        import numpy as np

        bits, size = 8, bands * rows
        factors = [pow(_GOLDEN, power, 1 << 64) for power in range(1, size + 1)]
        self._similarity = similarity
        self._factors = np.array(factors, np.uint64).reshape(bands, rows)
        self._bands, self._heads = np.arange(bands), np.arange(0, size, rows)[:, None]
        self._shift = np.uint64(64 - bits)
        self._sets = np.zeros((bands, 1 << bits, _WAYS), np.uint32)
        # Signatures for three quarters of the places: few sets of eight overflow by chance.
        self._signatures = np.zeros((_WAYS * 3 // 4 << bits, size), np.uint16)
        self._count = 0

    def find_or_add(self, signature: NDArray[np.uint16]) -> _Found | None:
        """The signature that agrees most with this one, the first of several, with the similarity.

        The similarity is the share of equal values. If no signature reaches the required
        similarity, this one is added and the result is None.
        """
        import numpy as np

        chosen = self._hashes(signature) >> self._shift
        numbers = self._sets[self._bands, chosen]
        candidates = numbers[self._signatures[numbers, self._heads] == signature[self._heads]]
        if candidates.size:
            agreeing = (self._signatures[candidates] == signature).sum(axis=1, dtype=np.uint16)
            most_equal = int(agreeing.max())
            if most_equal >= self._similarity * signature.size:
                return _Found(
                    int(candidates[agreeing == most_equal].min()), most_equal / signature.size
                )
        self._count += 1
        self._signatures[self._count] = signature
        # A free place holds 0, so the least number is a free place or else the oldest signature.
        self._sets[self._bands, chosen, numbers.argmin(axis=1)] = self._count
        if self._count + 1 == len(self._signatures):
            self._grow()
        return None

    def _hashes(
        self, signatures: NDArray[np.uint16], band: int | slice = slice(None)
    ) -> NDArray[np.uint64]:
        """The hashes of all bands, or of one band; their first bits choose the set."""
        import numpy as np

        values = signatures.reshape(*signatures.shape[:-1], *self._factors.shape)[..., band, :]
        hashes: NDArray[np.uint64] = np.vecdot(values, self._factors[band])
        return hashes

    def _grow(self) -> None:
        """Double the sets: one more bit of the signatures' hashes divides each set into two."""
        import numpy as np

        bands, sets, ways = self._sets.shape
        halves = np.zeros((bands, sets, 2, ways), np.uint32)
        self._shift -= np.uint64(1)
        for band, numbers in enumerate(self._sets):
            bit = self._hashes(self._signatures, band) >> self._shift & np.uint64(1)
            halves[band, :, 0] = np.where(bit[numbers] == 0, numbers, 0)
            halves[band, :, 1] = np.where(bit[numbers] == 1, numbers, 0)
        self._sets = halves.reshape(bands, 2 * sets, ways)
        signatures = np.zeros((2 * len(self._signatures), self._factors.size), np.uint16)
        signatures[: len(self._signatures)] = self._signatures
        self._signatures = signatures
