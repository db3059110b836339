"""The documents of a corpus as the ids of their words, and batches of them to learn from.

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
    """A text as word ids: ``words`` (W,) int64, and ``documents`` (W,) which each stands in."""

    words: Tensor
    documents: Tensor


def spoken(text: str) -> list[str]:
    """The words of a document in order, in lower case, without the letter that says who speaks."""
    return words_of(MARK.sub("", text))


def count_words(texts: Iterable[str], min_count: int) -> dict[str, int]:
    """Words that stand ``min_count`` times or more with how often, the most frequent first.

    ValueError if fewer than two do.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(spoken(text))
    kept = {word: n for word, n in counts.items() if n >= min_count}
    if len(kept) < 2:
        raise ValueError(f"words={len(kept)} with min_count={min_count}: add text or lower it")
    return dict(sorted(kept.items(), key=lambda item: (-item[1], item[0])))


def word_text(texts: Iterable[str], words: Iterable[str]) -> WordText:
    """The texts as the ids of ``words``, their places in it; what is in none of them is left out.

    ValueError if nothing is left.
    """
    import torch

    ids = {word: number for number, word in enumerate(words)}
    found = [[ids[word] for word in spoken(text) if word in ids] for text in texts]
    if not any(found):
        raise ValueError("no word of the vocabulary stands in these documents; add documents")
    return WordText(
        torch.tensor([word for document in found for word in document]),
        torch.arange(len(found)).repeat_interleave(torch.tensor(list(map(len, found)))),
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
    """Batches of a text for the words that were counted."""
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
    """One epoch of a held-out text: the same words are drawn at every look.

    With ``words`` only about so many, in batches that are spread evenly over the epoch.
    """
    from model.batches.batching import spread

    batches = None if words is None else -(-words // contexts.batch_size)
    return map(contexts.batch, spread(contexts.steps_per_epoch, batches))
