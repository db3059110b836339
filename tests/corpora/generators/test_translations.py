"""English to French: right by hand-written answers, and the same wherever it is written."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipelines.corpora.generators import catalogue
from pipelines.corpora.generators.translations import (
    Style,
    amount,
    date,
    names,
    number,
    ordinal,
    shuffled,
    translation,
)
from pipelines.corpora.sources import read_source
from pipelines.corpora.sources.kinds.generated import KIND, GeneratedSource
from pipelines.examples.pairs import conversation_pairs


@pytest.mark.parametrize(
    ("value", "english", "french"),
    [
        (0, "zero", "zéro"),
        (1, "one", "un"),
        (17, "seventeen", "dix-sept"),
        (21, "twenty-one", "vingt et un"),
        (61, "sixty-one", "soixante et un"),
        (70, "seventy", "soixante-dix"),
        (71, "seventy-one", "soixante et onze"),
        (77, "seventy-seven", "soixante-dix-sept"),
        (80, "eighty", "quatre-vingts"),
        (81, "eighty-one", "quatre-vingt-un"),
        (91, "ninety-one", "quatre-vingt-onze"),
        (99, "ninety-nine", "quatre-vingt-dix-neuf"),
        (100, "one hundred", "cent"),
        (101, "one hundred and one", "cent un"),
        (200, "two hundred", "deux cents"),
        (201, "two hundred and one", "deux cent un"),
        (380, "three hundred and eighty", "trois cent quatre-vingts"),
        (1_000, "one thousand", "mille"),
        (1_001, "one thousand and one", "mille un"),
        (2_000, "two thousand", "deux mille"),
        (21_000, "twenty-one thousand", "vingt et un mille"),
        (80_000, "eighty thousand", "quatre-vingt mille"),
        (200_000, "two hundred thousand", "deux cent mille"),
        (200_200, "two hundred thousand, two hundred", "deux cent mille deux cents"),
        (
            999_999,
            "nine hundred and ninety-nine thousand, nine hundred and ninety-nine",
            "neuf cent quatre-vingt-dix-neuf mille neuf cent quatre-vingt-dix-neuf",
        ),
    ],
)
def test_numbers(value: int, english: str, french: str) -> None:
    assert number(value) == ("number", english, french)


@pytest.mark.parametrize(
    ("value", "english", "french"),
    [
        (1, "first", "premier"),
        (2, "second", "deuxième"),
        (4, "fourth", "quatrième"),
        (5, "fifth", "cinquième"),
        (9, "ninth", "neuvième"),
        (21, "twenty-first", "vingt et unième"),
        (71, "seventy-first", "soixante et onzième"),
        # num2words 0.5.14 itself writes quatre-vingtsième and deux centsième.
        (80, "eightieth", "quatre-vingtième"),
        (81, "eighty-first", "quatre-vingt-unième"),
        (200, "two hundredth", "deux centième"),
        (280, "two hundred and eightieth", "deux cent quatre-vingtième"),
        (1_000, "one thousandth", "millième"),
    ],
)
def test_ordinals(value: int, english: str, french: str) -> None:
    assert ordinal(value) == ("ordinal", english, french)


@pytest.mark.parametrize(
    ("day", "style", "english", "french"),
    [
        ("1994-03-03", "full", "Thursday, 3 March 1994", "jeudi 3 mars 1994"),
        ("1994-03-03", "long", "3 March 1994", "3 mars 1994"),
        ("2000-01-01", "long", "1 January 2000", "1er janvier 2000"),
        ("1871-08-01", "full", "Tuesday, 1 August 1871", "mardi 1er août 1871"),
        ("2024-02-29", "full", "Thursday, 29 February 2024", "jeudi 29 février 2024"),
        (
            *("1905-12-01", "words", "the first of December nineteen oh-five"),
            "le premier décembre mille neuf cent cinq",
        ),
        (
            *("1980-07-21", "words", "the twenty-first of July nineteen eighty"),
            "le vingt et un juillet mille neuf cent quatre-vingt",
        ),
        (
            *("1900-06-11", "words", "the eleventh of June nineteen hundred"),
            "le onze juin mille neuf cent",
        ),
        (
            *("2003-05-02", "words", "the second of May two thousand and three"),
            "le deux mai deux mille trois",
        ),
    ],
)
def test_dates(day: str, style: Style, english: str, french: str) -> None:
    assert date(datetime.date.fromisoformat(day), style) == ("date", english, french)


@pytest.mark.parametrize(
    ("value", "currency", "english", "french"),
    [
        (1, "EUR", "one euro", "un euro"),
        (7, "EUR", "seven euros", "sept euros"),
        (80, "USD", "eighty US dollars", "quatre-vingts dollars des États-Unis"),
        (1, "GBP", "one British pound", "une livre sterling"),
        (21, "GBP", "twenty-one British pounds", "vingt et une livres sterling"),
        (11, "SEK", "eleven Swedish kronor", "onze couronnes suédoises"),
        (301, "INR", "three hundred and one Indian rupees", "trois cent une roupies indiennes"),
        (2, "ILS", "two Israeli new shekels", "deux nouveaux shekels israéliens"),
    ],
)
def test_amounts_agree_with_their_number_and_gender(
    value: int, currency: str, english: str, french: str
) -> None:
    assert amount(value, currency) == ("amount", english, french)


def test_names_are_of_both_languages_and_one_english_name_has_one_french() -> None:
    known = {
        ("country", "Germany", "Allemagne"),
        ("country", "South Korea", "Corée du Sud"),
        ("language", "Welsh", "gallois"),
        ("currency", "Swiss Franc", "franc suisse"),
    }
    assert known <= set(names())
    assert len({name.english.casefold() for name in names()}) == len(names())
    kinds = Counter(name.kind for name in names())
    assert kinds["country"] > 240
    assert kinds["language"] > 550
    assert kinds["currency"] > 200
    assert not any(mark in "".join(name) for name in names() for mark in "()\t\n\xa0")


@pytest.mark.parametrize("size", [1, 2, 26, 999, 1_000, 1_123, 4_097])
def test_an_order_takes_every_member_once(size: int) -> None:
    orders = {seed: [shuffled(place, size, seed) for place in range(size)] for seed in "abcd"}
    assert all(sorted(order) == list(range(size)) for order in orders.values())
    assert size < 26 or len({tuple(order) for order in orders.values()}) == 4


def test_pairs_are_all_different_and_shared_among_the_kinds() -> None:
    rows = [translation(1, index) for index in range(2_000)]
    assert len(set(rows)) == len(rows)
    shares = Counter(kind for _, kind in rows)
    assert [shares[kind] for kind in ("number", "date", "amount", "ordinal")] == [
        *(700, 600, 300, 200)
    ]
    assert shares["country"] + shares["language"] + shares["currency"] == 200
    small = sum("thousand" not in text for text, kind in rows if kind == "number")
    assert small == 100


def test_another_seed_gives_another_order() -> None:
    assert translation(1, 0) != translation(2, 0)
    assert len({translation(seed, 3)[0] for seed in range(50)}) > 45


def test_a_document_is_a_pair_of_an_english_and_a_french_turn() -> None:
    source = GeneratedSource(kind="generated", generator="translations", documents=60, seed=1)
    read = list(read_source(source, folder_root=Path(), cache=Path()))
    assert [(d.text, d.label) for d in read] == [translation(1, index) for index in range(60)]
    assert {d.licence for d in read} == {"Unicode-3.0"}
    for document in read:
        ((prompt, reply),) = conversation_pairs(document.text)
        assert document.text == f"A: {prompt[0]}\nB: {reply}"


def test_only_french_words_hang_on_the_libraries_they_are_written_with() -> None:
    decided = {
        name: KIND.libraries(
            GeneratedSource.model_validate({"kind": "generated", "generator": name, "documents": 1})
        )
        for name in catalogue()
    }
    french = ("babel", "num2words")
    with_french = dict.fromkeys(("choices", "requests", "translations"), french)
    assert decided == {"dialogues": (), "messages": (), **with_french}


def test_the_text_is_that_of_any_locale_time_zone_and_hash_seed() -> None:
    code = (
        "import sys; from pipelines.corpora.generators.translations import translation;"
        "sys.stdout.buffer.write(repr([translation(3, i) for i in range(500)]).encode())"
    )
    elsewhere = {"LANG": "fr_CA.UTF-8", "LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | elsewhere, capture_output=True, check=True
    )
    # Written there in order, here backwards: what a document says hangs on its index alone.
    here = [translation(3, index) for index in reversed(range(500))][::-1]
    assert found.stdout.decode() == repr(here)
