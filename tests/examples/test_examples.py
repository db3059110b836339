"""Examples: replies with what was said before them, in their document's split, as tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpora.cleaning.options import DEFAULT
from pipelines.corpora.documents import make_documents
from pipelines.corpora.generators.messages import message
from pipelines.corpora.splits import SPLITS, Split
from pipelines.corpora.splitting import Splitting
from pipelines.examples.artefacts import Labelled, Pair, read_labelled, read_pairs
from pipelines.examples.labelled import make_labelled
from pipelines.examples.options import LabelsTaken
from pipelines.examples.pairs import conversation_pairs, make_pairs
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, open_table, read_documents, write_documents, write_index
from pipelines.tokens.tokenizers import CONTROLS, Tokenizer
from pipelines.tokens.turns import (
    decode_reply,
    encode_labelled,
    encode_pair,
    encode_pair_as_text,
    encode_prompt,
)

ONE_EACH: dict[Split, list[Document]] = {
    split: [Document(split, "A: Hi.\nB: Hello.", "s", "l", "ham")] for split in SPLITS
}
HAM = LabelsTaken.model_construct(labels=("ham",))  # one label alone, which no recipe may have
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


# --- pairs --------------------------------------------------------------------------------------


def test_every_turn_but_the_first_is_a_reply() -> None:
    assert conversation_pairs("A: one\nB: two\nA: three\nB: four", context_turns=2) == [
        (["one"], "two"),
        (["one", "two"], "three"),
        (["two", "three"], "four"),
    ]


def test_turns_of_one_speaker_in_a_row_are_one() -> None:
    assert conversation_pairs("A: hi\nA: there\nB: hello and welcome\nA:\nA: thanks") == [
        (["hi there"], "hello and welcome"),
        (["hi there", "hello and welcome"], "thanks"),
    ]


def test_lines_of_a_turn_stay_lines() -> None:
    verse = "Two lines:\n\n  one,\n  B and C: two."
    assert conversation_pairs(f"A: a verse\nB: {verse}\n\nA:\n    x = 1\n    y = 2\nA: why?\n") == [
        (["a verse"], verse),
        (["a verse", verse], "    x = 1\n    y = 2\nwhy?"),
    ]


def test_a_long_conversation_takes_no_longer_than_its_length() -> None:
    """What joins turns one by one copies all that came before, again and again."""
    turns = 100_000
    ((prompt, reply),) = conversation_pairs("A: x\n" * turns + "B: yes")
    assert (len(prompt[0]), reply) == (2 * turns - 1, "yes")
    assert len(conversation_pairs("B: x\nC: x\n" * (turns // 2) + "D: yes", 1)[-1][0][0]) > turns


def test_for_a_replier_all_others_are_one() -> None:
    assert conversation_pairs("A: a\nB: b\nC: c\nA: d\nB: e", context_turns=3)[2:] == [
        (["a", "b c"], "d"),
        (["a", "b", "c d"], "e"),
    ]


@pytest.mark.parametrize("text", ["", "just prose\nover lines", "A: alone", "A: to\nA: oneself"])
def test_no_reply_no_pair(text: str) -> None:
    assert conversation_pairs(text) == []


def split_documents(folder: Path, rows: list[Document]) -> dict[Split, list[Document]]:
    index = write_documents(folder, "raw.arrow", rows)
    make_documents(folder, index, DEFAULT, Splitting(validation=0.2, test=0.2), folder)
    return {split: list(read_documents(open_table(folder, f"{split}.arrow"))) for split in SPLITS}


def test_pairs_keep_their_documents_split(tmp_path: Path, texts: list[str]) -> None:
    rows = [Document(f"d{i}", text, "made", "CC0-1.0") for i, text in enumerate(texts[:60])]
    (tmp_path / "documents").mkdir()
    documents = split_documents(tmp_path / "documents", rows)
    counts = make_pairs(documents, tmp_path, context_turns=3)
    seen = set()
    for split in SPLITS:
        pairs = list(read_pairs(open_table(tmp_path, f"{split}.arrow")))
        assert len(pairs) == counts[split] > 0
        assert {pair.document_id for pair in pairs} == {d.id for d in documents[split]}
        assert max(len(pair.prompt) for pair in pairs) == 3
        seen |= {pair.id for pair in pairs}
    assert len(seen) == sum(counts.values())
    assert [*pairs[0].prompt, pairs[0].reply] == [
        line[3:] for line in documents["test"][0].text.split("\n")[:2]
    ]


def test_a_bounded_number_is_drawn_whatever_the_order(tmp_path: Path, texts: list[str]) -> None:
    rows = [Document(f"d{i}", text, "made", "CC0-1.0") for i, text in enumerate(texts[:30])]
    for name, train in (("a", rows), ("b", rows[::-1])):
        (tmp_path / name).mkdir()
        counts = make_pairs({**ONE_EACH, "train": train}, tmp_path / name, max_pairs=20)
        assert counts == {"train": 20, "validation": 1, "test": 1}
    one, two = (list(read_pairs(open_table(tmp_path / n, "train.arrow"))) for n in "ab")
    assert one == two
    assert len({pair.document_id for pair in one}) > 5


def test_prose_makes_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="no conversation of two turns"):
        make_pairs({**ONE_EACH, "train": [Document("1", "prose", "s", "l")]}, tmp_path)


def test_names_of_speakers_are_told_what_is_wanted(tmp_path: Path) -> None:
    train = [Document("1", "Alice B.: hi\nBob: hello", "s", "l")]
    with pytest.raises(TextError, match=r"letter, so write `A: ` for `Alice B\.: `$"):
        make_pairs({**ONE_EACH, "train": train}, tmp_path)


# --- labelled -----------------------------------------------------------------------------------


def test_labelled_texts_keep_their_documents_split(tmp_path: Path) -> None:
    rows = [
        Document(f"{i}", text, "made", "CC0-1.0", label)
        for i in range(100)
        for text, label in [message(0, i)]
    ]
    (tmp_path / "documents").mkdir()
    documents = split_documents(tmp_path / "documents", rows)
    counts, _ = make_labelled(documents, tmp_path, LabelsTaken(labels=("ham", "spam")))
    for split in SPLITS:
        assert list(read_labelled(open_table(tmp_path, f"{split}.arrow"))) == [
            Labelled(d.id, d.id, d.text, d.label or "") for d in documents[split]
        ]
        assert sum(counts[split].values()) == len(documents[split])


def test_unknown_and_absent_labels_are_named(tmp_path: Path) -> None:
    train = [Document("7", "text", "s", "l", "eggs")]
    with pytest.raises(TextError, match="document 7: label=eggs is not one of ham, spam"):
        make_labelled({**ONE_EACH, "train": train}, tmp_path, LabelsTaken(labels=("ham", "spam")))
    with pytest.raises(TextError, match="label=ham has no training example"):
        make_labelled({**ONE_EACH, "train": train}, tmp_path, LabelsTaken(labels=("eggs", "ham")))
    with pytest.raises(TextError, match="document 8 has no label; map its field"):
        make_labelled({**ONE_EACH, "test": [Document("8", "t", "s", "l")]}, tmp_path, HAM)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_without_an_example_is_named(tmp_path: Path, split: Split) -> None:
    documents: dict[Split, list[Document]] = {**ONE_EACH, split: []}
    named = rf"the {split} split has no example; raise its share in the corpus' `split`"
    with pytest.raises(TextError, match=named):
        make_pairs(documents, tmp_path)
    with pytest.raises(TextError, match=named):
        make_labelled(documents, tmp_path, HAM)


# --- as tokens ----------------------------------------------------------------------------------


def test_a_pair_is_roles_by_number_and_a_counted_reply(small: Tokenizer) -> None:
    first, second, reply = (small.encode(f" {t}") for t in ("How are you?", "Fine.", "Good!"))
    ids, counted = encode_pair(small, ["How are you?", "Fine."], "Good!", 99)
    asked = [small.assistant, *first, small.user, *second, small.assistant]
    assert ids == [*asked, *reply, small.end_of_text]
    assert counted == [False] * len(asked) + [True] * (len(reply) + 1)
    assert encode_prompt(small, ["How are you?", "Fine."], 99) == asked
    assert decode_reply(small, [*reply, small.end_of_text, *reply]) == "Good!"
    assert decode_reply(small, reply) == "Good!"


@pytest.mark.parametrize("control", CONTROLS)
def test_a_marker_in_a_turn_is_ordinary_text(small: Tokenizer, control: str) -> None:
    ids, _ = encode_pair(small, [f"say {control}", f"{control} no"], f"{control}yes", 999)
    control_ids = [i for i in ids if i >= small.end_of_text]
    assert control_ids == [small.assistant, small.user, small.assistant, small.end_of_text]
    assert control not in small.decode([i for i in ids if i < small.end_of_text][:1])
    assert small.end_of_text not in encode_labelled(small, control, 99)[:-1]


def test_old_turns_go_first_then_the_left_of_the_last(small: Tokenizer) -> None:
    turns = ["an old question", "an old answer", "the last question of the user"]
    last, reply = small.encode(f" {turns[-1]}"), small.encode(" yes")
    whole = [small.user, *last, small.assistant, *reply, small.end_of_text]
    assert encode_pair(small, turns, "yes", len(whole))[0] == whole
    assert encode_pair(small, turns, "yes", len(whole) + 3)[0] == whole
    cut, counted = encode_pair(small, turns, "yes", len(whole) - 2)
    assert cut == [small.user, *last[2:], small.assistant, *reply, small.end_of_text]
    assert sum(counted) == len(reply) + 1


def test_a_reply_longer_than_the_length_has_no_end(small: Tokenizer) -> None:
    ids, counted = encode_pair(small, ["why?"], "because " * 50, 20)
    assert len(ids) == len(counted) == 20
    assert small.end_of_text not in ids
    assert ids[0] == small.user
    assert ids[2] == small.assistant
    assert counted == [False] * 3 + [True] * 17


@given(st.lists(any_text, min_size=1, max_size=5), any_text, st.integers(4, 60))
def test_no_pair_is_longer_than_asked(
    small: Tokenizer, turns: list[str], reply: str, max_tokens: int
) -> None:
    ids, counted = encode_pair(small, turns, reply, max_tokens)
    assert len(ids) == len(counted) <= max_tokens
    assert any(counted)
    assert counted == sorted(counted)
    start = counted.index(True)
    assert ids[:start] == encode_prompt(small, turns, max_tokens - sum(counted))
    assert ids[start - 1] == small.assistant


def test_as_text_a_pair_is_the_lines_that_a_foundation_read(small: Tokenizer) -> None:
    ids, counted = encode_pair_as_text(small, ["How are you?", "Fine."], "Good!", 99)
    assert small.decode(ids) == "B: How are you?\nA: Fine.\nB: Good!\n"
    assert small.decode([i for i, counts in zip(ids, counted, strict=True) if counts]) == " Good!\n"
    assert not small.controls & set(ids)


@given(st.lists(any_text, min_size=1, max_size=5), any_text, st.integers(4, 60))
def test_as_text_no_pair_is_longer_than_asked(
    small: Tokenizer, turns: list[str], reply: str, max_tokens: int
) -> None:
    ids, counted = encode_pair_as_text(small, turns, reply, max_tokens)
    assert len(ids) == len(counted) <= max_tokens
    assert any(counted)
    assert counted == sorted(counted)


def test_as_text_the_old_lines_go_first(small: Tokenizer) -> None:
    turns = ["an old question", "an old answer", "the last question of the user"]
    lines = "A: the last question of the user\nB:"
    length = len(small.encode(lines)) + len(small.encode(" yes\n"))
    ids, _ = encode_pair_as_text(small, turns, "yes", length)
    assert small.decode(ids) == f"{lines} yes\n"
    cut, _ = encode_pair_as_text(small, turns, "yes", length - 2)
    assert cut == ids[2:]


def test_labelled_text_is_cut_at_its_right(small: Tokenizer) -> None:
    ids = small.encode("call me now")
    assert encode_labelled(small, "call me now", 99) == [*ids, small.end_of_text]
    assert encode_labelled(small, "call me now", 3) == [*ids[:2], small.end_of_text]


def test_too_short_a_length_is_named(small: Tokenizer) -> None:
    with pytest.raises(TextError, match="max_tokens=3"):
        encode_pair(small, ["a"], "b", 3)
    with pytest.raises(TextError, match="turns=0"):
        encode_prompt(small, [], 9)


def test_a_pair_comes_back_whatever_is_in_it(tmp_path: Path) -> None:
    from pipelines.examples.pairs import write_pairs

    pairs = [Pair("d/1", "d", ["", "é\n"], "<|user|>"), Pair("d/2", "d", [], "x")]
    index = write_pairs(tmp_path, "p.arrow", pairs)
    write_index(tmp_path, [index])
    assert index.rows == 2
    assert list(read_pairs(open_table(tmp_path, "p.arrow"))) == pairs
