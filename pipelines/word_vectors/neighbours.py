"""Word vectors beside each other: what lies near what, what that is worth, and a map of it.

Letters: V words that have a vector, D the size of a vector, N words that are looked at.
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
    """Its id; ValueError with the nearest spelling if it has no vector."""
    try:
        return words.index(word.lower())
    except ValueError:
        near = difflib.get_close_matches(word.lower(), words, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "try one that is frequent in the corpus"
        raise ValueError(f"word={word!r} has no vector: {hint}") from None


def nearest(vectors: Tensor, word: int, count: int) -> list[tuple[int, float]]:
    """The words whose vectors (V, D) point most nearly where that of ``word`` does.

    (id, cosine), the nearest first, without the word itself.
    """
    from torch.nn.functional import normalize

    unit = normalize(vectors.float(), dim=1)
    cosines = unit @ unit[word]
    cosines[word] = -2.0
    found = cosines.topk(min(count, len(vectors) - 1))
    return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))


def r_precision(vectors: Tensor, groups: Sequence[str]) -> float:
    """How far words of a group lie together: 1 if no other word comes between them.

    vectors (N, D), the group of each. A word with n others in its group is asked for its n nearest
    of the N: the share of them that is of its group, over all words. Manning et al. 2008, 8.4.
    """
    import torch
    from torch.nn.functional import normalize

    unit = normalize(vectors.float(), dim=1)
    order = (unit @ unit.T).fill_diagonal_(-2.0).argsort(dim=1, descending=True)
    number = torch.tensor([sorted(set(groups)).index(group) for group in groups])
    alike = number[order] == number[:, None]  # (N, N), the nearest first; itself comes last
    others = torch.tensor([groups.count(group) - 1 for group in groups])
    asked = torch.arange(len(groups)) < others[:, None]
    return ((alike & asked).sum(dim=1) / others).mean().item()


def r_precision_by_chance(groups: Sequence[str]) -> float:
    """The same for vectors that know nothing: the share of a word's group among the others."""
    return sum(groups.count(group) - 1 for group in groups) / (len(groups) * (len(groups) - 1))


def counted_vectors(text: WordText, vocab_size: int, window: int, d_model: int) -> Tensor:
    """Vectors (V, D) without any learning: how much oftener words stand together than by chance.

    Positive pointwise mutual information of words at most ``window`` apart, the nearer the more, in
    the D directions that keep most of it. Levy, Goldberg & Dagan 2015.
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
    found = (together + together.T).tocoo()
    counts = np.asarray(found.sum(axis=1)).ravel()
    expected = counts**0.75 / (counts**0.75).sum()
    information = np.log(found.data / (counts[found.row] * expected[found.col]))
    positive = coo_array(
        (np.maximum(information, 0.0), (found.row, found.col)), shape=together.shape
    )
    left, sizes, _ = randomized_svd(positive.tocsr(), min(d_model, vocab_size), random_state=0)
    return torch.from_numpy(left * sizes**0.5)


def laid_out(vectors: Tensor) -> list[tuple[float, float]]:
    """Places (x, y) in a plane, near for vectors (N, D) that are near by their cosine.

    van der Maaten & Hinton 2008, exactly and from the principal axes, so that nothing is drawn.
    """
    from sklearn.manifold import TSNE
    from torch.nn.functional import normalize

    unit = normalize(vectors.float(), dim=1).double().numpy()
    perplexity = min(12.0, (len(unit) - 1) / 3)
    placed = TSNE(method="exact", init="pca", perplexity=perplexity, random_state=0)
    return [(round(float(x), 3), round(float(y), 3)) for x, y in placed.fit_transform(unit)]


# --- what the evaluation shows ------------------------------------------------------------------


def compare(
    words: Sequence[str],
    vectors: Tensor,
    texts: Iterable[str],
    groups: Mapping[str, Sequence[str]],
    window: int,
) -> tuple[dict[str, float], Comparison]:
    """Figures, and the comparison with vectors that are counted and with chance.

    vectors (V, D) of ``words`` (V,); ``texts`` are those that they were learned from.
    """
    group_of = grouped(words, groups)
    places, kinds = [words.index(word) for word in group_of], list(group_of.values())
    counted = counted_vectors(word_text(texts, words), len(words), window, vectors.shape[1])
    ours, theirs = (r_precision(found[places], kinds) for found in (vectors, counted))
    chance = r_precision_by_chance(kinds)
    figures = {
        "words": len(words),
        "grouped_words": len(kinds),
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
    """A row a probe that has a vector: the nearest words with their cosines."""
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
    places = laid_out(vectors[[words.index(word) for word in group_of]])
    return [
        {"name": word, "x": x, "y": y, "group": group}
        for (word, group), (x, y) in zip(group_of.items(), places, strict=True)
    ]


def grouped(words: Iterable[str], groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The group of each word of ``groups`` that has a vector; ValueError if none has two left."""
    known = set(words)
    left = {name: [w for w in group if w in known] for name, group in groups.items()}
    left = {name: group for name, group in left.items() if len(group) > 1}
    if len(left) < 2:
        raise ValueError(
            f"groups={len(left)} with two words or more that have a vector: name words of the"
            " corpus in two of them, or lower min_count"
        )
    return {word: name for name, group in left.items() for word in group}
