"""The documents of a corpus as word ids, and batches of them for training.

Letters: W words of a text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipelines.corpora.turns import MARK
from pipelines.text.ngrams import words as words_of

if TYPE_CHECKING:
    from torch import Tensor

    from model.architectures.word2vec.config import Word2VecConfig
    from model.architectures.word2vec.contexts import Contexts
    from model.batches.batching import Batch


class WordText(NamedTuple):
    """A text as ids: ``words`` (W,) int64, and ``documents`` (W,), the document of each word."""

    words: Tensor
    documents: Tensor


def spoken(text: str) -> list[str]:
    """The words of a document in order and in lower case, without the letters of the speakers."""
    return words_of(MARK.sub("", text))


def count_words(texts: Iterable[str], min_count: int) -> dict[str, int]:
    """The words that occur at least ``min_count`` times, with their counts, most frequent first.

    Raises ValueError if there are fewer than two.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(spoken(text))
    kept = {word: n for word, n in counts.items() if n >= min_count}
    if len(kept) < 2:
        raise ValueError(
            f"words={len(kept)} with min_count={min_count}: add text, or lower min_count"
        )
    return dict(sorted(kept.items(), key=lambda item: (-item[1], item[0])))


def word_text(texts: Iterable[str], words: Iterable[str]) -> WordText:
    """The texts as word ids. The id of a word is its index in ``words``; other words are left out.

    Raises ValueError if no word is left.
    """
    import torch

    ids = {word: number for number, word in enumerate(words)}
    documents = [[ids[word] for word in spoken(text) if word in ids] for text in texts]
    if not any(documents):
        raise ValueError("no word of the vocabulary is in these documents; add documents")
    return WordText(
        torch.tensor([word for document in documents for word in document]),
        torch.arange(len(documents)).repeat_interleave(torch.tensor(list(map(len, documents)))),
    )


def make_contexts(
    text: WordText,
    *,
    counts: Sequence[int],
    config: Word2VecConfig,
    subsample: float,
    batch_size: int,
    seed: int,
) -> Contexts:
    """Batches of a text; ``counts`` has the count of each word by id."""
    import torch

    from model.architectures.word2vec.contexts import Contexts

    return Contexts(
        text.words,
        text.documents,
        torch.tensor(counts),
        config,
        subsample=subsample,
        batch_size=batch_size,
        seed=seed,
    )


def held_out_batches(contexts: Contexts, words: int | None) -> Iterator[Batch]:
    """The batches of one epoch of a held-out text; every call draws the same words.

    With ``words``, only about that number of words, in batches spread evenly over the epoch.
    """
    from model.batches.batching import spread

    batches = None if words is None else -(-words // contexts.batch_size)
    return map(contexts.batch, spread(contexts.steps_per_epoch, batches))
