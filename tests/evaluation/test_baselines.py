"""Baselines against plain counting, and what must hold of any of them."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest

from pipelines.corpora.generators.messages import message
from pipelines.evaluation.baselines import (
    KneserNey,
    compressor_bits_per_byte,
    interpolated_ngram_bits_per_byte,
    majority_baseline,
    tfidf_baseline,
    unigram_bits_per_byte,
)
from pipelines.text.errors import TextError

V, END = 12, 9


def stream(seed: int, length: int) -> list[int]:
    """Tokens with some order in them and ends of text here and there."""
    dice, tokens = random.Random(seed), [0]
    while len(tokens) < length:
        step = int(dice.random() * 3)
        tokens.append(END if dice.random() < 0.15 else (tokens[-1] + step) % 8)
    return tokens


TRAIN, TEST = stream(1, 400), stream(2, 90)


class PlainKneserNey:
    """The textbook recursion over dictionaries, one token at a time."""

    def __init__(self, train: list[int]) -> None:
        trigrams = Counter(contexts(train))
        bigrams = Counter(set(trigrams))
        self.counts = [self._suffixes(bigrams, 1), self._suffixes(bigrams, 2), trigrams]
        self.discounts = []
        for counts in self.counts:
            once = sum(n == 1 for n in counts.values())
            twice = sum(n == 2 for n in counts.values())
            self.discounts.append(min(max(once / max(once + 2 * twice, 1), 0.1), 0.9))

    def _suffixes(self, grams: Counter[tuple[int, ...]], length: int) -> Counter[tuple[int, ...]]:
        before: dict[tuple[int, ...], set[tuple[int, ...]]] = defaultdict(set)
        for gram in grams:
            before[gram[-length:]].add(gram[-length - 1 : -length])
        return Counter({gram: len(kinds) for gram, kinds in before.items()})

    def probability(self, gram: tuple[int, ...]) -> float:
        if not gram:
            return 1 / V
        counts, discount = self.counts[len(gram) - 1], self.discounts[len(gram) - 1]
        follows = {g: n for g, n in counts.items() if g[:-1] == gram[:-1]}
        shorter = self.probability(gram[1:])
        if not follows:
            return shorter
        kept = max(counts[gram] - discount, 0) if gram in counts else 0
        return (kept + discount * len(follows) * shorter) / sum(follows.values())


def contexts(tokens: list[int]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    before, last = END, END
    for token in tokens:
        found.append((before, last, token))
        before, last = (END, END) if token == END else (last, token)
    return found


@pytest.fixture(scope="module")
def model() -> KneserNey:
    return KneserNey(np.array(TRAIN, np.uint16), vocab_size=V, end_of_text=END)


def test_trigram_probabilities_equal_plain_counting(model: KneserNey) -> None:
    plain = PlainKneserNey(TRAIN)
    expected = [plain.probability(gram) for gram in contexts(TEST)]
    np.testing.assert_allclose(model.probabilities(np.array(TEST, np.uint16)), expected, rtol=1e-12)
    bits = interpolated_ngram_bits_per_byte(
        np.array(TRAIN), np.array(TEST), vocab_size=V, end_of_text=END, test_bytes=70
    )
    assert bits == pytest.approx(-sum(math.log2(p) for p in expected) / 70)


def test_trigram_probabilities_sum_to_one(model: KneserNey) -> None:
    """Over the vocabulary after any context, seen or never seen."""
    for before in range(V):
        for last in range(V):
            shares = model.distribution(before, last)
            assert shares.sum() == pytest.approx(1, abs=1e-12)
            assert shares.min() > 0


def test_no_context_reaches_across_a_document(model: KneserNey) -> None:
    one = model.probabilities(np.array([1, 2, END, 4]))[-1]
    two = model.probabilities(np.array([3, 3, END, 4]))[-1]
    assert one == two == model.probabilities(np.array([4]))[0]


def test_large_vocabularies_do_not_overflow() -> None:
    vocab_size = 50_259
    tokens = np.array([50_258, 50_257, 50_258, 50_256, 50_258, 50_257], np.uint16)
    model = KneserNey(tokens, vocab_size=vocab_size, end_of_text=50_256)
    assert model.distribution(50_258, 50_257).sum() == pytest.approx(1)
    with pytest.raises(TextError, match="63 bits"):
        KneserNey(tokens, vocab_size=1 << 21, end_of_text=0)
    with pytest.raises(TextError, match="no tokens"):
        KneserNey(tokens[:0], vocab_size=9, end_of_text=0)


def test_unigram_is_laplace_counting() -> None:
    counts = Counter(TRAIN)
    expected = -sum(math.log2((counts[t] + 1) / (len(TRAIN) + V)) for t in TEST) / 70
    found = unigram_bits_per_byte(np.array(TRAIN), np.array(TEST), vocab_size=V, test_bytes=70)
    assert found == pytest.approx(expected)
    with pytest.raises(TextError, match="test_bytes=0"):
        unigram_bits_per_byte(np.array(TRAIN), np.array(TEST), vocab_size=V, test_bytes=0)


def test_longer_contexts_foretell_more(model: KneserNey) -> None:
    test = np.array(TEST)
    unigram = unigram_bits_per_byte(np.array(TRAIN), test, vocab_size=V, test_bytes=70)
    trigram = -np.log2(model.probabilities(test)).sum() / 70
    assert trigram < unigram - 0.1


@pytest.mark.parametrize("kind", ["lzma", "zlib"])
def test_a_compressor_knows_what_it_has_seen(kind: str, texts: list[str]) -> None:
    fresh = compressor_bits_per_byte(["unrelated"], texts[:20], kind)  # type: ignore[arg-type]
    seen = compressor_bits_per_byte(texts[:40], texts[:20], kind)  # type: ignore[arg-type]
    like = compressor_bits_per_byte(texts[40:], texts[:20], kind)  # type: ignore[arg-type]
    assert seen < like < fresh < 8
    with pytest.raises(TextError, match="test_bytes=0"):
        compressor_bits_per_byte(texts, [], kind)  # type: ignore[arg-type]


def test_the_majority_answers_for_all() -> None:
    assert majority_baseline(["b", "a", "b"], 2) == ["b", "b"]
    assert majority_baseline(["b", "a"], 1) == ["a"]


def test_tfidf_learns_the_messages_and_repeats_itself() -> None:
    texts, labels = zip(*(message(0, i) for i in range(900)), strict=True)
    found = tfidf_baseline(texts[:400], labels[:400], texts[400:])
    right = sum(a == b for a, b in zip(found, labels[400:], strict=True)) / 500
    majority = sum(b == "ham" for b in labels[400:]) / 500
    assert majority + 0.15 < right < 1
    assert tfidf_baseline(texts[:400], labels[:400], texts[400:]) == found
    assert tfidf_baseline(["a", "b"], ["ham", "ham"], ["c"]) == ["ham"]


@pytest.mark.parametrize(
    ("up", "down"),
    [("😀", "😢"), ("7", "3"), ("x", "y"), ("!?", "..."), ("👍🏽 1", "👎 0"), ("是", "否")],
)
def test_texts_without_a_word_are_told_apart_too(up: str, down: str) -> None:
    found = tfidf_baseline([up, down] * 8, ["up", "down"] * 8, [down, up, f"{up} {up}"])
    assert found == ["down", "up", "up"]


def test_texts_of_blanks_get_the_majority() -> None:
    assert tfidf_baseline([" ", "\n", ""], ["b", "a", "a"], [" ", "word"]) == ["a", "a"]
