"""Every n-gram that training text shares with evaluation text is told, and nothing else."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora import contamination
from pipelines.corpora.contamination import MOST_OVERLAPS, EvaluationSets, Overlap, overlaps
from pipelines.text.ngrams import words

Text = tuple[str, str, str]  # name of the set, id, text

SENTENCES = st.lists(st.sampled_from("abc"), max_size=40).map(" ".join)


def sets_of(texts: Sequence[Text], ngram: int = 13) -> EvaluationSets:
    made = EvaluationSets(ngram)
    for text in texts:
        made.add(*text)
    return made


def by_comparing_sets(texts: Sequence[Text], document: str, ngram: int) -> list[Overlap]:
    """The reference: the n-grams themselves, text by text."""

    def ngrams(text: str, size: int) -> list[str]:
        listed = words(text)
        return [" ".join(listed[at : at + size]) for at in range(len(listed) - size + 1)]

    found = []
    for name, text_id, text in texts:
        length = len(words(text))
        if length >= min(8, ngram):
            size = min(length, ngram)
            theirs, ours = set(ngrams(text, size)), ngrams(document, size)
            if shared := theirs.intersection(ours):
                at = min(map(ours.index, shared))
                found.append((at, Overlap("d", name, text_id, ours[at], len(shared))))
    return [overlap for _, overlap in sorted(found, key=lambda pair: pair[0])]


@given(st.lists(SENTENCES, max_size=6), SENTENCES, st.sampled_from([1, 2, 5, 8, 9, 13]))
def test_overlaps_are_what_comparing_all_sets_gives(
    listed: list[str], document: str, ngram: int
) -> None:
    texts = [("set", str(number), text) for number, text in enumerate(listed)]
    found = overlaps(sets_of(texts, ngram), "d", document)
    assert found == by_comparing_sets(texts, document, ngram)


def prose(chance: random.Random, size: int) -> list[str]:
    """Words as unequally frequent as in a language."""
    return [f"w{int(3000 ** chance.random())}" for _ in range(size)]


def test_planted_13_grams_are_all_found_and_nothing_else() -> None:
    chance = random.Random(1)
    texts = [prose(chance, chance.randrange(13, 80)) for _ in range(300)]
    documents = [prose(chance, chance.randrange(30, 300)) for _ in range(2000)]
    expected = {}
    for number in chance.sample(range(2000), 200):
        chosen, size = chance.randrange(300), chance.choice([12, 13, 13, 15])
        start = chance.randrange(max(1, len(texts[chosen]) - size))
        piece = texts[chosen][start : start + size]
        at = chance.randrange(len(documents[number]))
        # Else the word beside it may go on as the text does.
        documents[number][at:at] = ["before", *piece, "after"]
        if len(piece) >= 13:
            expected[str(number)] = (str(chosen), " ".join(piece[:13]), len(piece) - 12)
    sets = sets_of([("held out", str(n), " ".join(text)) for n, text in enumerate(texts)])
    found = [
        overlap
        for number, document in enumerate(documents)
        for overlap in overlaps(sets, str(number), " ".join(document))
    ]
    told = {one.document_id: (one.evaluation_id, one.ngram, one.count) for one in found}
    assert 100 < len(expected) < 200
    assert told == expected
    assert len(found) == len(expected)


def test_questions_in_a_novel_are_found_and_its_own_words_are_not(reference: Path) -> None:
    lines = (reference / "eval" / "lambada_openai_first_half.jsonl").read_text().splitlines()
    texts = [("lambada", str(n), json.loads(line)["context"]) for n, line in enumerate(lines)]
    sets = sets_of(texts)
    novel = (reference / "text" / "sherlock_holmes.txt").read_text(encoding="utf-8")
    paragraphs = re.split(r"\n\s*\n", novel)
    assert [overlaps(sets, "d", paragraph) for paragraph in paragraphs] == [[]] * len(paragraphs)
    for number in range(0, len(texts), 100):
        question = words(texts[number][2])[5:40]
        found = overlaps(sets, "d", f"{paragraphs[number % 900]} {' '.join(question)}")
        assert [(one.evaluation, one.evaluation_id) for one in found] == [("lambada", str(number))]
        assert found[0].ngram == " ".join(question[:13])


def test_case_punctuation_and_white_space_do_not_hide_an_overlap() -> None:
    sets = sets_of([("set", "e", "It was the best of times, it was the worst of times.")], 12)
    text = "So:  IT WAS\u2014the _best_ of\ntimes; it was (the worst)\t\u201cof times\u201d!"
    ngram = "it was the best of times it was the worst of times"
    assert overlaps(sets, "d", text) == [Overlap("d", "set", "e", ngram, 1)]


@pytest.mark.parametrize(("size", "known"), [(7, False), (8, True), (12, True), (13, True)])
def test_a_short_text_is_one_ngram_or_skipped_and_counted(size: int, known: bool) -> None:
    listed = [f"a{number}" for number in range(size)]
    sets = sets_of([("set", "short", " ".join(listed)), ("other", "long", "b " * 20)])
    assert sets.skipped == ({} if known else {"set": 1})
    assert overlaps(sets, "d", " ".join(listed[:-1])) == []
    whole = Overlap("d", "set", "short", " ".join(listed), 1)
    assert overlaps(sets, "d", f"b {' '.join(listed)} b") == [whole] * known


@pytest.mark.parametrize("base", [0, 1])
def test_what_collides_is_not_told(base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # With base 1 a hash is a sum, the same for any order of the words; with base 0 all are equal.
    monkeypatch.setattr(contamination, "_BASE", base)
    listed = [f"a{number}" for number in range(13)]
    texts = [" ".join(listed), "b " * 8, "c " * 13]
    sets = sets_of([("set", str(n), text) for n, text in enumerate(texts)])
    assert overlaps(sets, "d", " ".join(reversed(listed))) == []
    assert overlaps(sets, "d", "c " * 8) == []
    assert len(overlaps(sets, "d", " ".join(listed))) == 1


def test_an_ngram_of_many_texts_counts_in_the_first_of_them() -> None:
    many, own = " ".join("abcdefghijklmnopqrst"), "own " * 13
    texts = [("set", str(n), f"{n} {many} {many}") for n in range(MOST_OVERLAPS + 50)]
    sets = sets_of([*texts, ("set", "last", f"{own} x {many}")])
    first = [str(n) for n in range(MOST_OVERLAPS)]
    found = overlaps(sets, "d", f"{many} x {many}")
    assert [(one.evaluation_id, one.count) for one in found] == [(name, 8) for name in first]
    found = overlaps(sets, "d", f"{own} y {many}")
    assert [one.evaluation_id for one in found] == ["last", *first[:-1]]
    assert found[0].count == 1


def test_a_document_is_told_with_the_first_texts_it_comes_to() -> None:
    texts = [("set", str(n), f"{n} " * 13) for n in range(MOST_OVERLAPS + 50)]
    document = " ".join(text for _, _, text in reversed(texts))
    found = overlaps(sets_of(texts), "d", document)
    assert [one.evaluation_id for one in found] == [str(n) for n in range(149, 49, -1)]


def test_texts_may_come_after_questions() -> None:
    sets = EvaluationSets()
    assert overlaps(sets, "d", "a " * 20) == []
    for number in range(3):
        sets.add("set", str(number), "a " * (20 + number))
        found = overlaps(sets, "d", "a " * 20)
        assert [one.evaluation_id for one in found] == [str(n) for n in range(number + 1)]


def test_memory_is_bounded_by_the_evaluation_texts() -> None:
    chance = random.Random(2)
    texts = [" ".join(prose(chance, 500)) for _ in range(40)]
    sets = EvaluationSets()
    overlaps(sets, "d", "é")  # imports what it needs
    tracemalloc.start()
    for number, text in enumerate(texts):
        sets.add("set", str(number), text)
    overlaps(sets, "d", texts[0])
    size, _ = tracemalloc.get_traced_memory()
    for _ in range(30):
        overlaps(sets, "d", " ".join(prose(chance, 1000)))
    assert tracemalloc.get_traced_memory()[0] < size + 10_000
    tracemalloc.stop()
    vocabulary = 3000 * 150
    assert size - vocabulary < 40 * 40 * 500
