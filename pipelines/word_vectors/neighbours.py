"""Neighbours of word vectors: the nearest words, a score for groups of words, and a map.

Letters: V words that have a vector, D the size of a vector, N words of the groups.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.evaluation.findings import Comparison
from pipelines.word_vectors.texts import WordText, word_text

if TYPE_CHECKING:
    from torch import Tensor


def find_word(words: Sequence[str], word: str) -> int:
    """The id of a word. Raises ValueError with the nearest spelling if it has no vector."""
    try:
        return words.index(word.lower())
    except ValueError:
        near = difflib.get_close_matches(word.lower(), words, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "try one that is frequent in the corpus"
        raise ValueError(f"word={word!r} has no vector: {hint}") from None


def nearest(vectors: Tensor, word: int, count: int) -> list[tuple[int, float]]:
    """The nearest words to ``word`` by the cosine of their vectors (V, D).

    Each is (id, cosine), the nearest first, without the word itself.
    """
    from torch.nn.functional import normalize

    unit = normalize(vectors.float(), dim=1)
    cosines = unit @ unit[word]
    cosines[word] = -2.0
    top = cosines.topk(min(count, len(vectors) - 1))
    return list(zip(top.indices.tolist(), top.values.tolist(), strict=True))


def r_precision(vectors: Tensor, groups: Sequence[str]) -> float:
    """How well words of a group lie together: 1 if no word of another group is among the nearest.

    ``vectors`` are (N, D), ``groups`` has the group of each. For a word with n others in its group,
    R-precision is the share of its n nearest words that are in its group. The result is the mean
    over all words. Manning et al. 2008, section 8.4.
    """
    import torch
    from torch.nn.functional import normalize

    unit = normalize(vectors.float(), dim=1)
    order = (unit @ unit.T).fill_diagonal_(-2.0).argsort(dim=1, descending=True)
    number = torch.tensor([sorted(set(groups)).index(group) for group in groups])
    same = number[order] == number[:, None]  # (N, N), the nearest first, the word itself last
    others = torch.tensor([groups.count(group) - 1 for group in groups])
    counted = torch.arange(len(groups)) < others[:, None]
    return ((same & counted).sum(dim=1) / others).mean().item()


def r_precision_by_chance(groups: Sequence[str]) -> float:
    """The R-precision of random vectors: the share of a word's group among the other words."""
    return sum(groups.count(group) - 1 for group in groups) / (len(groups) * (len(groups) - 1))


def counted_vectors(text: WordText, vocab_size: int, window: int, d_model: int) -> Tensor:
    """Vectors (V, D) from counts: how much more often words occur together than by chance.

    They are the positive pointwise mutual information of words at most ``window`` apart, reduced to
    D dimensions by a singular value decomposition. Nearer words have larger weights. Levy, Goldberg
    & Dagan 2015.
    """
    import numpy as np
    import torch
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from sklearn.utils.extmath import randomized_svd

    words, documents = text.words.numpy(), text.documents.numpy()
    together = coo_array((vocab_size, vocab_size), dtype=np.float64).tocsr()
    for apart in range(1, window + 1):
        same = documents[:-apart] == documents[apart:]
        pairs = words[:-apart][same], words[apart:][same]
        weight = np.full(len(pairs[0]), (window + 1 - apart) / window)
        together += coo_array((weight, pairs), shape=together.shape).tocsr()
    both_ways = (together + together.T).tocoo()
    counts = np.asarray(both_ways.sum(axis=1)).ravel()
    expected = counts**0.75 / (counts**0.75).sum()
    information = np.log(both_ways.data / (counts[both_ways.row] * expected[both_ways.col]))
    positive = coo_array(
        (np.maximum(information, 0.0), (both_ways.row, both_ways.col)), shape=together.shape
    )
    left, sizes, _ = randomized_svd(positive.tocsr(), min(d_model, vocab_size), random_state=0)
    return torch.from_numpy(left * sizes**0.5)


def laid_out(vectors: Tensor) -> list[tuple[float, float]]:
    """Positions (x, y) in a plane: vectors (N, D) that are near by their cosine get near positions.

    This is t-SNE (van der Maaten & Hinton 2008). The exact method that starts from the principal
    axes uses no random numbers.
    """
    from sklearn.manifold import TSNE
    from torch.nn.functional import normalize

    unit = normalize(vectors.float(), dim=1).double().numpy()
    perplexity = min(12.0, (len(unit) - 1) / 3)
    placed = TSNE(method="exact", init="pca", perplexity=perplexity, random_state=0)
    return [(round(float(x), 3), round(float(y), 3)) for x, y in placed.fit_transform(unit)]


# --- parts of the evaluation --------------------------------------------------------------------


def compare(
    words: Sequence[str],
    vectors: Tensor,
    texts: Iterable[str],
    groups: Mapping[str, Sequence[str]],
    window: int,
) -> tuple[dict[str, float], Comparison]:
    """Figures, and the comparison with counted vectors and with chance.

    ``vectors`` (V, D) belong to ``words`` (V,). ``texts`` are their training texts.
    """
    group_of = grouped(words, groups)
    ids, labels = [words.index(word) for word in group_of], list(group_of.values())
    counted = counted_vectors(word_text(texts, words), len(words), window, vectors.shape[1])
    ours, theirs = (r_precision(table[ids], labels) for table in (vectors, counted))
    chance = r_precision_by_chance(labels)
    figures = {
        "words": len(words),
        "grouped_words": len(labels),
        "r_precision": ours,
        "counted_r_precision": theirs,
        "chance_r_precision": chance,
    }
    return figures, Comparison(
        measure="R-precision of words of a group among all groups",
        better="higher",
        ours=ours,
        baselines={"counted together (PPMI, SVD)": theirs, "chance": chance},
    )


def neighbour_rows(
    words: Sequence[str], vectors: Tensor, probes: Sequence[str], count: int
) -> list[dict[str, Any]]:
    """One row for each probe that has a vector: its nearest words with their cosines."""
    known = set(words)
    return [
        {
            "word": probe,
            "nearest": ", ".join(
                f"{words[near]} {cosine:.2f}"
                for near, cosine in nearest(vectors, words.index(probe), count)
            ),
        }
        for probe in probes
        if probe in known
    ]


def map_of(
    words: Sequence[str], vectors: Tensor, groups: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """The grouped words as points of a map."""
    group_of = grouped(words, groups)
    positions = laid_out(vectors[[words.index(word) for word in group_of]])
    return [
        {"name": word, "x": x, "y": y, "group": group}
        for (word, group), (x, y) in zip(group_of.items(), positions, strict=True)
    ]


def grouped(words: Iterable[str], groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The group of each word that has a vector, without groups that have fewer than two such words.

    Raises ValueError if fewer than two groups are left.
    """
    known = set(words)
    kept = {name: [w for w in group if w in known] for name, group in groups.items()}
    kept = {name: group for name, group in kept.items() if len(group) > 1}
    if len(kept) < 2:
        raise ValueError(
            f"groups={len(kept)} with two words or more that have a vector: write words of the"
            " corpus in at least two groups, or lower min_count"
        )
    return {word: name for name, group in kept.items() for word in group}
