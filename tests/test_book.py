"""Figures of "Build a Large Language Model (From Scratch)", to be met exactly.

Those that need the book's files are skipped, with the reason, where there are none.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.text.tokenizers import (
    BytePairTokenizer,
    Tokenizer,
    WordTokenizer,
    published,
    train_words,
)

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip(f"the book's files are absent: {DATA}")
    return DATA


@pytest.fixture(scope="module")
def verdict(data: Path) -> str:
    return (data / "text" / "the-verdict.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def words(verdict: str) -> WordTokenizer:
    return train_words([verdict])


@pytest.fixture(scope="module", params=["gpt2", "cl100k"])
def ranks(request: pytest.FixtureRequest, data: Path) -> BytePairTokenizer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(data / "tiktoken_cache"))
        return published(request.param, data / "none")


@pytest.fixture(scope="module")
def gpt2(data: Path) -> BytePairTokenizer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(data / "tiktoken_cache"))
        return published("gpt2", data / "none")


def joined(tokenizer: Tokenizer, text: str) -> list[int]:
    """The book lets a text spell its control token; here whoever joins texts puts the id."""
    first, *rest = text.split("<|endoftext|>")
    ids = tokenizer.encode(first)
    for part in rest:
        ids += [tokenizer.end_of_text, *tokenizer.encode(part)]
    return ids


# --- 2.2 to 2.4: words --------------------------------------------------------------------------


def test_the_verdict_in_words(words: WordTokenizer, verdict: str) -> None:
    assert len(verdict) == 20_479
    assert len(words.encode(verdict)) == 4_690
    assert len(words.words) == 1_130
    assert (words.end_of_text, words.unknown) == (1130, 1131)
    assert words.words[:3] == ("!", '"', "'")


def test_two_sentences_in_words(words: WordTokenizer) -> None:
    text = "Hello, do you like tea? <|endoftext|> In the sunlit terraces of the palace."
    ids = joined(words, text)
    known = [1131, 5, 355, 1126, 628, 975, 10, 1130, 55, 988, 956, 984, 722, 988, 1131, 7]
    assert ids == known
    assert words.decode(ids) == (
        "<|unk|>, do you like tea? <|endoftext|> In the sunlit terraces of the <|unk|>."
    )


def test_known_words_come_back(words: WordTokenizer) -> None:
    text = '"It\'s the last he painted, you know," Mrs. Gisburn said with pardonable pride.'
    ids = words.encode(text)
    assert ids[:6] == [1, 56, 2, 850, 988, 602]
    assert words.decode(ids) == (
        '" It\' s the last he painted, you know," Mrs. Gisburn said with pardonable pride.'
    )


# --- 2.5: byte-pair encoding --------------------------------------------------------------------


def test_the_verdict_in_byte_pairs(gpt2: BytePairTokenizer, verdict: str) -> None:
    assert (gpt2.end_of_text, len(gpt2.ranks)) == (50_256, 50_256)
    ids = gpt2.encode(verdict)
    assert len(ids) == 5_145
    assert ids[:4] == [40, 367, 2885, 1464]  # the first window of 2.6
    assert ids[1:5] == [367, 2885, 1464, 1807]  # and what is foretold from it


def test_the_unknown_word(gpt2: BytePairTokenizer) -> None:
    assert gpt2.encode("Akwirw ier") == [33901, 86, 343, 86, 220, 959]


def test_two_sentences_in_byte_pairs(gpt2: BytePairTokenizer) -> None:
    text = "Hello, do you like tea? <|endoftext|> In the sunlit terraces of someunknownPlace."
    known = [15496, 11, 466, 345, 588, 8887, 30, 220, 50256, 554, 262, 4252, 18250, 8812, 2114]
    assert joined(gpt2, text) == [*known, 286, 617, 34680, 27271, 13]


def test_every_reference_encoding(ranks: BytePairTokenizer, data: Path) -> None:
    name = {"gpt2": "gpt2", "cl100k": "cl100k_base"}[ranks.kind]
    cases: list[dict[str, Any]] = json.loads(
        (data / "reference" / "bpe_encodings.json").read_text("utf-8")
    )
    texts = [case for case in cases if "text" in case]
    assert len(texts) == 34
    for case in texts:
        encode = partial(joined, ranks) if case["endoftext_is_special"] else ranks.encode
        assert encode(case["text"]) == case[name], case["text"]
        assert ranks.decode(case[name]) == case["text"]


def test_the_reference_files_in_byte_pairs(gpt2: BytePairTokenizer, data: Path) -> None:
    cases = json.loads((data / "reference" / "bpe_encodings.json").read_text("utf-8"))
    files = [case for case in cases if "file" in case]
    assert len(files) == 2
    for case in files:
        ids = gpt2.encode((data / case["file"]).read_text(encoding="utf-8"))
        told = (case["gpt2_count"], case["gpt2_first20"], case["gpt2_last5"])
        assert (len(ids), ids[:20], ids[-5:]) == told
