"""Near duplicates are found, nothing else is, and the first of those alike stays."""

from __future__ import annotations

import itertools
import random
import re
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.steps.duplicates import Seen
from pipelines.corpora.cleaning.steps.near_duplicates import NearDuplicates as Section
from pipelines.corpora.deduplication import Match, NearDuplicates, bands_and_rows
from pipelines.text.ngrams import words

STOCK = [
    "All rights are reserved and no part of this may be sold.",
    "Please read the terms and conditions before you go on.",
    "Thank you for your visit and do come back to us soon.",
]


def default() -> NearDuplicates:
    return NearDuplicates(**Section(step="near_duplicates").model_dump(exclude={"step"}))


def bigrams(text: str) -> set[tuple[str, str]]:
    return set(itertools.pairwise(words(text)))


def jaccard(one: set[tuple[str, str]], other: set[tuple[str, str]]) -> float:
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def prose(chance: random.Random, size: int, vocabulary: int = 5000) -> list[str]:
    """Words as unequally frequent as in a language (Zipf), among stock phrases."""
    listed = [f"w{int(vocabulary ** chance.random())}" for _ in range(size)]
    for phrase in chance.sample(STOCK, chance.randrange(3)):
        listed += phrase.split()
    return listed


def edited(listed: Sequence[str], share: float, chance: random.Random) -> list[str]:
    """A copy with this share of the words, at random places, replaced."""
    copy = list(listed)
    for place in chance.sample(range(len(copy)), round(share * len(copy))):
        copy[place] = f"w{int(5000 ** chance.random())}"
    return copy


def planted(documents: int, copies: int, seed: int) -> tuple[list[str], dict[int, int]]:
    """Documents, then edited copies of some, 5 to 15 % of the words changed; which is whose."""
    chance = random.Random(seed)
    made = [prose(chance, chance.randrange(40, 200)) for _ in range(documents)]
    originals = chance.sample(range(documents), copies)
    made += [edited(made[number], 0.05 + 0.1 * chance.random(), chance) for number in originals]
    return [" ".join(listed) for listed in made], dict(
        zip(range(documents, len(made)), originals, strict=True)
    )


def matches(texts: Sequence[str]) -> dict[int, Match]:
    step = default()
    found = {number: step(text, str(number)) for number, text in enumerate(texts)}
    return {number: match for number, match in found.items() if match}


def require_found(documents: int, copies: int, seed: int) -> None:
    texts, originals = planted(documents, copies, seed)
    found = matches(texts)
    right = [number for number in found if str(originals.get(number)) == found[number].document_id]
    assert len(right) > 0.95 * copies
    assert len(right) > 0.95 * len(found)


def test_edited_copies_are_found_and_nothing_else() -> None:
    require_found(documents=2000, copies=100, seed=1)


@pytest.mark.slow
def test_500_edited_copies_among_20_000_documents_are_found() -> None:
    require_found(documents=20_000, copies=500, seed=0)


def test_of_a_novel_the_same_goes_as_by_comparing_all_pairs(reference: Path) -> None:
    novel = (reference / "text" / "grimm.txt").read_text(encoding="utf-8")
    texts = [part for part in re.split(r"\n\s*\n", novel) if len(words(part)) > 1][:500]
    found, sets = matches(texts), [bigrams(text) for text in texts]
    assert len(found) > 15
    kept: list[int] = []
    for number, ours in enumerate(sets):
        if match := found.get(number):
            assert jaccard(ours, sets[int(match.document_id)]) > 0.4
        else:
            assert all(jaccard(ours, sets[other]) < 0.6 for other in kept)
            kept.append(number)


def test_the_similarity_told_is_that_of_the_sets() -> None:
    chance = random.Random(3)
    errors = []
    for number in range(400):
        listed = prose(chance, chance.randrange(5, 400))
        original, copy = " ".join(listed), " ".join(edited(listed, 0.3 * chance.random(), chance))
        step = NearDuplicates(similarity=0.1)
        step(original, "first")
        match = step(copy, str(number))
        assert match is not None
        errors.append(match.similarity - jaccard(bigrams(original), bigrams(copy)))
    # MinHash has no bias, and the standard error of a share of 128 draws.
    assert abs(statistics.mean(errors)) < 0.01
    assert statistics.pstdev(errors) < 0.5 / 128**0.5


def test_the_first_stays_and_what_was_dropped_is_not_remembered() -> None:
    first = [f"a{number}" for number in range(60)]
    second = first[20:] + [f"b{number}" for number in range(20)]  # shares 39 of 79 with the first
    third = second[20:] + [f"c{number}" for number in range(20)]
    step = NearDuplicates(similarity=0.45)
    assert step(" ".join(first), "1") is None
    match = step(" ".join(second), "2")
    assert match is not None
    assert match.document_id == "1"
    assert step(" ".join(third), "3") is None


def test_the_match_is_the_most_alike() -> None:
    listed = [f"a{number}" for number in range(140)]
    step = NearDuplicates()
    for name, start, end in (("less", 0, 100), ("more", 40, 140)):  # 0.42 alike
        assert step(" ".join(listed[start:end]), name) is None
    match = step(" ".join(listed[25:130]), "copy")  # 0.57 and 0.78
    assert match is not None
    assert match.document_id == "more"


@pytest.mark.parametrize("ngram", [2, 5])
def test_texts_of_fewer_words_than_an_ngram_are_like_their_equals_only(ngram: int) -> None:
    step = NearDuplicates(ngram=ngram)
    texts = ["Yes.", "No.", "Yes!", "yes", "", "...", "…", "...", "Yes, no" if ngram > 2 else "Oh"]
    told = [step(text, str(number)) for number, text in enumerate(texts)]
    like = [match and match.document_id for match in told]
    assert like == [None, None, "0", "0", None, None, None, "5", None]
    assert {match.similarity for match in told if match} == {1.0}


def test_no_document_is_lost_while_the_index_grows() -> None:
    chance = random.Random(5)
    texts = [" ".join(prose(chance, 30)) for _ in range(2500)]
    step = NearDuplicates(similarity=0.9)
    kept = [number for number, text in enumerate(texts) if step(text, str(number)) is None]
    assert len(kept) > 2400
    again = [step(texts[number], "again") for number in kept]
    assert again == [Match(str(number), 1.0) for number in kept]


def test_copies_are_found_in_a_crowd_that_shares_its_commonest_words() -> None:
    # All documents share bands, more than a set of the index holds; no two are alike.
    chance = random.Random(6)
    crowd = [
        f"good morning to all of you {' '.join(f'x{chance.random()}'[:9] for _ in range(15))}"
        for _ in range(3000)
    ]
    step = default()
    assert not any(step(text, str(number)) for number, text in enumerate(crowd))
    copies = [" ".join(edited(text.split(), 0.05, chance)) for text in crowd[::10]]
    found = [step(text, "copy") for text in copies]
    right = [match and match.document_id == str(10 * n) for n, match in enumerate(found)]
    assert sum(map(bool, right)) > 0.95 * len(copies)


def test_memory_for_a_document_is_bounded() -> None:
    texts = [" ".join(f"{number}x{place}" for place in range(30)) for number in range(1500)]
    step = default()
    step("imports what it needs", "first")
    tracemalloc.start()
    for text in texts:
        step(text, "")
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(texts) < 1100


def test_answers_are_the_same_in_every_process(texts: list[str]) -> None:
    program = """
from pipelines.corpora.deduplication import NearDuplicates
from pipelines.corpora.generators.dialogues import dialogue
step = NearDuplicates()
print([step(dialogue(7, number)[0], str(number)) for number in range(300)])
"""
    step = NearDuplicates()
    here = [step(text, str(number)) for number, text in enumerate(texts)]
    assert 10 < sum(map(bool, here)) < 290
    for seed in "01":
        environment = {"PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": "1"}
        told = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        assert told.stdout == f"{here}\n"


def test_the_hashes_are_those_of_the_version_that_is_pinned() -> None:
    from rensa import RMinHash

    sketch = RMinHash(126, 1)
    sketch.update(["a b", "b c", "c naïve"])
    assert sketch.digest()[:3] == [3273880761, 3869265284, 3582497271]


@given(st.floats(0.05, 1), st.integers(16, 1024))
def test_bands_see_nearly_all_pairs_at_the_similarity(similarity: float, permutations: int) -> None:
    def unseen(rows: int) -> float:
        return float((1 - similarity**rows) ** (permutations // rows))

    bands, rows = bands_and_rows(similarity, permutations)
    assert bands == permutations // rows
    assert rows == 1 or unseen(rows) <= 0.01
    assert all(unseen(more) > 0.01 for more in range(rows + 1, permutations + 1))


def test_equal_texts_are_seen() -> None:
    seen = Seen()
    digests = [f"{number:064x}" for number in (1 << 200, 1 << 190, 1 << 200)]
    assert [seen.before(digest, str(at)) for at, digest in enumerate(digests)] == [None, None, "0"]
