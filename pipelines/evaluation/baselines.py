"""Baselines on the same split: n-gram counts, compressors, and linear classifiers.

Bits per byte are the code length of the test split, divided by the UTF-8 bytes of its text. So
they compare models with different tokenizers, and compressors without a tokenizer.
"""

from __future__ import annotations

import lzma
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pipelines.text.errors import TextError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Tokens = npt.NDArray[np.integer[Any]]
    Floats = npt.NDArray[np.float64]

# Bytes of the training text that lzma may learn from: more bytes cost seconds and gain little.
LZMA_TAIL = 2 << 20
ZLIB_TAIL = 32 << 10  # the whole window of zlib


def unigram_bits_per_byte(
    train: Tokens, test: Tokens, *, vocab_size: int, test_bytes: int
) -> float:
    """Bits per byte of a unigram model: a token's probability is its share of the training tokens.

    One is added to every count (Laplace). Raises TextError if the test split has no text.
    """
    import numpy as np

    counts = np.bincount(train, minlength=vocab_size) + 1
    bits = np.log2(counts.sum()) - np.log2(counts)
    return float(bits[test].sum() / _positive(test_bytes))


class _Order(NamedTuple):
    """Counts of the n-grams of one length; ``keys`` and ``contexts`` are sorted for search.

    ``totals`` are the sums of the counts in each context, ``kinds`` the numbers of different tokens
    that follow it.
    """

    keys: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    contexts: npt.NDArray[np.int64]
    totals: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int64]
    discount: float


class KneserNey:
    """An interpolated trigram model over tokens, computed on whole arrays.

    A discount is subtracted from each trigram's count, and its probability goes to the shorter
    context. The counts of a shorter context say how many different contexts a token follows, not
    how often it occurs (Kneser and Ney 1995, the interpolated form of Chen and Goodman 1999). An
    end of text stands before every document, so no context crosses the start of a document.
    Probabilities over the vocabulary sum to one.

    Raises TextError if the vocabulary is too large for the keys, or without training tokens.
    """

    def __init__(self, train: Tokens, *, vocab_size: int, end_of_text: int) -> None:
        import numpy as np

        if not 1 <= vocab_size < 1 << 21:
            raise TextError(f"vocab_size={vocab_size}: a trigram's key must fit in 63 bits")
        if not len(train):
            raise TextError("train has no tokens: nothing to count")
        self.vocab_size, self.end_of_text = vocab_size, end_of_text
        keys, counts = np.unique(self._keys(train), return_counts=True)
        orders = [self._order(keys, counts)]
        for length in (2, 1):
            # Each distinct longer n-gram counts once for the shorter n-gram at its end.
            keys, counts = np.unique(keys % vocab_size**length, return_counts=True)
            orders.append(self._order(keys, counts))
        self._orders = orders[::-1]

    def _keys(self, tokens: Tokens) -> npt.NDArray[np.int64]:
        """One number for the trigram (token before last, last token, token) at every position."""
        import numpy as np

        padded = np.concatenate([[self.end_of_text] * 2, tokens]).astype(np.int64)
        before, last = padded[:-2], padded[1:-1]
        before = np.where(last == self.end_of_text, self.end_of_text, before)
        return (before * self.vocab_size + last) * self.vocab_size + padded[2:]

    def _order(self, keys: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> _Order:
        import numpy as np

        contexts, starts, kinds = np.unique(
            keys // self.vocab_size, return_index=True, return_counts=True
        )
        totals = np.add.reduceat(counts, starts)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        # Ney, Essen and Kneser 1994. The bounds keep the probability of unseen tokens above 0.
        discount = min(max(once / max(once + 2 * twice, 1), 0.1), 0.9)
        return _Order(keys, counts, contexts, totals, kinds, discount)

    def probabilities(self, tokens: Tokens) -> Floats:
        """The probability of each token of a stream after the two tokens before it."""
        return self._probabilities(self._keys(tokens))

    def distribution(self, before: int, last: int) -> Floats:
        """The probability of every token of the vocabulary after the tokens ``before, last``."""
        import numpy as np

        context = (before * self.vocab_size + last) * self.vocab_size
        return self._probabilities(context + np.arange(self.vocab_size, dtype=np.int64))

    def _probabilities(self, keys: npt.NDArray[np.int64]) -> Floats:
        import numpy as np

        shorter = np.full(len(keys), 1 / self.vocab_size)
        for length, order in enumerate(self._orders, 1):
            ngrams = keys % self.vocab_size**length
            count = _look_up(order.keys, order.counts, ngrams)
            total = _look_up(order.contexts, order.totals, ngrams // self.vocab_size)
            kinds = _look_up(order.contexts, order.kinds, ngrams // self.vocab_size)
            mass = np.maximum(count - order.discount, 0) + order.discount * kinds * shorter
            shorter = np.where(total > 0, mass / np.maximum(total, 1), shorter)
        return shorter


def _look_up(
    keys: npt.NDArray[np.int64], values: npt.NDArray[np.int64], queries: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The value of each query; 0 where the sorted keys do not contain it."""
    import numpy as np

    places = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return np.where(keys[places] == queries, values[places], 0)


def interpolated_ngram_bits_per_byte(
    train: Tokens, test: Tokens, *, vocab_size: int, end_of_text: int, test_bytes: int
) -> float:
    """Bits per byte of the ``KneserNey`` trigram over tokens, ends of text included.

    Raises TextError if the test split has no text.
    """
    import numpy as np

    model = KneserNey(train, vocab_size=vocab_size, end_of_text=end_of_text)
    return float(-np.log2(model.probabilities(test)).sum() / _positive(test_bytes))


def compressor_bits_per_byte(
    train: Iterable[str], test: Iterable[str], kind: Literal["lzma", "zlib"] = "lzma"
) -> float:
    """Bits that the test text adds to the compressed tail of the training text, per byte.

    Texts are joined by a line end. It counts in the compressed size but not in the bytes of the
    text, like the end of text of a model. Raises TextError if the test split has no text.
    """
    texts = list(test)
    joined = "\n".join(texts).encode()
    size = sum(len(text.encode()) for text in texts)
    if kind == "zlib":
        packer = zlib.compressobj(9, zdict=_tail(train, ZLIB_TAIL))
        return 8 * len(packer.compress(joined) + packer.flush()) / _positive(size)
    tail = _tail(train, LZMA_TAIL)
    return 8 * (len(lzma.compress(tail + joined)) - len(lzma.compress(tail))) / _positive(size)


def _tail(texts: Iterable[str], size: int) -> bytes:
    """The last ``size`` bytes of the texts joined by line ends.

    Memory holds at most about twice as many bytes.
    """
    tail = bytearray()
    for text in texts:
        tail += text.encode() + b"\n"
        if len(tail) > 2 * size:
            del tail[:-size]
    return bytes(tail[-size:])


def _positive(test_bytes: int) -> int:
    if test_bytes < 1:
        raise TextError(f"test_bytes={test_bytes}: the test split has no text; raise its share")
    return test_bytes


# --- classification -----------------------------------------------------------------------------


# A word of any length, or a run of signs: a text of one letter or of emoji also has terms.
TERMS = r"\w+|[^\w\s]+"


def majority_baseline(train_labels: Sequence[str], tests: int) -> list[str]:
    """The most frequent training label for every test text; the first by name if several are."""
    counts = Counter(sorted(train_labels))
    return [counts.most_common(1)[0][0]] * tests


def tfidf_baseline(
    train_texts: Sequence[str], train_labels: Sequence[str], test_texts: Sequence[str]
) -> list[str]:
    """Labels by logistic regression over TF-IDF of words and word pairs, without randomness.

    If there is only one label, or all training texts are blank, the ``majority_baseline``.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if len(set(train_labels)) < 2 or not any(map(str.strip, train_texts)):
        return majority_baseline(train_labels, len(test_texts))
    classifier = make_pipeline(
        TfidfVectorizer(token_pattern=TERMS, ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10.0, max_iter=1000, random_state=0),
    )
    classifier.fit(train_texts, train_labels)
    return [str(label) for label in classifier.predict(test_texts)]


def nearest_baseline(train_texts: Sequence[str], test_texts: Sequence[str]) -> list[int]:
    """For each test text, the index of the most similar training text.

    Similarity is by TF-IDF over one to four consecutive letters inside words. Of equally similar
    texts the first is chosen.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    train = letters.fit_transform(train_texts).T.tocsr()
    test = letters.transform(test_texts)
    starts = range(0, test.shape[0], 64)  # 64 test texts at a time: less memory
    similarities = (test[start : start + 64] @ train for start in starts)
    return [int(index) for part in similarities for index in part.toarray().argmax(axis=1)]
