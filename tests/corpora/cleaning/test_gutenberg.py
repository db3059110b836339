"""Project Gutenberg's header and footer, told from the book between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.corpora.cleaning.outcome import Cleaned, Dropped
from pipelines.corpora.cleaning.steps import catalogue
from pipelines.corpora.cleaning.steps.normalise import clean_text

BOOK = "  EMMA\n\nEmma Woodhouse, handsome, clever, and rich,\n\n" + "lived.\n" * 9000 + "FINIS"
START = "*** START OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\n"
END = "\n\n*** END OF THE PROJECT GUTENBERG EBOOK EMMA ***\n\nThe licence.\n"

strip = catalogue()["gutenberg"].of()


def book_of(text: str) -> str:
    outcome = strip(text)
    assert isinstance(outcome, Cleaned)
    return outcome.text


@pytest.mark.parametrize("line_end", ["as it came", "LF"])
@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("alice", "ALICE'S ADVENTURES IN WONDERLAND", "              THE END"),
        ("grimm", "FAIRY TALES", "since."),
        (
            "pride_and_prejudice",
            "PRIDE AND PREJUDICE",
            "by bringing\nher into Derbyshire, had been the means of uniting them.",
        ),
        (
            "sherlock_holmes",
            "THE ADVENTURES OF SHERLOCK HOLMES",
            "Walsall, where I believe that she has met with considerable success.",
        ),
        (
            "tom_sawyer",
            "                   THE ADVENTURES OF TOM SAWYER",
            "part of their lives at present.",
        ),
        (
            "great_expectations_utf8",
            "GREAT EXPECTATIONS",
            "light they showed to me, I saw no shadow of another parting from her.",
        ),
    ],
)
def test_the_first_and_the_last_line_are_the_books(
    reference: Path, name: str, first: str, last: str, line_end: str
) -> None:
    raw = (reference / "text" / f"{name}.txt").read_bytes().decode("utf-8-sig")
    book = clean_text(book_of(raw if line_end == "as it came" else clean_text(raw, "NFC")), "NFC")
    assert book.startswith(first + "\n")
    assert book.endswith(last)
    assert book in clean_text(raw, "NFC")  # nothing is taken from between
    assert 18_000 < len(clean_text(raw, "NFC")) - len(book) < 20_000


@pytest.mark.parametrize(
    "name", ["the-verdict", "tinyshakespeare", "tinystories_part1", "wikitext2_raw_valid"]
)
def test_a_text_without_marks_is_untouched(reference: Path, name: str) -> None:
    text = (reference / "text" / f"{name}.txt").read_text(encoding="utf-8")
    assert strip(text) == Cleaned(text)


@pytest.mark.parametrize(
    "header",
    [
        "Title: Emma\n\n*** START OF THIS PROJECT GUTENBERG EBOOK EMMA ***\n\n\n",
        "***START OF THE PROJECT GUTENBERG EBOOK EMMA***\n\n\n",
        "*** START OF THE PROJECT GUTENBERG EBOOK 158 ***\n",
        "*** START OF THE PROJECT GUTENBERG EBOOK EMMA, OR WHAT CAME\nOF A MATCH ***\n\n",
        "Etext\n***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nlegal\n"
        "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n\n",
        "*END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.10/04/01*END*\n\n",
        START + "Produced by An Anonymous Volunteer\n\n\n",
        START + "Produced by David Widger. The previous edition was updated by Jose\nMenendez.\n\n",
        START + "E-text prepared by A\nand B\n\nThis eBook was produced by C.\n\n\n",
        START + "Transcribed from the 1816 edition by D\n\n",
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_every_header_of_the_years_goes(header: str, line_end: str) -> None:
    book = BOOK.replace("\n", line_end)
    assert book_of(header.replace("\n", line_end) + book) == book


@pytest.mark.parametrize(
    "footer",
    [
        END,
        "\n\n***END OF THE PROJECT GUTENBERG EBOOK EMMA***\n",
        "\n\nEnd of the Project Gutenberg EBook of Emma, by Jane Austen\n" + END,
        "\n\nEnd of Project Gutenberg's Emma, by Jane Austen\n\n\n",
        "\n\n\nEnd of The Project Gutenberg Etext of Emma\n\n",
        "\n\n*** END OF THIS PROJECT GUTENBERG EBOOK EMMA ***\n" + "licence\n" * 2400,
    ],
)
def test_every_footer_of_the_years_goes(footer: str) -> None:
    assert book_of(BOOK + footer) == BOOK
    outcome = strip(START + BOOK + footer)
    taken = len(START) + len(footer)
    assert outcome == Cleaned(BOOK, f"{taken} characters of Project Gutenberg's")


def test_marks_far_from_the_ends_are_the_books_own() -> None:
    far = "x" * 31_000 + "\n"
    text = f"{far}{START}{far}{END}{far}"
    assert strip(text) == Cleaned(text)


def test_what_comes_near_an_end_as_the_rest_goes_is_looked_at_too() -> None:
    """Else cleaning the cleaned would change it."""
    preface = "x" * 29_900 + "\n"
    once = strip(START + preface + START + BOOK + END + preface + END)
    assert isinstance(once, Cleaned)
    assert strip(once.text) == Cleaned(once.text)


def test_a_footer_above_and_a_header_below_bound_another_book() -> None:
    text = f"The first book.{END}{START}The second book."
    assert strip(text) == Cleaned(text)
    assert book_of(START + text + END) == text


def test_mentions_within_a_line_are_no_marks() -> None:
    text = "He saw the end of the Project Gutenberg.\nTHIS IS THE END OF THE STAGE\n*** START ***\n"
    assert strip(text) == Cleaned(text)


def test_credits_are_only_looked_for_below_a_header() -> None:
    assert book_of("Produced by nobody\n\nA play") == "Produced by nobody\n\nA play"


def test_a_book_without_words_is_empty() -> None:
    assert strip(START + END) == Dropped("empty")
