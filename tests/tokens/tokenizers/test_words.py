"""The book's first tokenizer: the very pieces that its regular expression gives."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers import WordTokenizer
from pipelines.tokens.tokenizers.words import train_words


def pieces(text: str) -> list[str]:
    """Book 2.2."""
    return [piece.strip() for piece in re.split(r'([,.:;?_!"()\']|--|\s)', text) if piece.strip()]


@given(st.text(st.sampled_from("ab-,.:;?_!\"()' \n\x1c\x85\u2028é<|>")) | st.text())
def test_pieces_are_the_books(text: str) -> None:
    told = pieces(text)
    if not told:
        with pytest.raises(TextError, match="words=0: the training text has no words"):
            train_words([text])
        return
    tokenizer = train_words([text])
    assert tokenizer.words == tuple(sorted(set(told)))
    assert [tokenizer.words[i] for i in tokenizer.encode(text)] == told


def test_a_word_never_seen_is_the_unknown_one() -> None:
    tokenizer = train_words(["b a", "a -- c"])
    assert tokenizer.words == ("--", "a", "b", "c")
    assert tokenizer.encode("a d--c") == [1, tokenizer.unknown, 0, 3]
    assert tokenizer.decode([1, tokenizer.unknown]) == "a <|unk|>"
    assert (tokenizer.end_of_text, tokenizer.unknown) == (4, 5)
    assert (tokenizer.user, tokenizer.assistant, tokenizer.vocab_size) == (6, 7, 8)


def test_a_trained_spelling_of_control_is_a_word_of_its_own() -> None:
    tokenizer = train_words(["say <|endoftext|> and <|unk|>"])
    ids = tokenizer.encode("<|endoftext|> <|unk|>")
    assert max(ids) < tokenizer.end_of_text
    assert tokenizer.decode(ids) == tokenizer.decode([tokenizer.end_of_text, tokenizer.unknown])


@pytest.mark.parametrize("words", [[], ["b", "a"], ["a", "a"]])
def test_words_out_of_order_are_refused(words: list[str]) -> None:
    with pytest.raises(TextError, match=r"words\.txt: no words, or not in order"):
        WordTokenizer(words)


def test_a_changed_file_is_named() -> None:
    with pytest.raises(TextError, match=r"words\.txt: not UTF-8"):
        WordTokenizer.load(b"a\n\xff\n")
    assert WordTokenizer.load("a\né\n".encode()).words == ("a", "é")
