"""Examples: replies with what was said before them, in their document's split, as tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.corpora.cleaning.options import DEFAULT
from pipelines.corpora.documents import make_documents
from pipelines.corpora.generators.messages import message
from pipelines.corpora.splits import SPLITS, Split
from pipelines.corpora.splitting import Splitting
from pipelines.examples.artefacts import Chat, Labelled, pair_of, read_chats, read_labelled
from pipelines.examples.labelled import make_labelled
from pipelines.examples.options import LabelsTaken
from pipelines.examples.pairs import conversation_pairs, make_pairs, reply_chat
from pipelines.examples.writing import write_chats
from pipelines.text.errors import TextError
from pipelines.text.tables import Document, open_table, read_documents, write_documents, write_index
from pipelines.tokens.tokenizers import Tokenizer
from pipelines.tokens.turns import encode_labelled

ONE_EACH: dict[Split, list[Document]] = {
    split: [Document(split, "A: Hi.\nB: Hello.", "s", "l", "ham")] for split in SPLITS
}
HAM = LabelsTaken.model_construct(labels=("ham",))  # one label alone, which no recipe may have


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
    counts = make_pairs(documents, tmp_path, context_turns=3).counts
    seen = set()
    for split in SPLITS:
        chats = list(read_chats(open_table(tmp_path, f"{split}.arrow")))
        pairs = list(map(pair_of, chats))
        assert {role for chat in chats for role in chat.roles[-2::-2]} == {"user"}
        assert all(chat.learned == [False] * (len(chat.said) - 1) + [True] for chat in chats)
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
        written = make_pairs({**ONE_EACH, "train": train}, tmp_path / name, max_pairs=20)
        assert written.counts == {"train": 20, "validation": 1, "test": 1}
    one, two = (list(read_chats(open_table(tmp_path / n, "train.arrow"))) for n in "ab")
    assert one == two
    assert len({chat.document_id for chat in one}) > 5


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


def test_labelled_text_is_cut_at_its_right(small: Tokenizer) -> None:
    ids = small.encode("call me now")
    assert encode_labelled(small, "call me now", 99) == [*ids, small.end_of_text]
    assert encode_labelled(small, "call me now", 3) == [*ids[:2], small.end_of_text]


def test_a_conversation_comes_back_whatever_is_in_it(tmp_path: Path) -> None:
    chats = [
        reply_chat("d/1", "d", ["", "é\n"], "<|user|>"),
        Chat("d", "d", ["system", "user", "assistant"], ["", "x", "y"], [False, False, True]),
    ]
    index = write_chats(tmp_path, "p.arrow", chats)
    write_index(tmp_path, [index])
    assert index.rows == 2
    assert list(read_chats(open_table(tmp_path, "p.arrow"))) == chats
