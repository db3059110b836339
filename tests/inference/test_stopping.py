"""A text ends before a stop string, whatever tokens spell it, and none of the stop is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inference.stopping import cut, spoken, until
from pipelines.text.errors import TextError
from pipelines.tokens.tokenizers import HuggingFaceTokenizer
from pipelines.tokens.tokenizers.interface import ControlIds, Tokenizer
from pipelines.tokens.tokenizers.words import train_words
from pipelines.tokens.turns import bare


class Bytes(Tokenizer):
    """An id a byte: characters and stops come in parts."""

    def __init__(self) -> None:
        super().__init__("bytes", ControlIds.above(256), 259, lossless=True)

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode("utf-8", "replace")

    save = _joined = None  # nobody asks


BYTES = Bytes()
TEXTS = st.text(alphabet="ab \n€😀", max_size=12)
STOPS = st.lists(st.text(alphabet="ab \n€", min_size=1, max_size=4), max_size=3)


def test_a_text_is_cut_before_the_first_stop() -> None:
    assert cut("one. two! three.", ["!", "."]) == "one"
    assert cut("one. two! three.", ["?"]) == "one. two! three."
    assert cut("one", []) == "one"
    assert cut("", ["x"]) == ""


def test_a_reply_keeps_the_indentation_of_its_lines() -> None:
    assert bare(" \n\n  if x:\n      y\n\n") == " if x:\n      y"
    assert bare("     - one\n    - two ") == "    - one\n    - two"
    assert bare(" Yes. ") == "Yes."
    assert bare(" \n ") == bare("") == ""


@given(TEXTS, STOPS)
def test_the_pieces_are_the_text_cut_and_bare(text: str, stops: list[str]) -> None:
    ids, ended = BYTES.encode(text), until(BYTES, stops)
    pieces = list(spoken(BYTES, ids, stops))
    # Of two stops that overlap, the one that is complete first ends the text.
    taken = next((i for i in range(1, len(ids) + 1) if ended(ids[:i])), len(ids))
    assert "".join(pieces) == bare(cut(BYTES.decode(ids[:taken]), stops))
    assert all(pieces)
    assert not any(piece.endswith("\ufffd") for piece in pieces)


@given(TEXTS, STOPS)
def test_it_ends_with_the_token_that_completes_a_stop(text: str, stops: list[str]) -> None:
    ids, read = BYTES.encode(text), list[int]()

    def told() -> Iterator[int]:
        for token in ids:
            read.append(token)
            yield token

    list(spoken(BYTES, told(), stops))
    ended = until(BYTES, stops)
    ends = [i for i in range(1, len(ids) + 1) if ended(ids[:i])]
    assert len(read) == min(ends, default=len(ids))


def test_what_may_begin_a_stop_or_a_character_is_held_back() -> None:
    ids = BYTES.encode("a STart€ STOP b")
    steps = ["".join(spoken(BYTES, ids[:n], ["STOP"])) for n in range(len(ids) + 1)]
    shown: list[str] = []
    for piece in spoken(BYTES, iter(ids), ["STOP"]):
        shown.append(piece)
    assert shown == ["a", " STa", "r", "t", "€"]
    assert steps[-1] == "a STart€"


def test_words_with_spaces_between_them_stream_as_they_are_decoded() -> None:
    words = train_words(["You and I, we stop here."])
    ids = words.encode("I, You and we stop here.")
    assert list(spoken(words, ids, ["we stop"])) == ["I", ",", " You", " and"]


@pytest.fixture(params=["bpe", "words", "BPE", "Unigram", "WordPiece", "WordLevel"])
def each_kind(
    request: pytest.FixtureRequest,
    texts: list[str],
    small: Tokenizer,
    tokenizer_files: dict[str, bytes],
) -> Tokenizer:
    """A tokenizer of each kind: our own two, and a file of each model of the library."""
    kind: str = request.param
    if kind in tokenizer_files:
        return HuggingFaceTokenizer(tokenizer_files[kind])
    return small if kind == "bpe" else train_words(texts)


def test_a_text_and_what_goes_on_with_it_read_as_one(
    each_kind: Tokenizer, texts: list[str]
) -> None:
    """Wherever it is parted: no space is lost between the two, and none comes in."""
    for whole in texts[:5]:
        ids = each_kind.encode(whole)
        begun = [(each_kind.decode(ids[:n]), n) for n in range(len(ids))]
        parted = [(text, n) for text, n in begun if each_kind.encode(text) == ids[:n]]
        assert len(parted) > 5
        for text, n in parted:
            written = "".join(spoken(each_kind, ids[n:], after=text))
            assert text + written == each_kind.decode(ids).rstrip()


def test_a_space_that_a_text_ends_in_is_not_written_again() -> None:
    words = train_words(["how are you?"])
    for begun, pieces in (("how", [" are", " you", "?"]), ("how ", ["are", " you", "?"])):
        assert list(spoken(words, words.encode("are you?"), after=begun)) == pieces
    byte_pairs = BYTES.encode(" are")
    assert "".join(spoken(BYTES, byte_pairs, after="how ")) == " are", "the model wrote a second"
    assert "".join(spoken(words, words.encode("how are"), after="")) == "how are"


def test_an_empty_stop_is_refused() -> None:
    for ask in (lambda: until(BYTES, ["a", ""]), lambda: list(spoken(BYTES, [], [""]))):
        with pytest.raises(TextError, match="stop='' is in every text"):
            ask()
